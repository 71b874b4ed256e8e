#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes that grow and shrink: what is allowed, and who learns of it."""

import errno
import os
import pathlib
import re
import socket

from lib.stor import (BLKDISCARD, BLKZEROOUT, Disk, MIB, add_partition,
                      buffer, clean, delete_partition, error_of, number_of,
                      one_of_each, pattern, refused, settle, setup)
from lib.tap import check, equal, main, test

START = 16 * MIB
STOR = pathlib.Path("/sys/block/stor0/stor")
NONE_GIVEN = "neither length nor read-only is given, one is needed"


def sized(stor, disk, length):
    """Fail unless all say that stor0 has this length."""
    equal(stor.get(index=0)["length"], length, "length")
    equal(number_of("/sys/block/stor0/size") * 512, length, "size in sysfs")
    equal(number_of(STOR / "length"), length, "stor/length in sysfs")
    equal(disk.size(), length, "BLKGETSIZE64")
    equal(os.lseek(disk.fd, 0, os.SEEK_END), length, "the end by lseek")


@test
def grow_and_shrink(stor, devices):
    """growing while open, shrinking while closed; the data stays"""
    for device in one_of_each(devices):
        block, data = device.block, pattern(1, 7 * MIB)
        monitor = stor.monitor()
        with Disk(device) as lower:
            lower.write(START, data)
        stor.new("one", device, offset=START, length=2 * MIB)
        with Disk("/dev/stor0") as disk:
            sized(stor, disk, 2 * MIB)
            equal(error_of(disk.write, 2 * MIB, bytes(block)), errno.ENOSPC,
                  "writing behind the end")
            made = stor.set("one", length=4 * MIB)
            equal((made["length"], made["gate-count"]), (4 * MIB, 1),
                  "the answer")
            # The same descriptor sees it.
            sized(stor, disk, 4 * MIB)
            equal(disk.read(2 * MIB, 2 * MIB),
                  data[2 * MIB:4 * MIB], "the new part")
            disk.write(4 * MIB - block, pattern(2, block))
            made = stor.set("one", length=4 * MIB)
            equal((made["length"], made["gate-count"]), (4 * MIB, 2),
                  "the answer to no change")
            sized(stor, disk, 4 * MIB)
            refused(errno.EBUSY, "length: stor0 is open", stor.set, "one",
                    length=4 * MIB - block, blames="length")
            sized(stor, disk, 4 * MIB)
        with Disk(device) as lower:
            equal(lower.read(START + 4 * MIB - block, block),
                  pattern(2, block), "what was written at the end")
        settle()
        for length in (MIB, block):
            equal(stor.set("one", length=length)["length"], length, "length")
            with Disk("/dev/stor0") as disk:
                sized(stor, disk, length)
                equal(os.preadv(disk.fd, [buffer(bytes(block))], length), 0,
                      "bytes read behind the end")
                for what, result in (
                        ("writing", error_of(disk.write, length,
                                             bytes(block))),
                        ("discarding", error_of(disk.range, BLKDISCARD,
                                                length, block)),
                        ("zeroing", error_of(disk.range, BLKZEROOUT,
                                             length, block))):
                    check(result in (errno.ENOSPC, errno.EINVAL),
                          f"{what} behind the end: "
                          f"{errno.errorcode.get(result, result)}")
                disk.write(length - block, pattern(length, block))
            settle()
        want = bytearray(data)
        want[4 * MIB - block:4 * MIB] = pattern(2, block)
        want[MIB - block:MIB] = pattern(MIB, block)
        want[:block] = pattern(block, block)
        with Disk(device) as lower:
            check(lower.read(START, 7 * MIB) == want,
                  "the data on the backing has changed")
        stor.set("one", length=6 * MIB)
        with Disk("/dev/stor0") as disk:
            check(disk.read(0, 6 * MIB) == want[:6 * MIB],
                  "the data is not back with the length")
        stor.delete(name="one")
        equal([(name, volume["length"], volume["gate-count"])
               for name, volume in stor.events(monitor, 7)],
              [("ADD_NTF", 2 * MIB, 0), ("SET_NTF", 4 * MIB, 1),
               ("SET_NTF", 4 * MIB, 2), ("SET_NTF", MIB, 3),
               ("SET_NTF", block, 4), ("SET_NTF", 6 * MIB, 5),
               ("DEL_NTF", 6 * MIB, 5)], "events")


@test
def rules(stor, devices):
    """what is refused, with its reason, and that nothing changes then"""
    for device in one_of_each(devices):
        block, end = device.block, device.size
        one = stor.new("one", device, offset=START, length=8 * MIB)
        stor.new("next", device, offset=40 * MIB, length=MIB)
        last = stor.new("last", device, offset=end - 2 * MIB, length=MIB)
        monitor = stor.monitor()
        past = (f"length: end {end + block} is past the backing's end "
                f"{end}")
        for number, message, blames, who, values in (
                (errno.EINVAL, NONE_GIVEN, None, "one", {}),
                (errno.EINVAL, f"length: 0, at least one logical block of "
                 f"{block} is needed", "length", "one", {"length": 0}),
                (errno.EINVAL, f"length: {MIB + 1} is not a multiple of the "
                 f"logical block size {block}", "length", "one",
                 {"length": MIB + 1}),
                (errno.EINVAL, f"length: {MIB + block // 2} is not a "
                 f"multiple of the logical block size {block}", "length",
                 "one", {"length": MIB + block // 2}),
                (errno.EBUSY, f"length: {24 * MIB + block} overlaps volume "
                 "next", "length", "one", {"length": 24 * MIB + block}),
                (errno.EBUSY, f"length: {100 * MIB} overlaps volume next",
                 "length", "one", {"length": 100 * MIB}),
                (errno.ENOSPC, past, "length", "last",
                 {"length": 2 * MIB + block}),
                (errno.ENOSPC, re.compile(r"length: end \d+ is past the "
                                          r"backing's end \d+"),
                 "length", "last", {"length": 1 << 62}),
                (errno.EOVERFLOW, re.compile(
                    r"length: \d+ from offset \d+ is over 2\^64"),
                 "length", "last", {"length": (1 << 64) - block}),
                (errno.ERANGE, "integer out of range", "read-only", "one",
                 {"read_only": 2}),
                (errno.ENOENT, "name: no volume none", "name", "none",
                 {"length": MIB}),
                (errno.ENOENT, "index: no volume stor7", "index",
                 {"index": 7}, {"length": MIB}),
                (errno.EINVAL, "none of name, uuid and index is given, one "
                 "is needed", None, {}, {"length": MIB}),
                (errno.EINVAL, "more than one of name, uuid and index is "
                 "given", None, {"name": "one", "index": 0},
                 {"length": MIB})):
            refused(number, message, stor.set, who, blames=blames, **values)
        for selector, message in (
                ({}, "none of name, uuid and index is given, one is needed"),
                ({"name": "one", "uuid": one["uuid"]},
                 "more than one of name, uuid and index is given")):
            refused(errno.EINVAL, message, stor.gate, **selector)
        refused(errno.ENOENT, "name: no volume none", stor.gate,
                name="none", blames="name")
        equal(stor.get(name="one"), one, "the volume")
        equal(stor.get(name="last"), last, "the volume at the end")
        # Up to the neighbour, and to the end, it may go.
        equal(stor.set({"uuid": one["uuid"]}, length=24 * MIB)["length"],
              24 * MIB, "length up to the neighbour")
        equal(stor.set({"index": 2}, length=2 * MIB)["length"],
              2 * MIB, "length up to the end")
        refused(errno.EBUSY, f"offset: {39 * MIB} overlaps volume one",
                stor.new, "four", device, offset=39 * MIB, length=MIB,
                blames="offset")
        # What a volume gives back, another may have.
        settle()
        stor.set("one", length=8 * MIB)
        stor.new("four", device, offset=24 * MIB, length=16 * MIB)
        refused(errno.EBUSY, f"length: {8 * MIB + block} overlaps volume "
                "four", stor.set, "one", length=8 * MIB + block,
                blames="length")
        events = [(name, volume["name"])
                  for name, volume in stor.events(monitor, 4)]
        equal(events, [("SET_NTF", "one"), ("SET_NTF", "last"),
                       ("SET_NTF", "one"), ("ADD_NTF", "four")], "events")
        for name in ("one", "next", "last", "four"):
            stor.delete(name=name)


@test
def seen_by_others(stor, devices):
    """partitions, who stands on it, and udev learn of a new size"""
    stor.new("one", devices[0], offset=START, length=8 * MIB)
    settle()
    uevents = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
    uevents.bind((0, 1))
    uevents.settimeout(20)
    stor.set("one", length=32 * MIB)
    while True:
        words = uevents.recv(1 << 16).split(b"\0")
        if b"DEVNAME=stor0" in words:
            break
    uevents.close()
    check(b"RESIZE=1" in words and b"ACTION=change" in words, words)
    # A partition in the new part, and one that keeps it from shrinking.
    add_partition("/dev/stor0", 1, 16 * MIB, 8 * MIB)
    with Disk("/dev/stor0p1") as part:
        part.write(0, pattern(1, MIB))
        settle()
        refused(errno.EBUSY, "length: stor0 is open", stor.set, "one",
                length=30 * MIB, blames="length")
        stor.set("one", length=33 * MIB)
        equal(part.read(0, MIB), pattern(1, MIB), "data of the partition")
    with Disk("/dev/stor0") as disk:
        equal(disk.read(16 * MIB, MIB), pattern(1, MIB), "data")
    delete_partition("/dev/stor0", 1)
    # A volume on it can use what it has grown by.
    stor.new("top", "/dev/stor0", offset=MIB)
    refused(errno.ENOSPC, f"length: end {34 * MIB} is past the backing's "
            f"end {33 * MIB}", stor.set, "top", length=33 * MIB,
            blames="length")
    refused(errno.EBUSY, "length: stor0 is open", stor.set, "one",
            length=30 * MIB, blames="length")
    stor.set("one", length=34 * MIB)
    stor.set("top", length=33 * MIB)
    with Disk("/dev/stor1") as top, Disk(devices[0]) as lower:
        top.write(32 * MIB, pattern(2, MIB))
        equal(lower.read(START + 33 * MIB, MIB), pattern(2, MIB), "data")
    stor.delete(name="top")
    stor.delete(name="one")


main(setup, clean)
