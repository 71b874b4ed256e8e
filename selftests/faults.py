#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Faults below, in the middle of I/O, hit whom they must and nobody else.

STOR_TEST_FAULTS is how often each comes, 2 by default. The seed is fixed.
"""

import contextlib
import errno
import os
import pathlib
import random
import re
import threading
import time

from lib import inject, plaintext
from lib.fio import Fio, VERIFY, load
from lib.lower import mapped, null_blk
from lib.stats import failures
from lib.stor import (Device, Disk, MIB, clean, made_of, number_of, settle,
                      setup)
from lib.tap import (KernelLog, Skip, check, equal, main, note, patience,
                     test, wait_until)

FAULTS = int(os.environ.get("STOR_TEST_FAULTS", "2"))
SEED = 3
LIMIT = 60  # seconds that I/O may take to end
STOR = pathlib.Path("/sys/block/stor0/stor")
BLOCK = 4096
JOBS = {
    "small": {"rw": "randrw", "bs": "4k", "iodepth": 16},
    "mixed": {"rw": "randrw", "bsrange": "4k-256k", "iodepth": 8,
              "offset": "16m", "ioengine": "io_uring"},
}
OPTIONS = {**VERIFY, "size": "4m"}


def drives(devices):
    """The NVMe drives among the devices, if they may be disturbed."""
    if "1" not in (os.environ.get("STOR_TEST_UNPLUG"),
                   os.environ.get("STOR_VM")):
        raise Skip("STOR_TEST_UNPLUG is not 1")
    found = [device for device in devices
             if device.name.startswith("nvme") and
             (device.sys / "device/device/remove").exists()]
    if not found:
        raise Skip("no NVMe drive on PCI among the devices")
    return found


def serial(device):
    """What a drive is known by, whatever its name."""
    return (device.sys / "device/serial").read_text()


def find(want):
    """The drive with a serial number, once it is there."""
    def look():
        for path in pathlib.Path("/sys/block").glob("nvme*"):
            with contextlib.suppress(OSError, Skip):
                device = Device(f"/dev/{path.name}")
                if serial(device) == want and device.size and os.path.exists(
                        device.path):
                    return device
        return None
    return wait_until(look, "the drive", LIMIT)


class Worker:
    """A thread that reads and writes at random in its own part of a volume.

    It knows what each block may hold, and asks `allowed(begin, end, offset,
    length)` whether an I/O may fail, and `must(offset, length)` whether it has
    to. `error` is the one that it may fail with.
    """

    def __init__(self, number, part, allowed, must=lambda *_: False,
                 error=errno.EIO):
        self.rng, self.base, self.size = random.Random(
            f"{SEED} {number}{plaintext.SALT}"), number * part, part
        self.allowed, self.must, self.error = allowed, must, error
        self.block = number_of(
            "/sys/block/stor0/queue/logical_block_size")
        self.holds = {}  # by block number: what may be there, None: anything
        self.done = self.failed = 0
        self.why, self.stop = None, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        """Until told to stop, or something is wrong."""
        try:
            with Disk("/dev/stor0") as disk:
                while not self.stop.is_set():
                    self.step(disk)
        except Exception as why:
            self.why = why

    def step(self, disk):
        """One I/O."""
        blocks = self.rng.choice((1, 1, 1, 2, 4, 16, 64))
        first = self.rng.randrange(self.size // BLOCK - blocks + 1)
        offset, length = self.base + first * BLOCK, blocks * BLOCK
        write = self.rng.random() < 0.5
        new = [self.rng.randbytes(8) * (BLOCK // 8) for _ in range(blocks)]
        begin, number = time.monotonic(), 0
        try:
            if write:
                disk.write(offset, b"".join(new))
            else:
                data = disk.read(offset, length)
        except OSError as why:
            number = why.errno
        end = time.monotonic()
        what = (f"{'write' if write else 'read'} of {length} at {offset}: "
                f"{errno.errorcode.get(number, 'done')}")
        if number:
            equal(number, self.error, f"errno of {what}")
            check(self.allowed(begin, end, offset, length), what)
            self.failed += 1
        else:
            check(not self.must(offset, length), what)
            self.done += 1
        for at in range(blocks):
            known = self.holds.get(first + at)
            if write and not number:
                self.holds[first + at] = {new[at]}
            elif write and known is not None:
                known.add(new[at])
            elif not write and not number and known is not None:
                got = data[at * BLOCK:(at + 1) * BLOCK]
                check(made_of(got, known, self.block),
                      f"wrong data after a {what}")
                self.holds[first + at] = {got}


@contextlib.contextmanager
def workers(count, part, *rules):
    """Let workers run while the body does."""
    all_of_them = [Worker(number, part, *rules) for number in range(count)]
    for worker in all_of_them:
        worker.thread.start()
    try:
        yield all_of_them
    finally:
        for worker in all_of_them:
            worker.stop.set()
        for worker in all_of_them:
            worker.thread.join(patience(LIMIT))
    for worker in all_of_them:
        check(not worker.thread.is_alive(), f"I/O hangs for {LIMIT} s")
        if worker.why:
            raise worker.why


def progress(all_of_them, count):
    """Wait until each worker has ended some more I/Os."""
    want = [worker.done + worker.failed + count for worker in all_of_them]
    wait_until(lambda: all(
        worker.why or worker.done + worker.failed >= goal
        for worker, goal in zip(all_of_them, want)), "I/O goes on", LIMIT)


def totals(all_of_them):
    """How it went."""
    return (f"{sum(worker.done for worker in all_of_them)} went well, "
            f"{sum(worker.failed for worker in all_of_them)} failed")


@test
def reset(stor, devices):
    """a controller is reset under load: no I/O fails"""
    device = drives(devices)[-1]
    stor.new("one", device, offset=MIB, length=64 * MIB)
    settle()
    controller = re.sub(r"n\d+$", "", device.name)
    folder = pathlib.Path("/sys/class/nvme") / controller
    rng = random.Random(SEED)
    with load(JOBS, **OPTIONS, filename="/dev/stor0"):
        for _ in range(FAULTS):
            before = number_of(STOR / "reads") + rng.randrange(50, 400)
            wait_until(lambda before=before:
                       number_of(STOR / "reads") > before, "reads", LIMIT)
            (folder / "reset_controller").write_text("1")
            wait_until(lambda: (folder / "state").read_text() == "live\n",
                       "the controller", LIMIT)
    equal(failures(stor), {}, "failed I/Os")
    equal(stor.get(name="one")["state"], "live", "state")
    note(f"{FAULTS} resets, {number_of(STOR / 'reads')} reads")
    stor.delete(name="one")


@test
def unplug(stor, devices):
    """a drive is pulled under load: its I/O ends, the other drive's goes on"""
    found = drives(devices)
    if len(found) < 2:
        raise Skip("only one drive")
    bystander, device = found[0], found[-1]
    want = serial(device)
    stor.new("one", bystander, offset=MIB, length=64 * MIB)
    settle()
    rng = random.Random(SEED)
    with load(JOBS, **OPTIONS, filename="/dev/stor0"):
        for _ in range(FAULTS):
            stor.new("two", device, offset=MIB, length=64 * MIB)
            settle()
            reads = pathlib.Path("/sys/block/stor1/stor/reads")
            pulled = Fio(JOBS, **OPTIONS, filename="/dev/stor1",
                         time_based=1, runtime=600)
            goal = number_of(reads) + rng.randrange(50, 400)
            wait_until(lambda goal=goal, reads=reads:
                       number_of(reads) > goal, "reads", LIMIT)
            (device.sys / "device/device/remove").write_text("1")
            code, _, err = pulled.wait(LIMIT)
            check(code and "verify:" not in err, f"fio: {code} {err}")
            equal(stor.get(name="two")["state"], "failed", "state")
            equal(number_of("/sys/block/stor1/stor/inflight"), 0,
                  "in flight")
            stor.delete(name="two")
            pathlib.Path("/sys/bus/pci/rescan").write_text("1")
            device = find(want)
            settle()
    equal(failures(stor), {}, "failed I/Os of the other")
    equal(stor.get(name="one")["state"], "live", "state of the other")
    note(f"pulled {FAULTS} times")
    stor.delete(name="one")


@test
def bad_blocks(stor, _devices):
    """blocks go bad under load: I/O on them fails, and no other"""
    part, count = 4 * MIB, 4
    with null_blk(size=64, memory_backed=1) as config:
        stor.new("one", "/dev/stortest", offset=MIB, length=count * part)
        settle()
        rng = random.Random(SEED)
        # By first byte: since when, and until when, it is sure to be bad.
        bad = {}
        maybe = set()

        def touched(offset, length, blocks):
            return any(at < offset + length and offset < at + BLOCK
                       for at in blocks)

        def allowed(_begin, _end, offset, length):
            return touched(offset, length, maybe | set(bad))

        for _ in range(FAULTS):
            blocks = [number * part + rng.randrange(part // BLOCK) * BLOCK
                      for number in range(count)]
            with workers(count, part, allowed) as all_of_them:
                progress(all_of_them, 50)
                maybe.update(blocks)
                for at in blocks:
                    sector = (MIB + at) // 512
                    (config / "badblocks").write_text(
                        f"+{sector}-{sector + 7}")
                progress(all_of_them, 50)
            bad.update(dict.fromkeys(blocks))
            # At rest there is no doubt.
            with workers(count, part, allowed,
                         lambda offset, length: touched(offset, length,
                                                        bad)) as sure:
                progress(sure, 100)
            note(totals(all_of_them) + "; then " + totals(sure))
            failed = sum(worker.failed for worker in all_of_them + sure)
            with Disk("/dev/stor0") as disk:
                for at in blocks:
                    try:
                        disk.read(at, BLOCK)
                        check(False, f"the bad block at {at} is read")
                    except OSError as why:
                        equal(why.errno, errno.EIO, "errno")
                    failed += 1
            check(failed, "nothing has failed")
            for at in blocks:
                sector = (MIB + at) // 512
                (config / "badblocks").write_text(f"-{sector}-{sector + 7}")
            bad.clear()
            maybe.clear()
        with workers(count, part, lambda *_: False) as healed:
            progress(healed, 50)
        stor.delete(name="one")


@test
def flaky(stor, devices):
    """the backing fails for a while, under load: that while, no longer"""
    part, count = 4 * MIB, 4
    sectors = 64 * MIB // 512
    good = f"0 {sectors} linear {devices[0]} 0\n"
    windows = []  # begin and end of what was bad

    def allowed(begin, end, _offset, _length):
        return any(start <= end and (stop is None or begin <= stop)
                   for start, stop in windows)

    with mapped("stortest-flaky", f"0 {sectors} flakey {devices[0]} 0 100 0\n"
                ) as lower:
        stor.new("one", lower, offset=MIB, length=count * part)
        settle()
        with workers(count, part, allowed) as all_of_them:
            for table in (f"0 {sectors} flakey {devices[0]} 0 0 100\n",
                          f"0 {sectors} error\n") * FAULTS:
                progress(all_of_them, 30)
                failed = sum(worker.failed for worker in all_of_them)
                windows.append((time.monotonic(), None))
                lower.table(table)
                wait_until(lambda failed=failed: sum(
                    worker.failed for worker in all_of_them) > failed + 10,
                    "some errors", LIMIT)
                lower.table(good)
                windows[-1] = windows[-1][0], time.monotonic()
        equal(number_of(STOR / "inflight"), 0, "in flight")
        equal(stor.get(name="one")["state"], "live", "state")
        note(f"{len(windows)} times; " + totals(all_of_them))
        stor.delete(name="one")


@test
def overdue(stor, devices):
    """the backing answers late: a volume has no time-out of its own"""
    part, count = 4 * MIB, 4
    sectors = 64 * MIB // 512
    with mapped("stortest-late",
                f"0 {sectors} linear {devices[0]} 0\n") as lower:
        stor.new("one", lower, length=count * part)
        settle()
        # The kernel shows no such file where there is none.
        path = pathlib.Path("/sys/block/stor0/queue/io_timeout")
        check(not path.exists() or not path.stat().st_mode & 0o777,
              "there is a time-out")
        with workers(count, part, lambda *_: False) as all_of_them:
            for _ in range(FAULTS):
                progress(all_of_them, 30)
                lower.suspend("--noflush", "--nolockfs")
                try:
                    wait_until(lambda: number_of(STOR / "inflight"),
                               "I/O in flight", LIMIT)
                    time.sleep(2)
                finally:
                    lower.resume()
        equal(number_of(STOR / "errors"), 0, "failed I/Os")
        note(f"late {FAULTS} times; " + totals(all_of_them))
        stor.delete(name="one")


@test
def given_up(stor, _devices):
    """the backing's driver gives an I/O up: that I/O is timed out, no other"""
    part, count = 4 * MIB, 4
    rng = random.Random(SEED)
    with null_blk(size=64, memory_backed=1):
        stor.new("one", "/dev/stortest", offset=MIB, length=count * part)
        settle()
        with inject.lost_answers("stortest", 1000) as lose, \
                workers(count, part, lambda *_: True, lambda *_: False,
                        errno.ETIMEDOUT) as all_of_them:
            for number in range(1, FAULTS + 1):
                progress(all_of_them, 20)
                lose(rng.randrange(20))
                wait_until(lambda number=number: number_of(
                    STOR / "errors") == number, "an error", LIMIT)
            progress(all_of_them, 20)
        equal(sum(worker.failed for worker in all_of_them), FAULTS,
              "I/Os that have failed")
        equal(failures(stor), {"timeout": FAULTS}, "failed I/Os")
        equal(stor.get(name="one")["state"], "live", "state")
        note(totals(all_of_them))
        stor.delete(name="one")


@test
def lost(stor, devices):
    """a drive's answer is lost: it is reset, and no I/O fails"""
    part, count = 4 * MIB, 4
    device = drives(devices)[-1]
    rng = random.Random(SEED)
    stor.new("one", device, offset=MIB, length=count * part)
    settle()
    log = KernelLog()
    with inject.lost_answers(device.name, 1000) as lose, \
            workers(count, part, lambda *_: False) as all_of_them:
        for _ in range(FAULTS):
            progress(all_of_them, 20)
            log.lines()
            lose(rng.randrange(20))
            # The first time the driver asks for an abort, then it resets.
            wait_until(lambda: any("reset controller" in line
                                   for line in log.lines()), "a reset", LIMIT)
        progress(all_of_them, 20)
    equal(failures(stor), {}, "failed I/Os")
    equal(stor.get(name="one")["state"], "live", "state")
    note(f"{FAULTS} answers lost; " + totals(all_of_them))
    stor.delete(name="one")


main(setup, clean)
