#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""An error of the backing is the same error above, and hits nobody else."""

import errno
import os

from lib.lower import mapped, null_blk, scsi_debug
from lib.stor import (Disk, MIB, call, clean, pattern, run, settle, setup,
                      volume)
from lib.tap import check, equal, main, note, test

START = MIB


def attempt(path, how, offset, length):
    """What I/O ends with: 0 or the number of an error."""
    with Disk(path) as disk:
        try:
            if how == "read":
                disk.read(offset, length)
            elif how == "write":
                disk.write(offset, bytes(length))
            elif how == "flush":
                os.fsync(disk.fd)
            elif how == "discard":
                disk.range(0x1277, offset, length)
            elif how == "zeroes":
                disk.range(0x127F, offset, length)
            elif how == "punch":
                call("fallocate", disk.fd, 3, offset, length)
            return 0
        except OSError as why:
            return why.errno


def same(stor, backing, cases, want=None):
    """Fail unless each I/O ends above as it does below.

    cases: of kind, offset on the backing and length; want: an error that
    has to be among the results.
    """
    below = [attempt(backing, how, at, length) for how, at, length in cases]
    with volume(stor, backing, offset=START) as path:
        above = [attempt(path, how, at - START, length)
                 for how, at, length in cases]
    equal(above, below, "errors above, and below")
    if want:
        check(want in above, f"no {errno.errorcode[want]} among {above}")
    check(0 in above, "nothing went well")
    note(", ".join(f"{how} {errno.errorcode.get(got, 'done')}"
                   for (how, _, _), got in zip(cases, above)))


@test
def medium(stor, _devices):
    """a medium error stays a medium error (scsi_debug)"""
    with scsi_debug("dev_size_mb=16", "opts=2", "medium_error_start=8192",
                    "medium_error_count=8") as path:
        same(stor, path, [
            ("read", 8192 * 512, 4096), ("read", 8190 * 512, 8192),
            ("write", 8192 * 512, 4096), ("read", 8200 * 512, 4096),
            ("read", 8184 * 512, 4096), ("read", START, 512)],
            errno.ENODATA)


@test
def bad_blocks(stor, _devices):
    """blocks that are bad, of a disk that keeps a list (null_blk)"""
    with null_blk(size=64, memory_backed=1, discard=1) as config:
        (config / "badblocks").write_text("+8192-8199")
        same(stor, "/dev/stortest", [
            ("read", 8192 * 512, 4096), ("write", 8192 * 512, 4096),
            ("read", 8184 * 512, 4096), ("write", 8200 * 512, 4096),
            ("write", 8184 * 512, 65536), ("flush", 0, 0),
            ("discard", 16 * MIB, MIB), ("read", START, 512)], errno.EIO)


@test
def hole(stor, devices):
    """a backing with a hole in it (dm-linear, dm-error)"""
    sectors = 4 * MIB // 512
    table = (f"0 {sectors} linear {devices[0]} 0\n"
             f"{sectors} {sectors} error\n"
             f"{2 * sectors} {sectors} linear {devices[0]} {sectors}\n")
    with mapped("stortest-hole", table) as path:
        same(stor, path, [
            (how, at, 4096) for how in ("read", "write", "zeroes", "punch")
            for at in (2 * MIB, 4 * MIB - 4096, 4 * MIB, 8 * MIB - 4096,
                       8 * MIB)] + [
            # Across the edge.
            ("read", 4 * MIB - 4096, 8192), ("write", 8 * MIB - 4096, 8192),
            ("flush", 0, 0)], errno.EIO)


@test
def flaky(stor, devices):
    """a backing that fails for a while and comes back (dm-flakey)"""
    sectors = 64 * MIB // 512
    with mapped("stortest-flaky",
                f"0 {sectors} linear {devices[0]} 0\n") as lower:
        stor.new("one", lower, offset=START)
        settle()
        with Disk("/dev/stor0") as disk:
            data = pattern(3, 65536)
            disk.write(0, data)
            run("modprobe", "dm-flakey", check=False)
            lower.table(f"0 {sectors} flakey {devices[0]} 0 0 100\n")
            for how in ("read", "write", "flush"):
                equal(attempt("/dev/stor0", how, 0, 4096), errno.EIO,
                      f"{how} while it fails")
            equal(stor.get(name="one")["state"], "live", "state")
            lower.table(f"0 {sectors} linear {devices[0]} 0\n")
            equal(disk.read(0, len(data)), data, "the data, when it is back")
            disk.write(0, data[::-1])
            equal(disk.read(0, len(data)), data[::-1], "new data")
        stor.delete(name="one")


main(setup, clean)
