#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes that are changed while they are in use, behind their gate.

STOR_TEST_ROUNDS is how often a gate is closed under load, 20 by default.
"""

import errno
import os
import pathlib
import random
import re
import socket
import struct
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from fio import VERIFY, load  # noqa: E402
from lower import mapped, null_blk  # noqa: E402
from netlink import Refused  # noqa: E402
from stats import failures  # noqa: E402
from stor import (MIB, Disk, Stor, add_partition, buffer,  # noqa: E402
                  call, clean, delete_partition, number_of, one_of_each,
                  pattern, refused, run, settle, setup)
from tap import check, equal, main, note, test, wait_until  # noqa: E402

ROUNDS = int(os.environ.get("STOR_TEST_ROUNDS", "20"))
START = 16 * MIB
BLKROGET, BLKGETSIZE64 = 0x125E, 0x80081272
BLKDISCARD, BLKZEROOUT = 0x1277, 0x127F
STOR = pathlib.Path("/sys/block/stor0/stor")
NONE_GIVEN = "neither length nor read-only is given, one is needed"


def size_of(disk):
    """The size of an open device, by ioctl."""
    return struct.unpack("=Q", disk.ioctl(BLKGETSIZE64, bytes(8)))[0]


def read_only(disk):
    """Whether an open device is read-only, by ioctl."""
    return struct.unpack("=i", disk.ioctl(BLKROGET, bytes(4)))[0]


def error_of(function, *args):
    """The error that something ends with, or 0."""
    try:
        function(*args)
        return 0
    except OSError as why:
        return why.errno


def sized(stor, disk, length):
    """Fail unless all say that stor0 has this length."""
    equal(stor.get(index=0)["length"], length, "length")
    equal(number_of("/sys/block/stor0/size") * 512, length, "size in sysfs")
    equal(number_of(STOR / "length"), length, "stor/length in sysfs")
    equal(size_of(disk), length, "BLKGETSIZE64")
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


CHANGES = {
    "write": lambda disk: disk.write(0, bytes(4096)),
    "discard": lambda disk: disk.range(BLKDISCARD, 0, 4096),
    "zeroes": lambda disk: disk.range(BLKZEROOUT, 0, 4096),
    "punch": lambda disk: call("fallocate", disk.fd, 3, 0, 4096),
}


def locked(path, what):
    """Fail unless a device refuses all that would change it."""
    with Disk(path) as disk:
        equal(read_only(disk), 1, f"BLKROGET of {what}")
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
            equal(read_only(disk), 0, "BLKROGET")
            disk.write(0, data[::-1])
            refused(errno.EBUSY, "read-only: stor0 is open", stor.set, "one",
                    read_only=1, blames="read-only")
            equal(stor.get(name="one")["read-only"], 0, "read-only")
            # Both or none: growing alone would be allowed.
            refused(errno.EBUSY, re.compile(r"(read-only|length): stor0 is "
                                            "open"), stor.set, "one",
                    length=9 * MIB, read_only=1,
                    blames="length")
            equal(size_of(disk), 8 * MIB, "size")
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


def in_thread(function, *args):
    """Start something; gives a function that waits for what it returned."""
    result = []

    def work():
        try:
            result.append(function(*args))
        except Exception as why:
            result.append(why)
    thread = threading.Thread(target=work)
    thread.start()

    def join():
        thread.join(60)
        check(result, f"{function.__name__} has not ended")
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]
    return join


def inflight():
    """I/Os that are under way."""
    return number_of(STOR / "inflight")


@test
def waits(stor, _devices):
    """a gate waits for the I/O in flight, and is counted and measured"""
    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=400000000):
        made = stor.new("one", "/dev/stortest", length=8 * MIB)
        settle()
        equal((made["gate-count"], made["gate-last"], made["gate-longest"]),
              (0, 0, 0), "gate at first")
        longest = 0
        for count in range(1, 5):
            with Disk("/dev/stor0") as disk:
                wait_until(lambda: inflight() == 0, "nothing in flight")
                before = number_of(STOR / "writes")
                join = in_thread(disk.write, 0, pattern(count, 4096))
                wait_until(lambda: inflight() or
                           number_of(STOR / "writes") > before, "the write")
                gate = stor.gate(name="one")
                equal(number_of(STOR / "writes"), before + 1,
                      "writes that have ended when the gate has")
                join()
            longest = max(longest, gate["gate-last"])
            equal((gate["gate-count"], gate["gate-longest"]),
                  (count, longest), "count and longest")
            check(gate["gate-last"] > 0, "the gate took no time")
            for name in ("count", "last", "longest"):
                file = f"gate_{name}" + ("_ns" if name != "count" else "")
                equal(number_of(STOR / file), gate[f"gate-{name}"],
                      f"stor/{file}")
            settle()
        # With an I/O of 0.4 s in flight, at least one was closed for long.
        check(longest > 1000000, f"the longest gate is {longest} ns")
        note(f"longest gate: {longest / 1e6:.1f} ms")
        stor.delete(name="one")


@test
def stuck(stor, devices):
    """I/O that does not end keeps a gate from closing; nothing is lost"""
    device = devices[0]
    sectors = 64 * MIB // 512
    with mapped("stortest-stuck",
                f"0 {sectors} linear {device} 0\n") as lower:
        stor.new("one", lower, length=8 * MIB)
        settle()
        data = pattern(5, 65536)
        with Disk("/dev/stor0") as disk:
            disk.write(MIB, data)
            before = stor.get(name="one")
            lower.suspend("--noflush", "--nolockfs")
            try:
                joins = [in_thread(disk.write, 0, data)]
                wait_until(lambda: inflight() == 1, "a write in flight")
                text = "I/O of stor0 did not end in 10 s, nothing changed"
                refused(errno.ETIMEDOUT, text, stor.set, "one",
                        length=16 * MIB)
                equal(stor.get(name="one"), before, "the volume")
                equal(size_of(disk), 8 * MIB, "size")
                # The gate is open again: I/O goes down, and waits there.
                joins.append(in_thread(disk.read, MIB, len(data)))
                wait_until(lambda: inflight() == 2, "a read in flight")
                # What the volume would have taken is free; looking for
                # partitions waits below, too.
                joins.append(in_thread(lambda: Stor().new(
                    "two", lower, offset=8 * MIB, length=MIB)))
            finally:
                lower.resume()
            joins[0]()
            equal(joins[1](), data, "data")
            equal(joins[2]()["offset"], 8 * MIB, "offset of another")
            equal(disk.read(0, len(data)), data, "what was written")
            refused(errno.EBUSY, f"length: {16 * MIB} overlaps volume two",
                    stor.set, "one", length=16 * MIB, blames="length")
            equal(stor.gate(name="one")["gate-count"],
                  before["gate-count"] + 1, "gate-count")
        stor.delete(name="one")
        stor.delete(name="two")


def rounds(stor, block, jobs):
    """Close and open the gate of one under fio; nothing fails."""
    length = stor.get(name="one")["length"]
    with load(jobs, **VERIFY, filename="/dev/stor0", group_reporting=1,
              numjobs=2, offset_increment="4m", size="2m") as results:
        def done():
            return sum(number_of(STOR / name)
                       for name in ("reads", "writes"))
        for count in range(1, ROUNDS + 1):
            before = done()
            wait_until(lambda: done() > before, "some I/O", 60)
            if count % 3 == 0:
                got = stor.gate(name="one")
            elif count % 3 == 1:
                length += block
                got = stor.set("one", length=length)
            else:
                got = stor.set("one", read_only=0)
            equal((got["gate-count"], got["length"]), (count, length),
                  "count and length")
    jobs = [job for result in results for job in result.values()]
    check(all(job["read"]["io_bytes"] and job["write"]["io_bytes"]
              for job in jobs), "a job did nothing")
    equal(failures(stor), {}, "failed I/Os")
    longest = stor.get(name="one")["gate-longest"]
    kib = sum(job[kind]["io_bytes"] for job in jobs
              for kind in ("read", "write")) >> 10
    note(f"{ROUNDS} rounds, {kib} KiB of I/O; longest gate: "
         f"{longest / 1e6:.2f} ms")


@test
def under_load(stor, devices):
    """gates and growth under fio with verify: no I/O fails"""
    device = one_of_each(devices)[-1]
    stor.new("one", device, offset=START, length=24 * MIB)
    settle()
    rounds(stor, device.block, {
        "small": {"rw": "randrw", "bs": "4k", "iodepth": 16},
        "mixed": {"rw": "randrw", "bsrange": "4k-256k", "iodepth": 8,
                  "offset": "8m", "ioengine": "io_uring"},
        "trims": {"rw": "randtrimwrite", "bs": "4k", "iodepth": 8,
                  "offset": "16m", "size": "1m"}})
    stor.delete(name="one")


@test
def under_polled_load(stor, _devices):
    """the same with polled I/O among it"""
    with null_blk(size=64, memory_backed=1, submit_queues=1, poll_queues=1):
        stor.new("one", "/dev/stortest", length=24 * MIB)
        settle()
        equal(number_of("/sys/block/stor0/queue/io_poll"), 1, "io_poll")
        rounds(stor, 512, {
            "polled": {"rw": "randrw", "bs": "4k", "iodepth": 8,
                       "ioengine": "io_uring", "hipri": 1},
            "small": {"rw": "randrw", "bs": "4k", "iodepth": 16,
                      "offset": "8m"}})
        stor.delete(name="one")


def overlapping(volumes):
    """Two volumes that have the same byte of one backing, if any."""
    volumes = sorted(volumes, key=lambda volume: volume["offset"])
    for one, two in zip(volumes, volumes[1:]):
        if one["offset"] + one["length"] > two["offset"]:
            return one, two
    return None


@test
def many_at_once(stor, _devices):
    """8 who make, change, gate and delete at random: never an overlap"""
    allowed = {"new": {"0", "EEXIST", "EBUSY"},
               "set": {"0", "ENOENT", "EBUSY"},
               "gate": {"0", "ENOENT", "EBUSY"},
               "delete": {"0", "ENOENT", "EBUSY"},
               "io": {"0"}}
    slots = 4  # where a volume may begin, MiB apart

    def outcome(how, function, *args, **values):
        try:
            function(*args, **values)
            return "0"
        except Refused as why:
            name = errno.errorcode[why.errno]
            check(name in allowed[how], f"{how}: {why}")
            return name

    def work(number, end):
        mine, rng, done = Stor(), random.Random(number), {}
        while time.monotonic() < end:
            name = f"vm{rng.randrange(slots)}"
            how = rng.choice(("new", "set", "set", "set", "gate", "delete",
                              "io", "io"))
            if how == "new":
                at = int(name[2:])
                result = outcome(how, mine.new, name, "/dev/stortest",
                                 index=at, offset=at * MIB, length=MIB)
            elif how == "set":
                values = rng.choice((
                    {"length": rng.randrange(1, 13) * MIB // 4},
                    {"length": rng.randrange(1, 13) * MIB // 4},
                    {"read_only": rng.randrange(2)}))
                result = outcome(how, mine.set, name, **values)
            elif how == "gate":
                result = outcome(how, mine.gate, name=name)
            elif how == "delete":
                result = outcome(how, mine.raw_delete, name=name)
            else:
                result = "0"
                try:
                    with Disk(f"/dev/stor{name[2:]}") as disk:
                        for _ in range(4):
                            disk.read(0, 4096)
                except OSError as why:
                    if why.errno not in (errno.ENOENT, errno.ENXIO,
                                         errno.ENODEV):
                        raise
            done[how, result] = done.get((how, result), 0) + 1
        return done

    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=20000000):
        end, children = time.monotonic() + 8, []
        for number in range(8):
            out = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    text = repr(work(number, end))
                except Exception:
                    text = "failed " + traceback.format_exc()
                os.write(out[1], text.encode())
                os._exit(0)
            os.close(out[1])
            children.append((pid, out[0]))
        looks, found = 0, None
        while time.monotonic() < end and not found:
            found = overlapping(stor.dump_now())
            looks += 1
        total = {}
        for pid, pipe in children:
            with os.fdopen(pipe) as file:
                text = file.read()
            equal(os.waitpid(pid, 0)[1], 0, "status of a process")
            check(not text.startswith("failed"), text)
            for key, count in eval(text).items():  # our own repr()
                total[key] = total.get(key, 0) + count
        equal(found, None, "two volumes with the same bytes")
        equal(overlapping(stor.dump()), None, "the same in the end")
        note(f"{looks} looks; " + ", ".join(
            f"{how} {result}: {count}" for (how, result), count in
            sorted(total.items())))
        for how in ("new", "set", "gate", "delete"):
            check(total.get((how, "0")), f"{how} has never worked")
        # Each is still consistent, and usable to its end.
        for volume in stor.dump():
            with Disk(f"/dev/{volume['disk']}", os.O_RDONLY) as disk:
                equal(size_of(disk), volume["length"], "size")
            with Disk(f"/dev/{volume['disk']}") as disk:
                equal(read_only(disk), volume["read-only"], "read-only")
                equal(len(disk.read(volume["length"] - 4096, 4096)), 4096,
                      "bytes read")
        stor.clean()
    wait_until(lambda: number_of("/sys/module/stor/refcnt") == 0,
               "use count 0")


@test
def two_at_once(stor, _devices):
    """two growths of one volume at once: what each takes stays taken"""
    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=150000000):
        for length in (6, 7, 8):
            stor.new("one", "/dev/stortest", length=4 * MIB)
            settle()
            stop = threading.Event()

            def busy(stop=stop):
                with Disk("/dev/stor0") as disk:
                    while not stop.is_set():
                        disk.read(0, 4096)
            reader = in_thread(busy)
            wait_until(inflight, "a read in flight")
            sets = [in_thread(lambda size=size: Stor().set(
                "one", length=size * MIB)) for size in (length, 12)]
            # Whenever there is room, somebody takes it.
            made = False
            end = time.monotonic() + 5
            other = Stor()
            while time.monotonic() < end:
                try:
                    other.new("two", "/dev/stortest", offset=9 * MIB,
                              length=MIB)
                    made = True
                    break
                except Refused as why:
                    equal(why.errno, errno.EBUSY, f"errno of {why}")
                if other.get(name="one")["length"] == 12 * MIB:
                    break
            results = []
            for join in sets:
                try:
                    results.append(join()["length"] // MIB)
                except Refused as why:
                    results.append(errno.errorcode[why.errno])
            stop.set()
            reader()
            equal(overlapping(stor.dump()), None,
                  f"two volumes with the same bytes (sets: {results}, "
                  f"the other was {'made' if made else 'not made'})")
            note(f"to {length} and 12 MiB at once: {results}; "
                 f"another at 9 MiB: {'made' if made else 'refused'}")
            stor.clean()


main(setup, clean)
