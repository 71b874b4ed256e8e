#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Polled I/O: whoever polls a volume polls what is below."""

import contextlib
import fcntl
import mmap
import os
import pathlib
import re
import struct
import tempfile

from lib import uring
from lib.fio import Fio, VERIFY, fio, load
from lib.lower import mapped, null_blk, polled_null_blk
from lib.stats import failures
from lib.stor import (Device, Disk, MIB, buffer, clean, need, number_of,
                      pattern, run, settle, setup)
from lib.tap import Skip, check, equal, main, note, test, wait_until

ROUNDS = int(os.environ.get("STOR_TEST_ROUNDS", "20"))
POLLED = {"ioengine": "io_uring", "hipri": 1}
FICLONERANGE = 0x4020940D
CPUS = len(os.sched_getaffinity(0))
# Without interrupts: a lower request that nobody polls never ends.
CONFIG = {"size": 128, "submit_queues": CPUS, "poll_queues": CPUS}


def io_poll(name):
    """What queue/io_poll of a disk says."""
    return number_of(f"/sys/block/{name}/queue/io_poll")


def did(jobs):
    """Fail unless each job has read and written."""
    for name, job in jobs.items():
        check(job["read"]["io_bytes"] and job["write"]["io_bytes"],
              f"{name} did nothing")


@test
def offered(stor, devices):
    """polling is offered where the backing has it, and nowhere else"""
    with null_blk(**CONFIG):
        equal(io_poll("stortest"), 1, "io_poll of the backing")
        stor.new("one", "/dev/stortest", length=8 * MIB)
        equal(io_poll("stor0"), 1, "io_poll")
        stor.new("two", "/dev/stor0", length=MIB)
        equal(io_poll("stor1"), 1, "io_poll of a volume on it")
        stor.delete(name="two")
        stor.delete(name="one")
        sectors = 8 * MIB // 512
        with mapped("stortest-linear", f"0 {sectors} linear /dev/stortest "
                    f"{16 * MIB // 512}\n") as lower:
            # Of bio-based devices a poller polls one bio at a time.
            stor.new("three", lower)
            equal(io_poll("stor0"), 0, "io_poll over dm")
            stor.delete(name="three")
    with null_blk(size=16, poll_queues=0):
        stor.new("one", "/dev/stortest")
        equal(io_poll("stor0"), 0, "io_poll over a device without")
        stor.delete(name="one")
    for device in devices:
        stor.new("one", device, length=MIB)
        equal(io_poll("stor0"), io_poll(device.name),
              f"io_poll over {device}")
        stor.delete(name="one")


@test
def verified(stor, _devices):
    """polled, unpolled, and both at once, depth 1 to 64: all is there"""
    with polled_null_blk(**CONFIG):
        stor.new("one", "/dev/stortest", length=96 * MIB)
        settle()
        done = fio({
            "depth1": {**POLLED, "iodepth": 1, "rw": "write",
                       "stonewall": 1},
            "depth16": {**POLLED, "iodepth": 16, "rw": "randwrite",
                        "numjobs": 2 * CPUS + 1, "stonewall": 1},
            "depth64": {**POLLED, "iodepth": 64, "rw": "randrw",
                        "iodepth_batch_submit": 16, "stonewall": 1},
            "large": {**POLLED, "iodepth": 4, "rw": "randrw", "bs": "1m",
                      "size": "8m", "stonewall": 1},
            "mixed": {**POLLED, "iodepth": 8, "rw": "randrw",
                      "numjobs": CPUS, "stonewall": 1},
            "unpolled": {"iodepth": 8, "rw": "randrw", "offset": "48m",
                         "numjobs": CPUS},
            "trims": {"iodepth": 4, "rw": "randwrite", "fsync": 8,
                      "offset": "80m", "size": "256k"},
        }, **{**VERIFY, "bs": "4k", "size": "1m"}, filename="/dev/stor0",
            offset_increment="8m", group_reporting=1)
        did(done)
        equal(failures(stor), {}, "failed I/Os")
        equal(number_of("/sys/block/stor0/stor/inflight"), 0, "in flight")
        stor.delete(name="one")


@test
def errors_too(stor, _devices):
    """a polled I/O that fails ends, with its error, alone"""
    with null_blk(**CONFIG, memory_backed=1, badblocks="+8192-8199"):
        stor.new("one", "/dev/stortest")
        settle()
        code, jobs, err = Fio({
            "bad": {**POLLED, "rw": "read", "bs": "4k", "iodepth": 8,
                    "offset": "4080k", "size": "32k",
                    "continue_on_error": "io"},
        }, filename="/dev/stor0", direct=1).wait()
        equal(jobs["bad"]["total_err"], 1, f"errors (exit {code}: {err})")
        equal(jobs["bad"]["first_error"], 5, "the error")
        equal(failures(stor), {"ioerr": 1}, "failed I/Os")
        stor.delete(name="one")


@test
def stacked(stor, _devices):
    """stor on stor on stor, polled from the top"""
    with polled_null_blk(**CONFIG):
        path = "/dev/stortest"
        for level in range(3):
            stor.new(f"level{level}", path, offset=MIB,
                     length=(64 - 8 * level) * MIB)
            path = f"/dev/stor{level}"
        settle()
        equal(io_poll("stor2"), 1, "io_poll")
        did(fio({
            "polled": {**POLLED, "iodepth": 16, "rw": "randrw",
                       "numjobs": CPUS + 1},
            "unpolled": {"iodepth": 16, "rw": "randrw", "offset": "32m"},
        }, **{**VERIFY, "bs": "4k", "size": "1m"}, filename=path,
            offset_increment="8m", group_reporting=1))
        for level in (2, 1, 0):
            equal(failures(stor, f"level{level}"), {}, "failed I/Os")
            stor.delete(name=f"level{level}")


@test
def gated(stor, _devices):
    """polled I/O while the gate closes and opens: nothing fails or hangs"""
    with polled_null_blk(**CONFIG):
        length = 64 * MIB
        stor.new("one", "/dev/stortest", length=length)
        settle()
        with load({"polled": {**POLLED, "iodepth": 16, "rw": "randrw",
                              "numjobs": CPUS}},
                  **{**VERIFY, "bs": "4k", "size": "1m"},
                  filename="/dev/stor0", offset_increment="8m",
                  group_reporting=1):
            for count in range(1, ROUNDS + 1):
                before = number_of("/sys/block/stor0/stor/reads")
                wait_until(lambda before=before: number_of(
                    "/sys/block/stor0/stor/reads") > before, "reads", 60)
                if count % 2:
                    length += 4096
                    stor.set("one", length=length)
                else:
                    stor.gate(name="one")
        gate = stor.get(name="one")
        equal(gate["gate-count"], ROUNDS, "gate-count")
        equal(failures(stor), {}, "failed I/Os")
        note(f"{ROUNDS} rounds, longest gate "
             f"{gate['gate-longest'] / 1e6:.2f} ms")
        stor.delete(name="one")


@test
def deleted(stor, _devices):
    """deleting right after polled I/O, again and again"""
    with polled_null_blk(**CONFIG):
        for number in range(5):
            stor.new("one", "/dev/stortest", length=8 * MIB)
            fio({"polled": {**POLLED, "iodepth": 32, "rw": "randwrite",
                            "bs": "4k", "number_ios": 64, "size": "4m"}},
                filename="/dev/stor0", direct=1)
            with Disk("/dev/stor0") as disk:
                disk.write(0, pattern(number, 4096))
                equal(disk.read(0, 4096), pattern(number, 4096), "data")
            stor.delete(name="one")


@contextlib.contextmanager
def two_extents(device):
    """Files on XFS; gives descriptors of one and of one made of parts of it.

    The first has 64 blocks in a row on the disk, the second the 40th of them
    and then the 10th.
    """
    need("mkfs.xfs")
    run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", device)
    with tempfile.TemporaryDirectory() as folder:
        run("mount", device, folder)
        files = []
        try:
            for name in ("row", "parts"):
                files.append(os.open(f"{folder}/{name}", os.O_RDWR |
                                     os.O_CREAT | os.O_DIRECT))
            os.posix_fallocate(files[0], 0, 64 * 4096)
            for block in range(64):
                os.pwritev(files[0], [buffer(pattern(block, 4096))],
                           block * 4096)
            os.fsync(files[0])
            for to, block in enumerate((40, 10)):
                fcntl.ioctl(files[1], FICLONERANGE, struct.pack(
                    "=qQQQ", files[0], block * 4096, 4096, to * 4096))
            os.fsync(files[1])
            yield files
        finally:
            for file in files:
                os.close(file)
            settle()
            run("umount", folder)


@test
def merged(stor, _devices):
    """a polled I/O goes before one in an unpolled queue: both end"""
    # Of a read of two extents only the first is polled. The second is the
    # last in the plug when a polled one comes that goes before it.
    rounds = 20
    memory = [mmap.mmap(-1, size) for size in (4096, 8192, 4096)]
    # Slow enough to be polled in vain first.
    with null_blk(**{**CONFIG, "size": 336, "memory_backed": 1, "irqmode": 2,
                     "completion_nsec": 2000000}):
        stor.new("one", "/dev/stortest")
        settle()
        with two_extents("/dev/stor0") as (row, parts), \
                uring.Ring(polled=True) as ring:
            before = Device("/dev/stor0").stat()["read_merges"]
            for _ in range(rounds):
                # The plug is for three and more.
                equal(ring.run([
                    (uring.READ, fd, block * 4096, uring.address(where),
                     len(where), 0) for fd, block, where in (
                         (row, 60, memory[0]), (parts, 0, memory[1]),
                         (row, 9, memory[2]))]), [4096, 8192, 4096],
                    "results")
                equal(b"".join(memory), b"".join(
                    pattern(block, 4096) for block in (60, 40, 10, 9)),
                    "data")
            merges = Device("/dev/stor0").stat()["read_merges"] - before
            check(merges >= rounds, f"{merges} merges in {rounds} rounds")
        equal(failures(stor), {}, "failed I/Os")
        equal(number_of("/sys/block/stor0/stor/inflight"), 0, "in flight")
        stor.delete(name="one")


def interrupts(name):
    """Interrupts of an NVMe controller's I/O queues so far."""
    total = 0
    for line in pathlib.Path("/proc/interrupts").read_text().splitlines():
        if re.search(rf"\b{name}q[1-9]\d*$", line):
            total += sum(map(int, re.findall(r"\s(\d+)(?=\s)", line)))
    return total


def rebind(device):
    """Let the driver find a drive anew; it may have another name then."""
    pci = (device.sys / "device/device").resolve()
    serial = (device.sys / "device/serial").read_text()
    driver = pathlib.Path("/sys/bus/pci/drivers/nvme")
    (driver / "unbind").write_text(pci.name)
    (driver / "bind").write_text(pci.name)

    def found():
        for path in pathlib.Path("/sys/block").glob("nvme*"):
            with contextlib.suppress(OSError, Skip):
                if (path / "device/serial").read_text() == serial:
                    return Device(f"/dev/{path.name}")
        return None
    again = wait_until(found, "the drive", 60)
    settle()
    return again


@contextlib.contextmanager
def polled_nvme(device):
    """A drive, with a polled queue meanwhile."""
    if "1" not in (os.environ.get("STOR_TEST_UNPLUG"),
                   os.environ.get("STOR_VM")):
        raise Skip("STOR_TEST_UNPLUG is not 1")
    parameter = pathlib.Path("/sys/module/nvme/parameters/poll_queues")
    if not parameter.exists():
        raise Skip("an NVMe driver without poll_queues")
    was = parameter.read_text()
    try:
        parameter.write_text("1")
        device = rebind(device)
        if not io_poll(device.name):
            raise Skip("the drive has no polled queue")
        yield device
    finally:
        parameter.write_text(was)
        rebind(device)


@test
def nvme(stor, devices):
    """NVMe: polled I/O raises no interrupts; and without its queue it ends"""
    device = devices[-1]
    if not device.name.startswith("nvme"):
        raise Skip("no NVMe among the devices")
    with polled_nvme(device) as device:
        controller = re.sub(r"n\d+$", "", device.name)
        stor.new("one", device, offset=MIB, length=64 * MIB)
        settle()
        equal(io_poll("stor0"), 1, "io_poll")
        reads = number_of("/sys/block/stor0/stor/reads")
        before = interrupts(controller)
        did(fio({"polled": {**POLLED, "iodepth": 8, "rw": "randrw",
                            "numjobs": 2, "offset_increment": "8m"}},
                **{**VERIFY, "bs": "4k", "size": "2m"},
                filename="/dev/stor0", group_reporting=1))
        raised = interrupts(controller) - before
        reads = number_of("/sys/block/stor0/stor/reads") - reads
        note(f"{reads} reads, {raised} interrupts")
        check(reads >= 1000, f"only {reads} reads")
        check(raised < reads // 10, f"{raised} interrupts for {reads} reads")
        equal(failures(stor), {}, "failed I/Os")
        # The driver asks anew at each reset how many are to be polled.
        pathlib.Path("/sys/module/nvme/parameters/poll_queues").write_text("0")
        folder = pathlib.Path("/sys/class/nvme") / controller
        (folder / "reset_controller").write_text("1")
        wait_until(lambda: (folder / "state").read_text() == "live\n",
                   "the controller", 60)
        code, _, _ = Fio({"bare": {**POLLED, "rw": "read", "bs": "4k",
                                   "size": "64k"}},
                         filename=device, direct=1).wait()
        check(code, "the drive itself is still polled")
        did(fio({"polled": {**POLLED, "iodepth": 8, "rw": "randrw"}},
                **{**VERIFY, "bs": "4k", "size": "1m"},
                filename="/dev/stor0"))
        equal(failures(stor), {}, "failed I/Os without a polled queue")
        stor.delete(name="one")


main(setup, clean)
