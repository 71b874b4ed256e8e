#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Injected I/O errors of the backing come to the I/Os that met them only."""

import errno
import os
import random

from lib import inject, load
from lib.stor import (BLKDISCARD, BLKZEROOUT, Device, Disk, MIB, clean,
                      error_of, one_of_each, pattern, settle, setup)
from lib.tap import check, equal, main, note, test

ROUNDS = int(os.environ.get("STOR_TEST_INJECTIONS") or 50)
STEPS = 12
LIMIT = 120  # seconds for one round
REGION = 4 * MIB
START = MIB

# What the block layer calls an error, and what a program gets.
STATUS = {"IOERR": errno.EIO, "MEDIUM": errno.ENODATA,
          "TIMEOUT": errno.ETIMEDOUT, "NOSPC": errno.ENOSPC,
          "TARGET": errno.EREMOTEIO, "TRANSPORT": errno.ENOLINK,
          "PROTECTION": errno.EILSEQ, "RESV_CONFLICT": errno.EBADE}
OPERATIONS = {"READ": "read", "WRITE": "write", "DISCARD": "discard",
              "WRITE_ZEROES": "zeroes"}


def ready():
    """What each test is called with."""
    inject.need("fail_make_request")
    return setup()


def attempt(path, how, offset, length):
    """What one I/O ends with: 0 or the number of an error."""
    with Disk(path) as disk:
        if how == "read":
            return error_of(disk.read, offset, length)
        if how == "write":
            return error_of(disk.write, offset, bytes(length))
        if how == "flush":
            return error_of(os.fsync, disk.fd)
        code = BLKDISCARD if how == "discard" else BLKZEROOUT
        return error_of(disk.range, code, offset, length)


@test
def lower_bios(stor, devices):
    """bios to the backing fail: as many I/Os do (fail_make_request)"""
    chance = random.Random(4)
    for device in one_of_each(devices):
        stor.new("one", device, offset=START, length=REGION)
        settle()
        failed = {}
        data = {at: None for at in range(0, REGION, 65536)}
        with inject.bios(device, probability=30) as failing, \
                Disk("/dev/stor0") as disk:
            for number in range(ROUNDS * 6):
                before = failing.count()
                how = chance.choice(("read", "write", "flush"))
                at = chance.choice(list(data))
                if how == "write":
                    new = pattern(number, 65536)
                    end = error_of(disk.write, at, new)
                    data[at] = None if end else new
                elif how == "read":
                    end = error_of(disk.read, at, 4096)
                else:
                    end = error_of(os.fsync, disk.fd)
                met = failing.count() - before
                equal(end, errno.EIO if met else 0,
                      f"{how} at {at}, where {met} bios failed")
                failed[how, bool(end)] = failed.get((how, bool(end)), 0) + 1
        with Disk("/dev/stor0") as disk:
            for at, want in data.items():
                check(want is None or disk.read(at, 65536) == want,
                      f"what was written at {at} is not there")
        note(", ".join(f"{count} {how}s {'failed' if end else 'done'}"
                       for (how, end), count in sorted(failed.items())))
        equal(len(failed), 6, "kinds of I/O, failed and done")
        stor.delete(name="one")


@test
def each_status(stor, devices):
    """each error of each operation: the same above, and only there"""
    for device in one_of_each(devices):
        stor.new("one", device, offset=START, length=REGION)
        stor.new("two", device, offset=START + REGION, length=REGION)
        settle()
        bad = MIB  # the bytes at this offset of the volume
        places = {"before": bad - 65536, "first": bad, "across": bad - 4096,
                  "last": bad + 65536 - 4096, "after": bad + 65536}
        seen = 0
        for operation, how in OPERATIONS.items():
            for status, number in STATUS.items():
                with inject.ErrorRules(device) as rules:
                    rules.add(operation, status, START + bad, 65536)
                    below, above = ({
                        place: attempt(path, how, shift + at,
                                       8192 if place == "across" else 4096)
                        for place, at in places.items()}
                        for path, shift in ((device, START),
                                            ("/dev/stor0", 0)))
                    equal(above, below, f"{how} with {status}")
                    if how != "zeroes":  # which may be done by writing
                        equal(above, {"before": 0, "first": number,
                                      "across": number, "last": number,
                                      "after": 0}, f"{how} with {status}")
                    # The other operations, and the neighbour, are well.
                    for other in OPERATIONS.values():
                        if other != how:
                            equal(attempt("/dev/stor0", other, bad, 4096), 0,
                                  f"{other} where {how} fails")
                        equal(attempt("/dev/stor1", other, bad, 4096), 0,
                              f"{other} of the neighbour")
                    equal(attempt("/dev/stor0", "flush", 0, 0), 0, "flush")
                    seen += 1
        note(f"{device}: {seen} pairs of operation and error")
        for name in ("one", "two"):
            equal(stor.get(name=name)["state"], "live", f"state of {name}")
            stor.delete(name=name)


@test
def under_load(stor, devices):
    """errors at random under load: I/O beside them is well, data is there"""
    for device in one_of_each(devices):
        names = ("one", "two")
        for at, name in enumerate(names):
            stor.new(name, device, offset=START + at * 2 * REGION,
                     length=2 * REGION)
        settle()

        def hit(offset, length):
            # The first half of each of the three regions of volume one.
            return any(offset < at + REGION // 4 and at < offset + length
                       for at in (0, REGION // 2, REGION))
        regions = [load.Region("/dev/stor0", at, REGION // 2 // load.BLOCK, 5,
                               hit) for at in (0, REGION // 2, REGION)]
        beside = [load.Region("/dev/stor1", 0, REGION // load.BLOCK, 5,
                              lambda offset, length: False)]
        for number in range(ROUNDS):
            with inject.ErrorRules(device) as rules:
                for at in (0, REGION // 2, REGION):
                    for operation in OPERATIONS:
                        rules.add(operation, "IOERR" if number % 2 else
                                  "MEDIUM", START + at, REGION // 4, 3)
                load.together(regions + beside, STEPS, LIMIT)()
            for region in regions + beside:
                region.verify()
        ends = load.outcome(regions)
        note(inject.summary(ends))
        for what in ("read", "write", "discard", "batched read",
                     "batched write"):
            check(ends[f"{what} EIO"] + ends[f"{what} ENODATA"],
                  f"{what} has never met an error")
        check(not any("flush E" in what for what in ends), "a flush failed")
        merges = Device("/dev/stor0").stat()["write_merges"]
        check(merges > 0, "nothing was merged")
        for name in names:
            stor.delete(name=name)


main(ready, clean)
