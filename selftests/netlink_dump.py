#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The list of all volumes, read in parts while it changes."""

import contextlib
import errno
import os
import time

from lib.netlink import Refused, Socket
from lib.stor import C, MIB, clean, decode, settle, setup
from lib.tap import check, equal, main, note, test

COUNT = 64
SMALL = 4096  # the least that the kernel makes a part of a dump


class Parts:
    """A dump, read part by part with a small buffer."""

    def __init__(self, stor):
        # A receive buffer that holds one part keeps the kernel from
        # preparing the next one before this one is taken.
        self.sock, self.stor = Socket(), stor
        self.sock.sock.setsockopt(1, 8, 1)  # SO_RCVBUF; the kernel's least
        self.parts = 0

    def read(self, between=None):
        """The volumes and whether the dump says that it was interrupted.

        between is called after the first part.
        """
        self.parts = 0

        def pause(_count):
            self.parts += 1
            if self.parts == 1 and between:
                between()
        messages, interrupted = self.sock.dump(
            self.stor.family, C["STOR_CMD_VOLUME_GET"], size=SMALL,
            pause=pause)
        return [decode(message) for message in messages], interrupted


def fill(stor, device):
    """Make many volumes, the indexes in no order."""
    for at in range(COUNT):
        stor.new(f"vm{at}", device, offset=at * MIB, length=MIB,
                 index=(at * 37) % 101)
    settle()


def remove(stor):
    """Delete them all."""
    settle()
    for volume in stor.dump():
        stor.raw_delete(index=volume["index"])


def ordered(volumes):
    """Fail unless each index stands there once, and in order."""
    indexes = [volume["index"] for volume in volumes]
    equal(indexes, sorted(set(indexes)), "indexes")


@test
def all_cases(stor, devices):
    """64 volumes: complete, in order, and marked if and only if changed"""
    device = devices[0]
    fill(stor, device)
    want = sorted((at * 37) % 101 for at in range(COUNT))
    parts = Parts(stor)
    for _ in range(3):
        volumes, interrupted = parts.read()
        equal([volume["index"] for volume in volumes], want, "indexes")
        equal(interrupted, False, "interrupted")
    check(parts.parts >= 3, f"only {parts.parts} parts")
    note(f"{parts.parts} parts")

    # What reads, or is refused, changes nothing.
    def harmless():
        stor.get(name="vm1")
        stor.info()
        for values in ({"name": "vm1"}, {"name": "x", "offset": 0}):
            try:
                stor.new(backing=device, **values)
                check(False, "not refused")
            except Refused as why:
                check(why.errno in (errno.EEXIST, errno.EBUSY), why)
        with open("/dev/stor0", "rb"):
            try:
                stor.raw_delete(index=0)
                check(False, "not refused")
            except Refused as why:
                equal(why.errno, errno.EBUSY, "errno")
    volumes, interrupted = parts.read(harmless)
    equal([volume["index"] for volume in volumes], want, "indexes")
    equal(interrupted, False, "interrupted by what changes nothing")

    # A volume more, at each end.
    for index in (sorted(set(range(101)) - set(want))[0], 500):
        volumes, interrupted = parts.read(
            lambda index=index: stor.new("more", device, index=index,
                                         offset=COUNT * MIB, length=MIB))
        equal(interrupted, True, f"interrupted by index {index} more")
        ordered(volumes)
        check(set(want) <= {volume["index"] for volume in volumes},
              "those that were there all the time are not all listed")
        settle()
        # And one less: what is not deleted is still listed.
        volumes, interrupted = parts.read(
            lambda: stor.raw_delete(name="more"))
        equal(interrupted, True, f"interrupted by index {index} less")
        ordered(volumes)
        check(set(want) <= {volume["index"] for volume in volumes},
              "those that were there all the time are not all listed")
    # One less and one more at once is still a change.
    volumes, interrupted = parts.read(
        lambda: (stor.raw_delete(name="vm9"),
                 stor.new("vm9", device, offset=9 * MIB, length=MIB,
                          index=(9 * 37) % 101)))
    equal(interrupted, True, "interrupted by one that was made anew")
    ordered(volumes)
    volumes, interrupted = parts.read()
    equal((len(volumes), interrupted), (COUNT, False), "at rest again")

    # Another process changes things all the time.
    pid = os.fork()
    if pid == 0:
        other = type(stor)()
        try:
            while True:
                other.new("busy", device, offset=COUNT * MIB, length=MIB)
                gone = False
                while not gone:  # udev may have it open
                    with contextlib.suppress(Refused):
                        other.raw_delete(name="busy")
                        gone = True
        finally:
            os._exit(0)
    marked = 0
    try:
        for count in range(1, 101):
            volumes, interrupted = parts.read(lambda: time.sleep(0.1))
            marked += interrupted
            if marked == 10:
                break
            ordered(volumes)
            names = {volume["name"] for volume in volumes}
            check({f"vm{at}" for at in range(COUNT)} <= names,
                  "those that were there all the time are not all listed")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    note(f"{marked} of {count} marked")
    check(marked, "no dump was marked")
    remove(stor)


@test
def empty(stor, _devices):
    """no volumes: an empty list that is not marked"""
    equal(Parts(stor).read(), ([], False), "dump")


@test
def given_up(stor, devices):
    """a dump that nobody reads to its end does no harm"""
    stor.new("one", devices[0])
    for _ in range(20):
        sock = Socket()
        sock.send(stor.family, 0x301,
                  bytes((C["STOR_CMD_VOLUME_GET"], 1, 0, 0)))
        sock.close()
    stor.delete(name="one")
    equal(stor.dump(), [], "volumes")


main(setup, clean)
