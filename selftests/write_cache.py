#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A backing that gets a volatile write cache later: flushes must reach it."""

import contextlib
import os

from lib import keys
from lib.blktrace import requests
from lib.lower import mapped, null_blk, scsi_debug
from lib.stats import failures
from lib.stor import (MIB, Device, Disk, buffer, clean, pattern,
                      settle, setup)
from lib.tap import Skip, check, equal, main, note, test

SIZE = 16 * MIB
PLAIN = {"size": 32, "memory_backed": 1}
CACHED = {**PLAIN, "cache_size": 1}


def volumes(stor, backing, before):
    """Make a volume: plain, encrypted, and on another volume, one by one.

    before() brings the backing to what it is when the volume is made.
    """
    with keys.key(pattern(1, 64)) as key:
        for name, how in (("plain", {}), ("encrypted", {"key": key}),
                          ("stacked", {})):
            note(name)
            before()
            path = "/dev/stor0"
            stor.new("one", backing, length=SIZE, **how)
            if name == "stacked":
                stor.new("two", path, length=SIZE // 2)
                path = "/dev/stor1"
            settle()
            yield path
            settle()
            equal(failures(stor), {}, "failed I/Os")
            for volume in stor.dump()[::-1]:
                stor.delete(name=volume["name"])


def flushes(lower, path):
    """How many reach a device for an fsync of what was written."""
    before = lower.stat()["flush"]
    with Disk(path) as disk:
        disk.write(0, pattern(1, 4096))
        os.fsync(disk.fd)
    return lower.stat()["flush"] - before


def durable(lower, path):
    """What a device gets for a write that has to be durable when it ends."""
    with Disk(path) as disk, requests(lower) as collect:
        equal(os.pwritev(disk.fd, [buffer(pattern(2, 4096))], MIB,
                         os.RWF_DSYNC), 4096, "bytes written")
        return [op for _, op, _, _ in collect()]


def safe(lower, path):
    """Fail unless fsync and durable writes empty the cache of a device."""
    count = flushes(lower, path)
    check(count >= 1, f"an fsync of {path}: no flush reaches {lower}, "
                      "which has a cache")
    found = durable(lower, path)
    write = next((at for at, op in enumerate(found) if "W" in op), None)
    check(write is not None, f"no write: {found}")
    check("WF" in found[write] or
          any("W" not in op and "F" in op for op in found[write + 1:]),
          f"a durable write reaches {lower} as {found}, neither FUA nor "
          "with a flush after it")


def cache(device, value=None):
    """queue/write_cache of a device."""
    path = device.sys / "queue/write_cache"
    if value:
        path.write_text(value)
    return path.read_text().strip()


@contextlib.contextmanager
def cached_null_blk(name, fua):
    """One with a volatile cache; with FUA, too, if it can."""
    try:
        with null_blk(name, **CACHED, fua=fua):
            yield Device(f"/dev/{name}")
    except Skip:
        if fua:
            raise
        with null_blk(name, **CACHED):
            yield Device(f"/dev/{name}")


@test
def table(stor, _devices):
    """another table of dm-linear, onto a device with a cache"""
    sectors = 32 * MIB // 512
    for fua in (0, 1):
        note(f"fua {fua}")
        with null_blk("stortest0", **PLAIN), \
                cached_null_blk("stortest1", fua) as cached:
            first, second = (f"0 {sectors} linear /dev/stortest{number} 0\n"
                             for number in range(2))
            with mapped("stortest-cache", first) as lower:
                device = Device(lower)
                for path in volumes(stor, lower, lambda: lower.table(first)):
                    equal(cache(device), "write through", "dm's cache")
                    equal(flushes(Device("/dev/stortest0"), path), 0,
                          "flushes to a device without a cache")
                    lower.table(second)
                    equal(cache(device), "write back", "dm's cache")
                    safe(cached, str(lower))
                    safe(cached, path)


@test
def setting(stor, _devices):
    """queue/write_cache of the backing: write through to write back"""
    for fua in (0, 1):
        note(f"fua {fua}")
        with cached_null_blk("stortest", fua) as lower:
            for path in volumes(stor, lower,
                                lambda: cache(lower, "write through")):
                equal(flushes(lower, path), 0, "flushes while there is none")
                cache(lower, "write back")
                safe(lower, str(lower))
                safe(lower, path)
                # And there is none again: nothing is flushed in vain.
                cache(lower, "write through")
                equal(flushes(lower, path), 0, "flushes while there is none")


@test
def scsi(stor, _devices):
    """the cache type of a SCSI disk: write through to write back"""
    with scsi_debug("dev_size_mb=32") as path:
        lower = Device(path)
        (kind,) = (lower.sys / "device/scsi_disk").glob("*/cache_type")

        def cache_type(text):
            kind.write_text(f"temporary {text}")
            equal(cache(lower), text, "the queue's cache")
        for upper in volumes(stor, lower,
                             lambda: cache_type("write through")):
            equal(flushes(lower, upper), 0, "flushes while there is none")
            cache_type("write back")
            safe(lower, path)
            safe(lower, upper)


main(setup, clean)
