#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Commands come with locks of generic netlink held, so none waits without end.

Paths and keys are others' to answer for: a path may lead into a file system that
does not answer, and a key may be one that a program is still making.
"""

import contextlib
import ctypes
import errno
import os
import pathlib
import select
import signal
import stat
import struct
import tempfile
import time

from lib import keys
from lib.netlink import Refused
from lib.stor import (LIBC, MIB, Stor, clean, number_of, pattern,
                      refused, run, settle, setup)
from lib.tap import (Failure, Skip, check, equal, in_thread, main,
                     note, patience, test, wait_until)

KEY = pattern(1, 64)
MNT_DETACH, MS_NODEV, MS_BIND, MS_PRIVATE = 2, 4, 4096, 1 << 18
CLONE_NEWNS = 0x20000
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
LOOKUP, INIT = 1, 26  # of FUSE


def libc(function, *args):
    """Call a function of the C library, or fail."""
    if getattr(LIBC, function)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


@contextlib.contextmanager
def mounted(source, kind, flags=0, options=""):
    """Something mounted on a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        libc("mount", source.encode(), folder.encode(), kind.encode(),
             ctypes.c_ulong(flags), options.encode())
        try:
            yield folder
        finally:
            libc("umount2", folder.encode(), MNT_DETACH)


class Mute:
    """A file system that answers nothing, once it is mounted."""

    def __init__(self):
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR)
        except OSError as why:
            raise Skip(f"no FUSE: {why}") from None

    def begin(self):
        """Answer the mount."""
        operation, unique = self.next()
        equal(operation, INIT, "operation")
        self.write(unique, struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1,
                                       4096, 1, 1, 0, 0))

    def write(self, unique, payload=b"", error=0):
        """Answer one request."""
        os.write(self.fd, struct.pack("=IiQ", 16 + len(payload), -error,
                                      unique) + payload)

    def next(self, seconds=30):
        """Take a request: from here on, nobody who waits for it can be killed."""
        check(select.select([self.fd], [], [], patience(seconds))[0],
              "no request")
        return struct.unpack_from("=IQ", os.read(self.fd, 1 << 16), 4)

    def asked(self):
        """Take the next request for a name."""
        while True:
            operation, unique = self.next()
            if operation == LOOKUP:
                return unique

    def end(self):
        """All who wait get an error."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


@contextlib.contextmanager
def mute():
    """Such a file system, mounted, and where."""
    mute = Mute()
    try:
        with mounted("stortest", "fuse", MS_NODEV,
                     f"fd={mute.fd},rootmode=40000,user_id=0,group_id=0"
                     ) as folder:
            mute.begin()
            try:
                yield mute, folder
            finally:
                mute.end()
    finally:
        mute.end()


def quoted(path):
    """As messages have a path."""
    return path[:32] + "..." * (len(path) > 32)


def too_long(path):
    """Fail unless it is not looked up in time; gives the seconds that took."""
    begin = time.monotonic()
    refused(errno.ETIMEDOUT,
            f"backing: {quoted(path)} could not be looked up within 10 s",
            Stor().new, "one", path, blames="backing")
    return time.monotonic() - begin


def unused():
    """Whether nothing holds the module."""
    return number_of("/sys/module/stor/refcnt") == 0


class Child:
    """A function that runs in a process of its own."""

    def __init__(self, function):
        self.fd, fd = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(fd)
            return
        try:
            function()
        except BaseException as why:  # whatever it is, it ends here
            os.write(fd, (repr(why) or "?").encode())
        finally:
            os._exit(0)

    def ended(self):
        """Whether it has."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid

    def join(self):
        """Wait for it, and fail if it has failed."""
        wait_until(self.ended, "the child", 60)
        with os.fdopen(self.fd, "rb") as file:
            why = file.read().decode()
        if why:
            raise Failure(f"in the child: {why}")


@test
def mute_path(stor, _devices):
    """a path that leads nowhere in 10 s is given up, and others are served"""
    with mute() as (fuse, folder):
        path = f"{folder}/device"
        waiting = in_thread(too_long, path)
        unique = fuse.asked()
        for _ in range(5):
            begin = time.monotonic()
            equal(stor.dump(), [], "volumes")
            stor.sock.family("nlctrl")
            seconds = time.monotonic() - begin
            check(seconds < patience(5), f"{seconds:.1f} s for a list")
            time.sleep(0.2)
        seconds = waiting()
        note(f"given up after {seconds:.1f} s")
        check(9 < seconds < 10 + patience(10), f"took {seconds:.1f} s")
        # Somebody still waits for that one.
        for _ in range(3):
            seconds = in_thread(too_long, path)()
            check(seconds < patience(5), f"again: took {seconds:.1f} s")
        check(not unused(), "nobody waits")
        # There is an answer after all, and then the next who asks gets one.
        fuse.write(unique, error=errno.ENOENT)
        wait_until(unused, "the end of the lookup")
        again = in_thread(lambda: refused(
            errno.ENOENT, f"backing: {quoted(path)} does not exist",
            Stor().new, "one", path, blames="backing"))
        fuse.write(fuse.asked(), error=errno.ENOENT)
        again()
        wait_until(unused, "the end of the second lookup")


@test
def killed(stor, _devices):
    """whoever waits for such a path can be killed"""
    with mute() as (fuse, folder):
        child = Child(lambda: Stor().new("one", f"{folder}/device"))
        try:
            fuse.asked()
            begin = time.monotonic()
            os.kill(child.pid, signal.SIGKILL)
            wait_until(child.ended, "the end of what was killed", 5)
            note(f"ended {time.monotonic() - begin:.2f} s after it was killed")
            equal(stor.dump(), [], "volumes")
        finally:
            fuse.end()
        wait_until(unused, "the end of the lookup")


def made(path, **how):
    """Make a volume on it, and delete that again."""
    stor = Stor()
    volume = stor.new("one", path, length=MIB, **how)
    equal(volume["backing"], path, "backing")

    def deleted():
        """False while udev looks at it, from where it can not be asked."""
        try:
            stor.raw_delete(name="one")
        except Refused as why:
            equal(why.errno, errno.EBUSY, "error")
            return False
        return True
    wait_until(deleted, "udev to let it go", 60)


def no_entry(path):
    """There is nothing there."""
    refused(errno.ENOENT, f"backing: {quoted(path)} does not exist",
            Stor().new, "one", path, blames="backing")


@test
def as_the_caller(_stor, devices):
    """a path leads where it leads the caller: root, folder, mounts, rights"""
    device = devices[0]
    number = os.stat(str(device)).st_rdev
    settle()
    with mounted("none", "tmpfs") as folder:
        inner = pathlib.Path(folder, "root/dev")
        (inner / "far").mkdir(parents=True)
        node = inner / "stortest"
        os.mknod(node, stat.S_IFBLK | 0o600, number)
        (inner / "far/up").symlink_to("../stortest")
        (inner / "far/top").symlink_to("/dev/stortest")
        closed = inner / "closed"
        closed.mkdir()
        os.mknod(closed / "node", stat.S_IFBLK | 0o600, number)
        os.chown(closed, 1, 1)
        closed.chmod(0o700)

        def below():
            """Another root: names begin there, and do not lead out."""
            os.chroot(f"{folder}/root")
            os.chdir("/dev/far")
            for path in ("/dev/stortest", "/../dev/far/../stortest", "up",
                         "top", "../stortest", "../../../dev/far/up",
                         "/dev/far/top"):
                made(path)
            no_entry(f"{folder}/root/dev/stortest")
            no_entry("../nothing")
            no_entry("nothing")
            # A folder that has no name any more, or below another root.
            os.mkdir("gone")
            os.chdir("gone")
            os.rmdir("/dev/far/gone")
            no_entry("../stortest")
            os.chdir("/")
            os.chroot("/dev/far")
            no_entry("dev/stortest")

        def mounts():
            """Mounts that only the caller has."""
            libc("unshare", CLONE_NEWNS)
            libc("mount", b"none", b"/", None, ctypes.c_ulong(
                MS_PRIVATE | 0x4000), None)
            libc("mount", str(inner).encode(), str(closed).encode(), None,
                 ctypes.c_ulong(MS_BIND), None)
            made(str(closed / "stortest"))
            # Below what was mounted over the folder, nothing has its name.
            os.chdir(inner / "far")
            libc("mount", str(closed).encode(), str(inner / "far").encode(),
                 None, ctypes.c_ulong(MS_BIND), None)
            no_entry("up")
            libc("mount", b"none", str(closed).encode(), None, ctypes.c_ulong(
                32 | MS_BIND | MS_NODEV), None)
            path = str(closed / "stortest")
            refused(errno.EACCES,
                    f"backing: {quoted(path)} may not be accessed",
                    Stor().new, "one", path, blames="backing")

        def rights():
            """Folders that are closed to the caller."""
            path = str(closed / "node")
            made(path)
            head = struct.pack("=Ii", 0x20080522, 0)
            held = struct.unpack("=6I", capability(head))
            lost = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH
            libc("capset", head, struct.pack(
                "=6I", held[0] & ~lost, held[1] & ~lost, 0, *held[3:]))
            refused(errno.EACCES,
                    f"backing: {quoted(path)} may not be accessed",
                    Stor().new, "one", path, blames="backing")

        for function in (below, mounts, rights):
            Child(function).join()
    for path in ("/proc/self/root/dev/null", f"/proc/1/root{device}"):
        refused(errno.ELOOP,
                f"backing: {quoted(path)} has links in a loop, or of /proc",
                Stor().new, "one", path, blames="backing")
    refused(errno.ENOTBLK, "backing: /dev/null is not a block device",
            Stor().new, "one", "/dev/null", blames="backing")
    refused(errno.ENOENT, "backing: /dev/null/below does not exist",
            Stor().new, "one", "/dev/null/below", blames="backing")


def capability(head):
    """What this process may do, as capget() has it."""
    data = ctypes.create_string_buffer(24)
    libc("capget", head, data)
    return data.raw


@contextlib.contextmanager
def maker(script):
    """What the kernel calls to have a key made."""
    path = pathlib.Path("/sbin/request-key")
    with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
        file.write(f"#!/bin/sh\n{script}")
    os.chmod(file.name, 0o755)
    is_new = not path.exists()
    try:
        if is_new:
            path.touch()
        run("mount", "--bind", file.name, path)
        try:
            yield
        finally:
            run("umount", "-l", path)
    finally:
        os.unlink(file.name)
        if is_new:
            path.unlink()


@test
def unmade_key(stor, devices):
    """a key that is still being made is refused at once"""
    device, name = devices[0], "user:stor:unmade"

    def no(number, message, **how):
        begin = time.monotonic()
        refused(number, f"key: {message}", stor.new, "one", device, key=name,
                blames="key", **how)
        return time.monotonic() - begin

    # The keyring of this process, for the threads, too.
    with keys.key(KEY), tempfile.TemporaryDirectory() as folder:
        wait = pathlib.Path(folder, "wait")
        asked = pathlib.Path(folder, "asked")
        wait.touch()
        with maker(f"touch {asked}\n"
                   f"while [ -e {wait} ]; do sleep 0.1; done\nexit 1\n"):
            def request():
                try:
                    return keys.request("user", "stor:unmade", "new")
                except OSError as why:
                    return why.errno
            making = in_thread(request)
            try:
                wait_until(asked.exists, "somebody who makes the key", 30)
                seconds = in_thread(
                    no, errno.EBUSY, f"{name} is still being made")()
                note(f"refused after {seconds:.2f} s")
                check(seconds < patience(5), "waited for the key")
            finally:
                wait.unlink()
            why = making()
            equal(why, errno.ENOKEY, "how the making of the key has ended")
    # It was not made in the end, which the kernel remembers for a minute.
    no(errno.ENOKEY, f"{name} is in no keyring of yours")


@test
def where_keys_are(stor, devices):
    """keys are found in keyrings within keyrings, past those of no use"""
    device = devices[0]
    outer = keys.add("keyring", "stor:outer", b"")
    inner = keys.add("keyring", "stor:inner", b"", outer)
    keys.add("logon", "stor:deep", KEY, inner)
    try:
        made(str(device), key="logon:stor:deep")
        # One of that name that has expired, or was revoked, is nearer.
        for spoil in (lambda number: keys.expire(number, 1), keys.revoke):
            number = keys.add("logon", "stor:deep", pattern(2, 64))
            spoil(number)
            time.sleep(1.5)
            made(str(device), key="logon:stor:deep")
            keys.forget(number)
        keys.forget(inner, outer)
        refused(errno.ENOKEY, "key: logon:stor:deep is in no keyring of yours",
                stor.new, "one", device, key="logon:stor:deep", blames="key")
    finally:
        keys.forget(outer)


main(setup, clean)
