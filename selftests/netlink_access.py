#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Who may do what: other users, other namespaces."""

import contextlib
import errno
import os
import pathlib
import sys
import traceback

from lib.netlink import GENL_ID_CTRL, Refused, Socket
from lib.stor import MIB, Stor, call, clean, encode, refused, setup
from lib.tap import Failure, check, equal, main, test

WHY = "CAP_SYS_ADMIN in the initial user namespace is needed"
NOBODY = 65534
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21


def elsewhere(function, *args):
    """Run a function in a child, and fail if it fails."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                function(*args)
                code = 0
            except Exception:
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
        os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise Failure(f"{function.__name__} failed in the child")


def may_read_only(stor, device):
    """Fail unless this process may read and not write."""
    equal(len(stor.info()), 3, "attributes of INFO_GET")
    equal(stor.get(name="one")["state"], "live", "state")
    equal([volume["name"] for volume in stor.dump()], ["one"], "volumes")
    new = {"name": "two", "backing": device.path, "offset": 2 * MIB,
           "length": MIB}
    refused(errno.EPERM, WHY, stor.call, "VOLUME_NEW", encode(new))
    refused(errno.EPERM, WHY, stor.call, "VOLUME_DEL",
            encode({"name": "one"}))
    # Who may not, is not told what else is wrong.
    refused(errno.EPERM, WHY, stor.call, "VOLUME_NEW")
    refused(errno.EPERM, WHY, stor.call, "VOLUME_DEL",
            encode({"name": "no-such"}))
    equal([volume["name"] for volume in stor.dump()], ["one"], "volumes")


@test
def nobody(stor, devices):
    """an ordinary user may read, and nothing else"""
    def child():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        may_read_only(Stor(), devices[0])
    stor.new("one", devices[0], length=MIB)
    elsewhere(child)
    stor.delete(name="one")


@test
def listens(stor, devices):
    """an ordinary user may listen to the events"""
    def child(ready, go):
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        mine = Stor()
        sock = mine.monitor()
        os.write(ready, b"r")
        os.read(go, 1)
        equal([name for name, _ in mine.events(sock, 2)],
              ["ADD_NTF", "DEL_NTF"], "events")
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(ready[1], go[0])
            code = 0
        except Exception:
            traceback.print_exc(file=sys.stdout)
        os._exit(code)
    os.read(ready[0], 1)
    stor.new("one", devices[0])
    stor.delete(name="one")
    os.write(go[1], b"g")
    equal(os.waitpid(pid, 0)[1], 0, "status of the listener")


@test
def no_capability(stor, devices):
    """root without CAP_SYS_ADMIN may read, and nothing else"""
    def child():
        call("prctl", PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)
        os.execv(sys.executable, [sys.executable, __file__, "read-only",
                                  devices[0].path])
    stor.new("one", devices[0], length=MIB)
    elsewhere(child)
    stor.delete(name="one")


@test
def user_namespace(stor, devices):
    """root of another user namespace may read, and nothing else"""
    def child():
        call("unshare", CLONE_NEWUSER)
        for file, text in (("setgroups", "deny"), ("uid_map", "0 0 1"),
                           ("gid_map", "0 0 1")):
            pathlib.Path(f"/proc/self/{file}").write_text(text)
        equal(os.geteuid(), 0, "user in the namespace")
        may_read_only(Stor(), devices[0])
    stor.new("one", devices[0], length=MIB)
    elsewhere(child)
    stor.delete(name="one")


@test
def handed_over(stor, devices):
    """a privileged socket is of no use to who is not, nor the reverse"""
    def with_ours():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        may_read_only(stor, devices[0])

    def with_theirs():
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        mine = Stor()
        os.seteuid(0)
        may_read_only(mine, devices[0])
    stor.new("one", devices[0], length=MIB)
    elsewhere(with_ours)
    # The sequence numbers of the shared socket went on in the child.
    elsewhere(with_theirs)
    stor.delete(name="one")


@test
def network_namespace(stor, devices):
    """another network namespace does not know the family"""
    def child():
        call("unshare", CLONE_NEWNET)
        sock = Socket()
        try:
            sock.family("stor")
            check(False, "the family is there")
        except Refused as why:
            equal(why.errno, errno.ENOENT, "errno")
        names = [dict(m.attrs()).get(2) for m in
                 sock.dump(GENL_ID_CTRL, 3)[0]]
        check(b"nlctrl\0" in names, "no family at all")
        check(b"stor\0" not in names, "the family is listed")
        # Its number, known from elsewhere, is of no use.
        for command in ("INFO_GET", "VOLUME_GET", "VOLUME_DEL"):
            mine = Stor.__new__(Stor)
            mine.sock, mine.family = sock, stor.family
            try:
                mine.call(command, encode({"name": "one"})
                          if command != "INFO_GET" else b"")
                check(False, f"{command} is answered")
            except Refused as why:
                equal(why.errno, errno.ENOENT, f"errno of {command}")
    stor.new("one", devices[0], length=MIB)
    elsewhere(child)
    equal(stor.get(name="one")["state"], "live", "state")
    stor.delete(name="one")


if sys.argv[1:2] == ["read-only"]:
    class _Device:
        path = sys.argv[2]
    may_read_only(Stor(), _Device)
else:
    main(setup, clean)
