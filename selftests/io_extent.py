#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What is done to a volume is done to its range of the backing, no more."""

import errno
import mmap
import os
import random
import re

from lib.blktrace import requests
from lib.stor import (BLKDISCARD, BLKZEROOUT, Device, Disk, MIB, call, clean,
                      need, one_of_each, pattern, run, setup)
from lib.tap import Skip, check, equal, main, note, test

BLKSECDISCARD = 0x127D
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
START, LENGTH, ALL = 2 * MIB, 4 * MIB, 8 * MIB


class Image:
    """A backing, and what has to be on its first bytes."""

    def __init__(self, device, seed):
        self.device, self.want = device, bytearray(pattern(seed, ALL))
        with Disk(device) as disk:
            disk.write(0, self.want)

    def put(self, offset, data):
        """Something was written at an offset of the volume."""
        at = START + offset
        self.want[at:at + len(data)] = data

    def check(self):
        """Fail unless the backing has that, past the page cache."""
        with Disk(self.device) as disk:
            got = disk.read(0, ALL)
        if got == self.want:
            return
        block = self.device.block
        wrong = [at for at in range(0, ALL, block)
                 if got[at:at + block] != self.want[at:at + block]]
        where = ["inside" if START <= at < START + LENGTH else "outside"
                 for at in wrong]
        check(False, f"{self.device}: {len(wrong)} blocks are wrong, "
              f"{where.count('outside')} of them outside the volume; "
              f"the first at {wrong[0]}")


def volume(stor, device):
    """Make the volume that all tests here use."""
    stor.new("one", device, offset=START, length=LENGTH)
    return Device("/dev/stor0")


@test
def place(stor, devices):
    """data is at its place on the backing, and the neighbours keep theirs"""
    rng = random.Random(1)
    for device in one_of_each(devices):
        block = device.block
        image = Image(device, 11)
        one = volume(stor, device)
        with Disk(one) as disk:
            equal(disk.read(0, LENGTH), image.want[START:START + LENGTH],
                  "what was there before")
            places = [(0, block), (LENGTH - block, block),
                      (block, 7 * block), (LENGTH - MIB, MIB)]
            for _ in range(60):
                length = rng.randrange(1, 65) * block
                places.append((rng.randrange(0, LENGTH - length, block),
                               length))
            for at, (offset, length) in enumerate(places):
                data = pattern(at, length)
                disk.write(offset, data)
                image.put(offset, data)
                equal(disk.read(offset, length), data, "read back")
        stor.delete(name="one")
        image.check()


@test
def buffered(stor, devices):
    """the same by the page cache, in pieces that fit no block"""
    rng = random.Random(2)
    for device in one_of_each(devices):
        image = Image(device, 12)
        one = volume(stor, device)
        with Disk(one, os.O_RDWR) as disk:
            for at in range(60):
                length = rng.randrange(1, 40000)
                offset = rng.randrange(LENGTH - length)
                data = pattern(at, length)
                equal(os.pwrite(disk.fd, data, offset), length, "written")
                image.put(offset, data)
            os.fsync(disk.fd)
        stor.delete(name="one")
        image.check()


@test
def beyond(stor, devices):
    """what is beyond the end, or no whole block, is refused"""
    for device in one_of_each(devices):
        block = device.block
        image = Image(device, 13)
        one = volume(stor, device)
        with Disk(one) as disk:
            for offset, length, want in (
                    (LENGTH, block, errno.ENOSPC),
                    (LENGTH + MIB, block, errno.ENOSPC),
                    (block // 2, block, errno.EINVAL),
                    (0, block // 2, errno.EINVAL)):
                try:
                    disk.write(offset, bytes(length))
                    check(False, f"write of {length} at {offset} was done")
                except OSError as why:
                    equal(why.errno, want, f"errno at {offset}")
            # A write across the end is cut off there.
            data = pattern(1, 2 * block)
            memory = memoryview(bytearray(data))
            with Disk(one, os.O_RDWR) as cached:
                equal(os.pwrite(cached.fd, memory, LENGTH - block), block,
                      "bytes written across the end")
                os.fsync(cached.fd)
            image.put(LENGTH - block, data[:block])
            equal(os.pread(disk.fd, 0, LENGTH), b"", "read at the end")
            for number in (BLKDISCARD, BLKZEROOUT):
                for offset, length in ((LENGTH - block, 2 * block),
                                       (LENGTH, block), (0, block // 2),
                                       (2**64 - block, 2 * block)):
                    try:
                        disk.range(number, offset, length)
                        check(False, f"ioctl {number:#x} at {offset}")
                    except OSError as why:
                        equal(why.errno, errno.EINVAL, "errno")
        stor.delete(name="one")
        image.check()


@test
def way_down(stor, devices):
    """each request goes down as one, with its kind, place and flags"""
    for device in one_of_each(devices):
        block, sectors = device.block, device.block // 512
        one = volume(stor, device)
        base = START // 512
        with Disk(one) as disk:
            for what, function, kind, sector, count in (
                    ("read", lambda d: d.read(block, 8 * block),
                     "R", sectors, 8 * sectors),
                    ("write", lambda d: d.write(0, bytes(block)),
                     "W", 0, sectors),
                    ("FUA", lambda d: d.write(block, bytes(block),
                                              os.RWF_DSYNC),
                     "WF", sectors, sectors),
                    ("discard", lambda d: d.range(BLKDISCARD, MIB, MIB),
                     "D", MIB // 512, MIB // 512),
                    ("zeroes", lambda d: d.range(BLKZEROOUT, MIB, 65536),
                     "WZ", MIB // 512, 128),
                    ("flush", lambda d: os.fsync(d.fd), "FF", None, 0)):
                before = one.stat(), device.stat()
                with requests(one, device) as collect:
                    function(disk)
                    found = collect()
                upper = [r[1:] for r in found if r[0] == one.name]
                lower = [r[1:] for r in found if r[0] == device.name]
                kinds = {kind}
                if kind == "WF":
                    # The page cache sends a flush behind it.
                    upper = [r for r in upper if "FF" not in r[0]]
                    lower = [r for r in lower if "FF" not in r[0]]
                    if not int((one.sys / "queue/fua").read_text()):
                        kinds = {"W"}
                equal((len(upper), len(lower)), (1, 1),
                      f"{what}: requests above and below ({found})")
                check(upper[0][0] in kinds and lower[0][0] == upper[0][0],
                      f"{what}: kinds {upper[0][0]}, {lower[0][0]}")
                if sector is not None:
                    equal(upper[0][1:], (sector, count), f"{what} above")
                    equal(lower[0][1:], (base + sector, count),
                          f"{what} below")
                if what == "flush":
                    for then, now in zip(before, (one, device)):
                        equal(now.stat()["flush"] - then["flush"], 1,
                              f"{now}: flushes counted")
                if what == "discard":
                    for then, now in zip(before, (one, device)):
                        equal(now.stat()["discard_sectors"]
                              - then["discard_sectors"], MIB // 512,
                              f"{now}: sectors discarded")
        stor.delete(name="one")


@test
def zeroes(stor, devices):
    """discard, write zeroes, punched holes: as on the backing itself"""
    for device in one_of_each(devices):
        block = device.block
        image = Image(device, 14)
        # What the backing itself does with a discard.
        with Disk(device) as disk:
            disk.range(BLKDISCARD, 0, MIB)
            reads_zero = disk.read(0, MIB) == bytes(MIB)
            disk.write(0, image.want[:MIB])
        one = volume(stor, device)
        with Disk(one) as disk:
            disk.range(BLKZEROOUT, 0, block)
            image.put(0, bytes(block))
            disk.range(BLKZEROOUT, LENGTH - 9 * block, 9 * block)
            image.put(LENGTH - 9 * block, bytes(9 * block))
            for mode, offset in ((ZERO_RANGE, MIB),
                                 (ZERO_RANGE | KEEP_SIZE, MIB + 65536),
                                 (PUNCH_HOLE | KEEP_SIZE, MIB + 131072)):
                call("fallocate", disk.fd, mode, offset, 65536)
                image.put(offset, bytes(65536))
            disk.range(BLKDISCARD, 2 * MIB, MIB)
            if reads_zero:
                image.put(2 * MIB, bytes(MIB))
            else:
                image.put(2 * MIB, disk.read(2 * MIB, MIB))
            equal(disk.read(0, LENGTH), image.want[START:START + LENGTH],
                  "the volume")
        stor.delete(name="one")
        image.check()
        note(f"{device}: discarded blocks read "
             f"{'zeroes' if reads_zero else 'something'}")


@test
def whole(stor, devices):
    """all of a volume is discarded, zeroed: the neighbours stay"""
    need("blkdiscard")
    for device in one_of_each(devices):
        for options in (("--zeroout",), ("--force",)):
            image = Image(device, 15)
            one = volume(stor, device)
            run("blkdiscard", *options, one)
            with Disk(one) as disk:
                image.put(0, disk.read(0, LENGTH))
                if options == ("--zeroout",):
                    image.put(0, bytes(LENGTH))
            stor.delete(name="one")
            image.check()


@test
def erase(stor, devices):
    """secure erase is refused as the backing refuses it"""
    for device in one_of_each(devices):
        image = Image(device, 16)
        results = []
        for path in (device.path, "/dev/stor0"):
            if path == "/dev/stor0":
                volume(stor, device)
            with Disk(path) as disk:
                try:
                    disk.range(BLKSECDISCARD, START, MIB)
                    results.append(0)
                except OSError as why:
                    results.append(why.errno)
        stor.delete(name="one")
        equal(results[0], results[1], f"{device}: errno of both")
        note(f"{device}: {errno.errorcode.get(results[1], 'done')}")
        if results[1]:
            image.check()


@test
def merged(stor, devices):
    """requests of several bios: counted as merged, and whole"""
    need("fio")
    for device in one_of_each(devices):
        image = Image(device, 17)
        one = volume(stor, device)
        before = one.stat()
        for how in ("write", "read"):
            run("fio", "--name=m", f"--filename={one}", f"--rw={how}",
                f"--bs={device.block}", "--size=1m", "--direct=1",
                "--ioengine=libaio", "--iodepth=32", "--thread",
                "--iodepth_batch_submit=32", "--iodepth_batch_complete=32",
                "--verify=crc32c", "--verify_state_save=0",
                f"--do_verify={int(how == 'read')}", "--minimal")
        now = one.stat()
        for key in ("read_merges", "write_merges"):
            check(now[key] - before[key] > 100,
                  f"{device}: {key} {now[key] - before[key]}")
        with Disk(one) as disk:
            got = disk.read(0, MIB)
        check(got != image.want[START:START + MIB], "nothing was written")
        image.put(0, got)
        stor.delete(name="one")
        image.check()


@test
def scattered(stor, devices):
    """one I/O of many small pieces of memory"""
    for device in one_of_each(devices):
        image = Image(device, 18)
        one = volume(stor, device)
        with Disk(one) as disk:
            for pieces, size in ((256, 512), (200, 4096), (64, 512)):
                if size % device.block and pieces * size % device.block:
                    continue
                data = pattern(pieces, pieces * size)
                pages = mmap.mmap(-1, 8192 * pieces)
                views = []
                for at in range(pieces):
                    view = memoryview(pages)[at * 8192:at * 8192 + size]
                    view[:] = data[at * size:(at + 1) * size]
                    views.append(view)
                equal(os.pwritev(disk.fd, views, MIB), len(data), "written")
                image.put(MIB, data)
                equal(disk.read(MIB, len(data)), data, "read back")
                for view in views:
                    view[:] = bytes(size)
                equal(os.preadv(disk.fd, views, MIB), len(data), "read")
                equal(b"".join(views), data, "read in pieces")
        stor.delete(name="one")
        image.check()


@test
def scheduled(stor, devices):
    """the same below an I/O scheduler"""
    device = devices[0]
    image = Image(device, 19)
    one = volume(stor, device)
    switch = one.sys / "queue/scheduler"
    names = re.findall(r"[\w-]+", switch.read_text())
    if "mq-deadline" not in names:
        run("modprobe", "mq-deadline", check=False)
    try:
        switch.write_text("mq-deadline")
    except OSError as why:
        stor.delete(name="one")
        raise Skip(f"no mq-deadline: {why}") from why
    with Disk(one, os.O_RDWR) as disk:
        data = pattern(5, LENGTH)
        os.pwrite(disk.fd, data, 0)
        os.fsync(disk.fd)
    image.put(0, data)
    switch.write_text("none")
    stor.delete(name="one")
    image.check()


main(setup, clean)
