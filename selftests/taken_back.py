#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What a backing takes back at run time: the volumes on it take it back, too.

Nothing at hand offers secure erase, which goes the same way.
"""

import contextlib
import errno
import os
import pathlib
import tempfile

from lib import keys
from lib.lower import mapped, scsi_debug
from lib.stats import failures
from lib.stor import (BLKDISCARD, BLKZEROOUT, MIB, Disk,
                      clean, error_of, need, number_of, pattern, run, settle,
                      setup)
from lib.tap import KernelLog, check, equal, main, note, test

SIZE = 16 * MIB
PIECES = 20
SAME = pathlib.Path("/sys/module/scsi_debug/parameters/write_same_length")


def limit(path, name):
    """A limit of the queue of a device, in bytes."""
    disk = os.path.basename(os.path.realpath(path))
    return number_of(f"/sys/block/{disk}/queue/{name}_max_bytes")


@contextlib.contextmanager
def refusing_scsi():
    """A SCSI disk that is asked for all by WRITE SAME, which it may refuse.

    Gives its path.
    """
    with scsi_debug("dev_size_mb=32", "lbpws=1", "lbpu=0", "lbpws10=0",
                    "write_same_length=65535") as path:
        yield path


def zeroed(path):
    """Zero a range of other data; fail unless it is all zeros then."""
    with Disk(path) as disk:
        disk.write(MIB, pattern(3, MIB))
        number = error_of(disk.range, BLKZEROOUT, MIB, MIB // 2)
        equal(number, 0, f"error of BLKZEROOUT on {path}")
        equal(disk.read(MIB, MIB), bytes(MIB // 2) +
              pattern(3, MIB)[MIB // 2:], "what is there")


def on_scsi(stor, function):
    """Call a function with a device that refuses, once for each kind of path.

    It gets the path, and what makes the disk refuse: the disk itself, to see
    what has to be, dm-linear on it, and volumes on either and on each other.
    """
    sectors = 32 * MIB // 512
    for name in ("bare", "linear", "volume", "on linear", "stacked"):
        note(name)
        with refusing_scsi() as disk, contextlib.ExitStack() as stack:
            path = disk
            if "linear" in name:
                path = str(stack.enter_context(mapped(
                    "stortest-linear", f"0 {sectors} linear {disk} 0\n")))
            if name not in ("bare", "linear"):
                stor.new("one", path, length=SIZE)
                path = "/dev/stor0"
            if name == "stacked":
                stor.new("two", path, length=SIZE // 2)
                path = "/dev/stor1"
            settle()
            function(path, lambda: SAME.write_text("1"))
            for volume in stor.dump()[::-1]:
                stor.delete(name=volume["name"])


@test
def write_zeroes(stor, _devices):
    """a disk refuses WRITE SAME: zeros are written, and it is asked no more"""
    def work(path, refuse):
        check(limit(path, "write_zeroes") > 0, "not offered at first")
        zeroed(path)
        refuse()
        log = KernelLog()
        for _ in range(3):
            zeroed(path)
        equal(limit(path, "write_zeroes"), 0, "the limit")
        lines = [line for line in log.lines() if "error, dev stor" in line]
        check(len(lines) <= 1, f"in the log: {lines}")
        for volume in stor.dump():
            before = failures(stor, volume["name"])
            check(sum(before.values()) <= 1, f"failed I/Os: {before}")
            zeroed(path)
            equal(failures(stor, volume["name"]), before, "failed I/Os, later")
    on_scsi(stor, work)


def discard_refused(stor, path, first):
    """Discard where it is refused; all but the first end at once.

    `first` is what the first may end with.
    """
    log = KernelLog()
    before = {volume["name"]: sum(failures(stor, volume["name"]).values())
              for volume in stor.dump()}
    with Disk(path) as disk:
        ends = [error_of(disk.range, BLKDISCARD, at * 65536, 65536)
                for at in range(PIECES)]
    check(ends[0] in first, f"the first discard ends with {ends[0]}")
    equal(ends[1:], [errno.EOPNOTSUPP] * (PIECES - 1), "the others")
    lines = [line for line in log.lines() if "error, dev stor" in line]
    check(len(lines) <= 1, f"{len(lines)} lines in the log: {lines[:3]}")
    # The disk itself may say another number, and refuse all the same.
    for volume in stor.dump():
        equal(limit(f"/dev/{volume['disk']}", "discard"), 0, "the limit")
        failed = failures(stor, volume["name"])
        check(sum(failed.values()) <= 1 + before[volume["name"]],
              f"failed I/Os: {failed}")


@test
def discards(stor, _devices):
    """a disk refuses to discard: it is asked once, and then no more"""
    def work(path, refuse):
        with Disk(path) as disk:
            equal(error_of(disk.range, BLKDISCARD, 0, MIB), 0, "at first")
        refuse()
        discard_refused(stor, path, (errno.EREMOTEIO, errno.EOPNOTSUPP, 0))
    on_scsi(stor, work)


@test
def discards_encrypted(stor, _devices):
    """the same of an encrypted volume that passes discards on"""
    with refusing_scsi() as disk, keys.key(pattern(1, 64)) as key:
        stor.new("one", disk, length=SIZE, key=key, discard=1)
        settle()
        with Disk("/dev/stor0") as upper:
            equal(error_of(upper.range, BLKDISCARD, 0, MIB), 0, "at first")
        SAME.write_text("1")
        discard_refused(stor, "/dev/stor0",
                        (errno.EREMOTEIO, errno.EOPNOTSUPP, 0))
        stor.delete(name="one")


@test
def by_others(stor, _devices):
    """somebody else met the refusal: the volume's first ends well, too"""
    with refusing_scsi() as disk:
        stor.new("one", disk, length=SIZE)
        settle()
        SAME.write_text("1")
        with Disk(disk) as lower:
            equal(error_of(lower.range, BLKZEROOUT, 20 * MIB, MIB), 0,
                  "zeros on the disk itself")
            error_of(lower.range, BLKDISCARD, 20 * MIB, MIB)
            equal(error_of(lower.range, BLKDISCARD, 20 * MIB, MIB),
                  errno.EOPNOTSUPP, "a discard on the disk itself")
        zeroed("/dev/stor0")
        equal(limit("/dev/stor0", "write_zeroes"), 0, "the limit")
        discard_refused(stor, "/dev/stor0", (errno.EOPNOTSUPP, 0))
        stor.delete(name="one")


@test
def trimmed(stor, _devices):
    """fstrim of a file system in many extents, where discards are refused"""
    need("mkfs.ext4", "fstrim")
    with refusing_scsi() as disk:
        stor.new("one", disk, length=SIZE)
        settle()
        run("mkfs.ext4", "-q", "-F", "-b", "1024", "-E", "nodiscard",
            "/dev/stor0")
        with tempfile.TemporaryDirectory() as folder:
            run("mount", "/dev/stor0", folder)
            try:
                for number in range(40):
                    pathlib.Path(folder, f"f{number}").write_bytes(
                        pattern(number, 32768))
                os.sync()
                for number in range(0, 40, 2):
                    pathlib.Path(folder, f"f{number}").unlink()
                os.sync()
                SAME.write_text("1")
                log = KernelLog()
                for _ in range(2):
                    run("fstrim", folder, check=False)
                lines = [line for line in log.lines()
                         if "error, dev stor" in line]
                check(len(lines) <= 1, f"{len(lines)} lines in the log: "
                                       f"{lines[:3]}")
                failed = failures(stor)
                check(sum(failed.values()) <= 1, f"failed I/Os: {failed}")
                done = run("fstrim", folder, check=False)
                check("not supported" in done.stderr, "fstrim says: "
                      f"{done.returncode} {done.stdout}{done.stderr}")
            finally:
                settle()
                run("umount", folder)
        stor.delete(name="one")


main(setup, clean)
