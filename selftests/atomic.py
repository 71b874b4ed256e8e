#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Untorn writes: offered as the backing offers them, and passed on whole."""

import contextlib
import errno
import os
import pathlib

from lib import uring
from lib.blktrace import requests
from lib.lower import null_blk, scsi_debug
from lib.stats import failures
from lib.stor import (Device, Disk, MIB, buffer, clean, error_of, number_of,
                      pattern, setup, volume)
from lib.tap import Skip, check, equal, main, note, test

RWF_ATOMIC = 0x40
LIMITS = ["atomic_write_max_bytes", "atomic_write_unit_min_bytes",
          "atomic_write_unit_max_bytes", "atomic_write_boundary_bytes"]


def limits(name):
    """What a disk says of untorn writes."""
    queue = pathlib.Path("/sys/block") / name / "queue"
    if not (queue / LIMITS[0]).exists():
        raise Skip("this kernel has no untorn writes")
    return [number_of(queue / limit) for limit in LIMITS]


def untorn(disk, offset, length):
    """What an untorn write ends with."""
    return error_of(disk.write, offset, bytes(length), RWF_ATOMIC)


def whole(stor, path):
    """Untorn writes of each size go down as one, and hold the data."""
    lower = Device(path)
    want = limits(lower.name)
    with volume(stor, lower, offset=MIB, length=8 * MIB):
        # What is merged must not be more than one write may be.
        _, least, most, _ = want
        equal(limits("stor0"), [most, *want[1:]], "limits")
        with Disk("/dev/stor0") as disk:
            sizes, size = [], least
            while size and size <= most:
                sizes.append(size)
                size *= 2
            for size in sizes:
                with requests(lower) as collect:
                    disk.write(4 * size, pattern(size, size), RWF_ATOMIC)
                    found = collect()
                equal([(kind.rstrip("F"), at, count)
                       for _, kind, at, count in found if "W" in kind],
                      [("WU" if "U" in found[0][1] else "W",
                        (MIB + 4 * size) // 512, size // 512)],
                      f"requests below of {size} bytes")
                equal(disk.read(4 * size, size), pattern(size, size), "data")
            for offset, length in ((0, 2 * max(most, lower.block)),
                                   (lower.block, 2 * lower.block)):
                result = untorn(disk, offset, length)
                if length > most or offset % length:
                    check(result in (errno.EINVAL, errno.EOPNOTSUPP),
                          f"{length} at {offset}: "
                          f"{errno.errorcode.get(result, 'done')}")
        note(f"{lower.name}: {', '.join(map(str, sizes)) or 'none'}")


@test
def drives(stor, devices):
    """on the drives: the same limits, and each write in one piece"""
    for device in devices:
        whole(stor, device.path)


@contextlib.contextmanager
def scsi_disk(*options):
    """A disk with untorn writes of many blocks; gives its path."""
    with scsi_debug("dev_size_mb=32", "atomic_wr=1", "physblk_exp=3",
                    *options) as path:
        if not limits(Device(path).name)[0]:
            raise Skip("scsi_debug offers no untorn writes")
        yield path


@test
def large(stor, _devices):
    """on a disk with untorn writes of many blocks (scsi_debug)"""
    with scsi_disk() as path:
        whole(stor, path)
        # From where an untorn write could not be kept whole, it is not
        # offered at all.
        with volume(stor, path, "odd", offset=512 * 3, length=MIB):
            own = limits("stor0")
            most = limits(Device(path).name)[2]
            check(own[2] <= 512 or own == [0, 0, 0, 0],
                  f"{own} where {most} is below, from sector 3 on")
            with Disk("/dev/stor0") as disk:
                check(untorn(disk, 0, 4096) in (errno.EINVAL,
                                                errno.EOPNOTSUPP),
                      "an untorn write that can not be kept")


@test
def merged(stor, _devices):
    """untorn writes next to each other, in one batch: each is done, whole"""
    # 24 blocks of 512 bytes at once, so 16 for a single write: two of 8 that
    # were merged are no write that anybody could have made.
    with scsi_disk("atomic_wr_max_length=24") as path:
        lower = Device(path)
        most = limits(lower.name)
        check(most[0] > most[2], f"{most}: no room for a merged write")
        with volume(stor, path, length=8 * MIB):
            with Disk("/dev/stor0") as disk, uring.Ring() as ring:
                data = [pattern(number, 4096) for number in range(4)]
                memory = [buffer(block) for block in data]
                for first in range(0, 16, 4):
                    results = ring.run([
                        (uring.WRITE, disk.fd, (first + number) * 4096,
                         uring.address(block), 4096, RWF_ATOMIC)
                        for number, block in enumerate(memory)])
                    equal(results, [4096] * 4, "results")
                    equal(disk.read(first * 4096, 4 * 4096), b"".join(data),
                          "data")
            equal(failures(stor), {}, "failed I/Os")


@test
def none(stor, _devices):
    """on a disk without, nothing is offered, and a try is refused"""
    with null_blk(size=64, memory_backed=1):
        equal(limits("stortest"), [0, 0, 0, 0], "limits of the backing")
        with volume(stor, "/dev/stortest"):
            equal(limits("stor0"), [0, 0, 0, 0], "limits")
            with Disk("/dev/stor0") as disk:
                check(untorn(disk, 0, os.sysconf("SC_PAGE_SIZE")) in
                      (errno.EINVAL, errno.EOPNOTSUPP), "it is not refused")


main(setup, clean)
