#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What an I/O brings along beside its data is what the backing gets."""

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
import re
import struct
import threading

from lib import keys
from lib.blktrace import TRACING, trace
from lib.fio import VERIFY, fio
from lib.lower import mapped, null_blk, scsi_debug
from lib.stats import failures, stat
from lib.stor import (C, Device, Disk, LIBC, MIB, buffer, clean, error_of,
                      number_of, pattern, settle, setup)
from lib.tap import Skip, check, equal, main, note, test, wait_until

IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
REALTIME, BEST_EFFORT, IDLE = 1, 2, 3
F_SET_RW_HINT = 1036
CGROUPS = pathlib.Path("/sys/fs/cgroup")
# A limit of the group's, so high that nobody meets it.
NO_LIMIT = 10 ** 9
PROTECTED = re.compile(r"prot_sgl=(\d+) prot_op=SCSI_PROT_(\w+) .*"
                       r"cmnd=\((READ|WRITE)_\d+ ")


def volumes(stor, backing):
    """The same volume, plain, encrypted by stor and below it, one by one."""
    with keys.key(pattern(1, 64)) as key:
        for name, how in (
                ("plain", {}), ("encrypted", {"key": key}),
                ("blk-crypto", {
                    "key": key, "iv_large_sectors": 1,
                    "crypto_engine": C["STOR_CRYPTO_ENGINE_BLK_CRYPTO"]})):
            note(name)
            stor.new("one", backing, offset=MIB, length=8 * MIB, **how)
            settle()
            yield name
            equal(failures(stor), {}, "failed I/Os")
            stor.delete(name="one")


def numbers(path):
    """Major and minor, as a trace and io.stat have them."""
    device = os.stat(path).st_rdev
    return os.major(device), os.minor(device)


def set_priority(priority):
    """That of this thread's I/O: class, hint and level."""
    kind, hint, level = priority
    number = IOPRIO_SET.get(platform.machine())
    if number is None:
        raise Skip("no number of ioprio_set() for this machine")
    equal(LIBC.syscall(number, 1, 0, kind << 13 | hint << 3 | level), 0,
          "ioprio_set")


@test
def priority(stor, _devices):
    """the I/O priority: class, level and duration limit"""
    lines = re.compile(r"block_rq_issue: (\d+),(\d+) (\w+) \d+ \(.*?\) "
                       r"\d+ \+ \d+ (\w+),(\d+),(\d+)")
    with null_blk(size=16, memory_backed=1):
        below = numbers("/dev/stortest")
        for _ in volumes(stor, "/dev/stortest"):
            for word, given in (("rt", (REALTIME, 0, 3)),
                                ("be", (BEST_EFFORT, 2, 6)),
                                ("idle", (IDLE, 0, 0))):
                with Disk("/dev/stor0") as disk, trace(
                        "block/block_rq_issue", lines) as collect:
                    set_priority(given)
                    try:
                        disk.write(0, pattern(1, 4096))
                        disk.read(0, 4096)
                    finally:
                        set_priority((0, 0, 0))
                    found = [(match[3][0], match[4], int(match[5]),
                              int(match[6])) for match in collect()
                             if (int(match[1]), int(match[2])) == below]
                equal(found, [(op, word, *given[1:]) for op in "WR"],
                      f"requests below, of {word}")


@contextlib.contextmanager
def hints_below(path):
    """Collect the write hints of the bios that a device gets."""
    group = f"stortest{os.getpid()}"

    def probe(command):
        # Not by open(), which looks for the end of what it appends to.
        fd = os.open(TRACING / "dynamic_events", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, command.encode())
        finally:
            os.close(fd)
    try:
        probe(f"f:{group}/hint submit_bio_noacct opf=bio->bi_opf "
              "hint=bio->bi_write_hint:u8 dev=bio->bi_bdev->bd_dev\n")
    except OSError as why:
        raise Skip(f"no probe at functions, by types: {why}") from None
    try:
        major, minor = numbers(path)
        with trace(f"{group}/hint", re.compile(
                r"opf=(\d+) hint=(\d+) dev=(\d+)")) as collect:
            yield lambda: [int(match[2]) for match in collect()
                           if int(match[1]) & 0xff == 1
                           and int(match[3]) == major << 20 | minor]
    finally:
        probe(f"-:{group}/hint\n")


@test
def write_hint(stor, _devices):
    """the hint how long data is going to live"""
    with null_blk(size=16, memory_backed=1):
        for _ in volumes(stor, "/dev/stortest"):
            for hint in (2, 5, 0):  # short, extreme, not set
                with Disk("/dev/stor0") as disk:
                    fcntl.fcntl(disk.fd, F_SET_RW_HINT,
                                struct.pack("=Q", hint))
                    with hints_below("/dev/stortest") as collect:
                        disk.write(MIB, pattern(hint, 65536))
                        found = collect()
                check(found, "no write below")
                equal(set(found), {hint}, "hints below")


@contextlib.contextmanager
def cgroup():
    """A cgroup whose I/O is counted."""
    if not (CGROUPS / "cgroup.controllers").exists():
        raise Skip("no cgroup2")
    if "io" not in (CGROUPS / "cgroup.controllers").read_text().split():
        raise Skip("no io controller for cgroups")
    (CGROUPS / "cgroup.subtree_control").write_text("+io")
    group = CGROUPS / "stor-selftest"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


def in_group(group, function):
    """Call a function in a process that is in a cgroup."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            (group / "cgroup.procs").write_text("0")
            function()
            code = 0
        finally:
            os._exit(code)
    equal(os.waitpid(pid, 0)[1], 0, "status of who is in the group")


def counted(group, path):
    """What io.stat of a cgroup says of a device: the bytes and the I/Os."""
    device = ":".join(map(str, numbers(path)))
    for line in (group / "io.stat").read_text().splitlines():
        name, *values = line.split()
        if name == device:
            found = dict(value.split("=") for value in values)
            return tuple(int(found.get(key, 0)) for key in (
                "rbytes", "wbytes", "rios", "wios"))
    return 0, 0, 0, 0


@test
def block_cgroup(stor, _devices):
    """the cgroup: its I/O is counted above and below, and may be limited"""
    size = 256 * 1024

    def work():
        with Disk("/dev/stor0") as disk:
            for number in range(4):
                disk.write(number * size, pattern(number, size))
            for number in range(3):
                disk.read(number * size, size)
    with null_blk(size=16, memory_backed=1), cgroup() as group:
        for _ in volumes(stor, "/dev/stortest"):
            for limited in (False, True):
                if limited and (group / "io.max").exists():
                    for path in ("/dev/stor0", "/dev/stortest"):
                        device = ":".join(map(str, numbers(path)))
                        (group / "io.max").write_text(
                            f"{device} rbps={NO_LIMIT} wiops={NO_LIMIT}")
                before = [counted(group, path) for path in
                          ("/dev/stor0", "/dev/stortest")]
                in_group(group, work)
                after = [counted(group, path) for path in
                         ("/dev/stor0", "/dev/stortest")]
                above, below = (tuple(b - a for a, b in zip(*pair))
                                for pair in zip(before, after))
                note(f"above {above}, below {below}")
                equal(above[:2], (3 * size, 4 * size), "bytes above")
                equal(below[:2], above[:2], "bytes below")
                check(below[2] >= 3 and below[3] >= 4, "I/Os below")


@test
def nowait(stor, _devices):
    """who is not to wait gets EAGAIN when the backing is busy

    Except with blk-crypto's fallback: a worker waits there, who asked does
    not; for the whole I/O, as all do who do not ask in a ring.
    """
    with null_blk(size=16, memory_backed=1, submit_queues=1, hw_queue_depth=1,
                  irqmode=2, completion_nsec=1500 * 10 ** 6):
        lower = Device("/dev/stortest")
        for name in volumes(stor, "/dev/stortest"):
            with Disk("/dev/stor0") as disk:
                busy = threading.Thread(target=disk.read, args=(0, 4096))
                before = stat(stor).failed.get("again", 0)
                busy.start()
                wait_until(lambda: sum(map(int, (
                    lower.sys / "inflight").read_text().split())) == 1,
                    "an I/O below")
                memory = buffer(bytes(4096))
                ends = [error_of(function, disk.fd, [memory], MIB,
                                 os.RWF_NOWAIT)
                        for function in (os.preadv, os.pwritev)]
                still = busy.is_alive()
                busy.join()
                refused = [] if name == "blk-crypto" else [errno.EAGAIN] * 2
                equal(ends, refused or [0, 0], "errors while it is busy")
                check(still == bool(refused), "who has waited")
                equal(stat(stor).failed.get("again", 0) - before,
                      len(refused), "counted as such")
                equal(os.preadv(disk.fd, [memory], MIB, os.RWF_NOWAIT), 4096,
                      "bytes when it is idle")


@test
def no_nowait(stor, devices):
    """it is not offered where the backing does not offer it (dm-delay)"""
    sectors = 16 * MIB // 512
    with mapped("stortest-delay",
                f"0 {sectors} delay {devices[0]} 0 0\n") as lower:
        memory = buffer(bytes(4096))
        with Disk(lower) as disk:
            if not error_of(os.preadv, disk.fd, [memory], 0, os.RWF_NOWAIT):
                raise Skip("dm-delay does not wait")
        stor.new("one", lower)
        settle()
        with Disk("/dev/stor0") as disk:
            equal(error_of(os.preadv, disk.fd, [memory], 0, os.RWF_NOWAIT),
                  errno.EOPNOTSUPP, "errno")
            disk.read(0, 4096)
        stor.delete(name="one")


@test
def protection(stor, _devices):
    """protection information is made and checked below (scsi_debug)"""
    with scsi_debug("dev_size_mb=32", "dif=1", "dix=1") as path:
        integrity = Device(path).sys / "integrity"
        if not (integrity / "format").exists() or (
                integrity / "format").read_text().strip() == "none":
            raise Skip("scsi_debug without protection information")
        note((integrity / "format").read_text().strip())

        with keys.key(pattern(1, 64)) as key:
            for how in ({}, {"key": key}):
                stor.new("one", path, offset=MIB, length=16 * MIB, **how)
                settle()
                equal(number_of("/sys/block/stor0/queue/"
                                "max_integrity_segments"), 0, "segments")
                fio({"v": {"filename": "/dev/stor0", "rw": "randrw",
                           "bsrange": "4k-256k", "iodepth": 16,
                           "size": "8m"}}, **VERIFY)
                data = pattern(5, MIB)
                with Disk("/dev/stor0") as disk, trace(
                        "scsi/scsi_dispatch_cmd_start",
                        PROTECTED) as collect:
                    disk.write(8 * MIB, data)
                    equal(disk.read(8 * MIB, MIB), data, "data")
                    found = collect()
                equal({(match[2], match[3]) for match in found},
                      {("WRITE_PASS", "WRITE"), ("READ_PASS", "READ")},
                      "commands below")
                check(all(int(match[1]) for match in found),
                      "they carry protection information")
                equal(failures(stor), {}, "failed I/Os")
                stor.delete(name="one")


main(setup, clean)
