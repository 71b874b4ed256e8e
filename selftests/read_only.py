#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes that take no writes."""

import errno
import os
import pathlib
import re

from lib.lower import null_blk
from lib.stor import (BLKDISCARD, BLKZEROOUT, Disk, MIB, call, clean,
                      error_of, number_of, one_of_each, pattern, refused, run,
                      settle, setup)
from lib.tap import check, equal, main, test

START = 16 * MIB
STOR = pathlib.Path("/sys/block/stor0/stor")

CHANGES = {
    "write": lambda disk: disk.write(0, bytes(4096)),
    "discard": lambda disk: disk.range(BLKDISCARD, 0, 4096),
    "zeroes": lambda disk: disk.range(BLKZEROOUT, 0, 4096),
    "punch": lambda disk: call("fallocate", disk.fd, 3, 0, 4096),
}


def locked(path, what):
    """Fail unless a device refuses all that would change it."""
    with Disk(path) as disk:
        equal(disk.read_only(), 1, f"BLKROGET of {what}")
        for name, function in CHANGES.items():
            result = error_of(function, disk)
            check(result in (errno.EPERM, errno.EIO, errno.EACCES,
                             errno.EROFS),
                  f"{name} on {what}: {errno.errorcode.get(result, result)}")
        equal(len(disk.read(0, 4096)), 4096, "bytes read")
        os.fsync(disk.fd)
    equal(number_of(f"/sys/block/{os.path.basename(path)}/ro"), 1, "ro")


@test
def locking(stor, devices):
    """read-only from the start, set and taken back: writes are refused"""
    for device in one_of_each(devices):
        data = pattern(3, MIB)
        with Disk(device) as lower:
            lower.write(START, data)
        one = stor.new("one", device, offset=START, length=8 * MIB,
                       read_only=1)
        equal(one["read-only"], 1, "read-only")
        settle()
        locked("/dev/stor0", "a new read-only volume")
        # Nobody else can make it writable.
        run("blockdev", "--setrw", "/dev/stor0", check=False)
        locked("/dev/stor0", "the volume after blockdev --setrw")
        equal(number_of(STOR / "read_only"), 1, "stor/read_only")
        refused(errno.EACCES, "backing: /dev/stor0 is read-only", stor.new,
                "top", "/dev/stor0", blames="backing")
        equal(stor.new("top", "/dev/stor0", read_only=1)["read-only"], 1,
              "read-only of a volume on it")
        locked("/dev/stor1", "a volume on it")
        stor.delete(name="top")
        with Disk("/dev/stor0") as disk:
            equal(stor.set("one", read_only=0)["read-only"], 0, "read-only")
            # Who has it open already may write from here on.
            equal(disk.read_only(), 0, "BLKROGET")
            disk.write(0, data[::-1])
            refused(errno.EBUSY, "read-only: stor0 is open", stor.set, "one",
                    read_only=1, blames="read-only")
            equal(stor.get(name="one")["read-only"], 0, "read-only")
            # Both or none: growing alone would be allowed.
            refused(errno.EBUSY, re.compile(r"(read-only|length): stor0 is "
                                            "open"), stor.set, "one",
                    length=9 * MIB, read_only=1,
                    blames="length")
            equal(disk.size(), 8 * MIB, "size")
            disk.write(0, data)
        settle()
        made = stor.set("one", length=4 * MIB, read_only=1)
        equal((made["length"], made["read-only"]), (4 * MIB, 1), "both")
        locked("/dev/stor0", "a volume that was locked")
        with Disk("/dev/stor0", os.O_RDONLY):
            # Locked already: that is no change.
            equal(stor.set("one", read_only=1)["read-only"], 1, "read-only")
        with Disk(device) as lower:
            equal(lower.read(START, MIB), data, "data")
        stor.delete(name="one")


@test
def locked_backing(stor, _devices):
    """a read-only backing carries a read-only volume, and no other"""
    with null_blk(size=64, memory_backed=1, discard=1):
        run("blockdev", "--setro", "/dev/stortest")
        refused(errno.EACCES, "backing: /dev/stortest is read-only",
                stor.new, "one", "/dev/stortest", blames="backing")
        one = stor.new("one", "/dev/stortest", read_only=1)
        settle()
        locked("/dev/stor0", "the volume")
        refused(errno.EACCES, "read-only: 0, but the backing is read-only",
                stor.set, "one", read_only=0, blames="read-only")
        equal(stor.get(name="one"), one, "the volume")
        locked("/dev/stor0", "the volume after the refusal")
        stor.delete(name="one")
        run("blockdev", "--setrw", "/dev/stortest")
        stor.new("one", "/dev/stortest", read_only=1)
        equal(stor.set("one", read_only=0)["read-only"], 0, "read-only")
        with Disk("/dev/stor0") as disk:
            disk.write(0, pattern(1, 4096))
        stor.delete(name="one")


main(setup, clean)
