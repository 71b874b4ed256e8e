#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Each allocation of each command fails once: an error or success, no trace.

The 1st allocation under a command's message fails, then the 2nd, and so on
until the command has none left (/proc/thread-self/fail-nth). First those that
stor makes or asks for, where the answer has to be ENOMEM and say so; then
those of netlink around it, where the answer itself may be what is lost.
"""

import collections
import contextlib
import errno
import os
import re
import struct

from lib import inject, keys
from lib.netlink import F_ACK, F_DUMP, F_REQUEST, Refused, Socket, split
from lib.stor import (C, Disk, MIB, clean, decode, encode, number_of, pattern,
                      run, settle, setup)
from lib.tap import check, equal, main, note, test, wait_until

MOST = 3000  # allocations of one command; far from what there are
LOST = "no answer"
LENGTH = 8 * MIB
DISK_NOT_MADE = r"the disk could not be made: error -\d+"


def ready():
    """What each test is called with."""
    inject.need("failslab", "fail_page_alloc")
    stor, devices = setup()
    settle()
    # It would open each new disk, and take most of the time.
    run("udevadm", "control", "--stop-exec-queue", check=False)
    return stor, devices


def cleanup(stor, devices):
    """No volume may be left."""
    return clean(stor, devices)


class Command:
    """A message that is sent again and again."""

    def __init__(self, stor, name, values=None, flags=F_REQUEST | F_ACK):
        self.family, self.name = stor.family, name
        self.sock, self.nth = Socket(), inject.Nth()
        self.dump = flags & F_DUMP == F_DUMP
        self.flags = flags
        self.body = struct.pack("=BBH", C[f"STOR_CMD_{name}"], 1, 0) + encode(
            values or {})

    def close(self):
        """Close it."""
        self.sock.close()
        self.nth.close()

    def answer(self, data, received):
        """What has come: messages, a Refused, or LOST."""
        messages = []
        while True:
            for message in received:
                if message.seq != self.sock.seq:
                    continue
                if message.kind == 2:  # NLMSG_ERROR
                    return self.sock.error(message, data) or messages
                if message.kind == 3:  # NLMSG_DONE
                    number = -struct.unpack_from("=i", message.body)[0]
                    return (Refused(number, None, None, None) if number
                            else messages)
                messages.append(message)
            try:
                received = self.sock.recv()
            except OSError as why:
                if why.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    raise
                return LOST

    def send(self, number):
        """Send it, its allocation of that number fails.

        Gives what has come, and whether one has failed.
        """
        sock = self.sock
        sock.seq += 1
        data = struct.pack("=IHHII", 16 + len(self.body), self.family,
                           self.flags, sock.seq, 0) + self.body
        received, buffer, size = [], bytearray(1 << 16), 0
        try:
            with self.nth.fails(number) as hit:
                sock.sock.send(data)
                # A dump goes on while it is read.
                if self.dump:
                    size = sock.sock.recv_into(buffer)
        except OSError as why:
            if why.errno not in (errno.ENOBUFS, errno.ENOMEM):
                raise
            return LOST, bool(hit)
        if size:
            received = split(bytes(buffer[:size]))
        return self.answer(data, received), bool(hit)


def every(command, judge, strict):
    """Send it until it has no allocation left to fail.

    judge is called with what has come. strict: an error has to say that
    there was no memory, or that the disk could not be made.
    """
    ends = collections.Counter()
    number, hit = 0, True
    while hit:
        number += 1
        check(number < MOST, f"{command.name}: more than {MOST} allocations")
        got, hit = command.send(number)
        try:
            if isinstance(got, Refused):
                ends[errno.errorcode.get(got.errno, got.errno)] += 1
                if strict:
                    check(got.message, "an error without a message")
                    # The block layer does not always say what it lacked.
                    check(got.errno == errno.ENOMEM or re.fullmatch(
                        DISK_NOT_MADE, got.message),
                        f"{got}, where memory was what it lacked")
            else:
                ends[LOST if got == LOST else "done"] += 1
                check(not (strict and got == LOST), "no answer")
            judge(got)
        except Exception:
            note(f"{command.name}, allocation {number}: {got}")
            raise
    check(not isinstance(got, Refused) and got != LOST,
          f"{command.name} without a fault: {got}")
    note(f"{command.name}, {'within' if strict else 'around'} stor: "
         f"{inject.summary(ends)}")
    return number - 1


def systematically(command, judge):
    """Both kinds of allocations, for one command."""
    try:
        within = inject.module_text()
        with inject.allocations(within=within,
                                without=inject.kmemleak_text()):
            inner = every(command, judge, True)
        with inject.allocations(without=within):
            outer = every(command, judge, False)
        check(inner > 0, f"{command.name}: stor allocates nothing")
        check(outer > 0, f"{command.name}: netlink allocates nothing")
    finally:
        command.close()


def works(stor, want):
    """Fail unless the volume is there, and passes I/O through."""
    equal(stor.get(name=want["name"]), want, "the volume")
    with Disk(f"/dev/{want['disk']}") as disk:
        data = pattern(want["index"], 4096)
        disk.write(LENGTH - 4096, data)
        equal(disk.read(LENGTH - 4096, 4096), data, "data")


def traceless(stor, device):
    """Fail if something of a volume is left."""
    equal(stor.dump(), [], "volumes")
    check(not os.path.exists("/sys/block/stor0"), "/sys/block/stor0 is left")
    check(not os.path.exists("/sys/kernel/debug/block/stor0"),
          "debugfs has stor0")
    wait_until(lambda: number_of("/sys/module/stor/refcnt") == 0,
               "nobody uses the module")
    # A backing that is still held can not be taken for oneself.
    os.close(os.open(device.path, os.O_RDWR | os.O_EXCL))


@contextlib.contextmanager
def listener(stor):
    """Somebody who gets the events, and may miss some."""
    sock = stor.monitor()
    sock.sock.setblocking(False)
    try:
        yield sock
    finally:
        sock.close()


def drain(sock):
    """Forget the events that have come."""
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                sock.recv()
            except OSError as why:
                if why.errno != errno.ENOBUFS:
                    raise


@test
def create(stor, devices):
    """VOLUME_NEW: there and in order, or not there at all"""
    device = devices[0]
    command = Command(stor, "VOLUME_NEW", {
        "name": "one", "backing": device.path, "index": 0, "offset": MIB,
        "length": LENGTH})

    with listener(stor) as sock:
        def judge(got):
            drain(sock)
            if isinstance(got, Refused):
                traceless(stor, device)
                return
            if got == LOST:
                if stor.dump():
                    stor.raw_delete(name="one")
                traceless(stor, device)
                return
            works(stor, decode(got[0]))
            stor.raw_delete(name="one")
        systematically(command, judge)
    traceless(stor, device)


@test
def create_encrypted(stor, devices):
    """VOLUME_NEW with a key: there and in order, or not there at all"""
    device = devices[0]
    data = pattern(5, 4096)
    for engine in "SOFTWARE", "BLK_CRYPTO":
        with keys.key(pattern(3, 64)) as key:
            command = Command(stor, "VOLUME_NEW", {
                "name": "one", "backing": device.path, "index": 0,
                "offset": MIB, "length": LENGTH, "key": key,
                "crypto-sector": device.block, "iv-large-sectors": 1,
                "crypto-engine": C[f"STOR_CRYPTO_ENGINE_{engine}"]})

            def judge(got):
                if isinstance(got, Refused):
                    traceless(stor, device)
                    return
                if got == LOST and not stor.dump():
                    traceless(stor, device)
                    return
                with Disk("/dev/stor0") as disk:
                    disk.write(0, data)
                    equal(disk.read(0, 4096), data, "data")
                with Disk(device.path, os.O_RDONLY) as disk:
                    check(disk.read(MIB, 4096) != data, "plaintext below")
                stor.raw_delete(name="one")
            systematically(command, judge)
    traceless(stor, device)


@test
def change(stor, devices):
    """VOLUME_SET and VOLUME_GATE: done, or as before"""
    volume = stor.new("one", devices[0], offset=MIB, length=LENGTH)
    for command, values in (("VOLUME_SET", {"length": LENGTH // 2}),
                            ("VOLUME_SET", {"read-only": 1}),
                            ("VOLUME_GATE", {})):
        def judge(got, command=command, values=values):
            now = stor.get(name="one")
            for key, value in values.items():
                if not isinstance(got, Refused) and got != LOST:
                    equal(now[key], value, key)
                if now[key] != volume.get(key, 0):
                    equal(now[key], value, key)
            if command == "VOLUME_SET":
                stor.set("one", **{"length": LENGTH, "read_only": 0})
            works(stor, stor.get(name="one"))
        # They may need no memory at all but for the event and the answer.
        with inject.allocations(without=inject.kmemleak_text()):
            line = Command(stor, command, {"name": "one", **values})
            try:
                every(line, judge, False)
            finally:
                line.close()
    stor.raw_delete(name="one")
    traceless(stor, devices[0])


@test
def delete(stor, devices):
    """VOLUME_DEL: gone, or there as before"""
    device = devices[0]

    def make():
        return stor.new("one", device, offset=MIB, length=LENGTH, index=0)
    volume = make()

    with listener(stor) as sock:
        def judge(got):
            nonlocal volume
            drain(sock)
            if isinstance(got, Refused) or (got == LOST and stor.dump()):
                works(stor, volume)
                return
            traceless(stor, device)
            volume = make()
        command = Command(stor, "VOLUME_DEL", {"name": "one"})
        try:
            # It needs no memory of its own that it could be refused for, or
            # a little for the event; so there may be nothing to count.
            with inject.allocations(without=inject.kmemleak_text()):
                every(command, judge, False)
        finally:
            command.close()
    stor.raw_delete(name="one")
    traceless(stor, device)


@test
def lock(stor, devices):
    """VOLUME_LOCK and VOLUME_UNLOCK: done, or as before"""
    for engine in "SOFTWARE", "BLK_CRYPTO":
        with keys.key(pattern(3, 64)) as name:
            volume = stor.new(
                "one", devices[0], offset=MIB, length=LENGTH, key=name,
                crypto_sector=devices[0].block, iv_large_sectors=1,
                crypto_engine=C[f"STOR_CRYPTO_ENGINE_{engine}"])
            lock_and_unlock(stor)
            equal(stor.get(name="one")["length"], volume["length"], "length")
            stor.raw_delete(name="one")
    traceless(stor, devices[0])


def lock_and_unlock(stor):
    """Both, with each allocation failing once."""
    data = pattern(4, 4096)
    with Disk("/dev/stor0") as disk:
        disk.write(0, data)
        for command, want, undo in (
                ("VOLUME_LOCK", "locked", lambda: stor.unlock("one")),
                ("VOLUME_UNLOCK", "live", lambda: stor.lock("one"))):
            if want == "live":
                stor.lock("one")

            def judge(got, want=want, undo=undo):
                now = stor.get(name="one")["state"]
                if not isinstance(got, Refused) and got != LOST:
                    equal(now, want, "state")
                if now == want:
                    undo()
            # An event that finds no memory is lost, and that is all.
            with inject.allocations(within=inject.module_text(),
                                    without=inject.kmemleak_text()):
                line = Command(stor, command, {"name": "one"})
                try:
                    every(line, judge, False)
                finally:
                    line.close()
        stor.unlock("one")
        equal(disk.read(0, 4096), data, "data")


@test
def show(stor, devices):
    """VOLUME_GET and INFO_GET: the right answer, or an error"""
    volume = stor.new("one", devices[0], offset=MIB, length=LENGTH)
    info = stor.info()

    def same_volume(got):
        if not isinstance(got, Refused) and got != LOST:
            equal(decode(got[0]), volume, "the volume")

    def same_info(got):
        if not isinstance(got, Refused) and got != LOST:
            equal(dict(got[0].attrs()), info, "what INFO_GET tells")
    systematically(Command(stor, "VOLUME_GET", {"name": "one"}), same_volume)
    systematically(Command(stor, "INFO_GET"), same_info)
    works(stor, volume)
    stor.raw_delete(name="one")


@test
def dump(stor, devices):
    """the list, and the statistics: complete, or it ends with an error"""
    for at in range(32):
        stor.new(f"vm{at}", devices[0], offset=at * MIB, length=MIB)
    want = stor.dump()

    def volumes(got):
        return [decode(message) for message in got]

    def counted(got):
        return len(got)
    for name, told, expected in (
            ("VOLUME_GET", volumes, want),
            ("STAT_GET", counted, len(stor.sock.dump(
                stor.family, C["STOR_CMD_STAT_GET"])[0]))):
        command = Command(stor, name, flags=F_REQUEST | F_DUMP)

        def judge(got, command=command, told=told, expected=expected):
            if not isinstance(got, Refused) and got != LOST:
                equal(told(got), expected, "what was dumped")
            command.sock.close()
            command.sock = Socket()
        try:
            with inject.allocations(without=inject.kmemleak_text()):
                check(every(command, judge, False) > 1,
                      "a dump allocates nothing")
        finally:
            command.close()
    for volume in want:
        stor.raw_delete(name=volume["name"])


try:
    main(ready, cleanup)
finally:
    run("udevadm", "control", "--start-exec-queue", check=False)
