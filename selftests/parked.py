#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What is parked, by a lock, keeps nothing that others wait for."""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import tempfile
import time

from lib import keys
from lib.load import Batch
from lib.lower import null_blk
from lib.stats import failures, stat
from lib.stor import (MIB, Device, Disk, buffer, clean,
                      error_of, need, number_of, pattern, run, settle, setup)
from lib.tap import (check, equal, in_thread, main, test,
                     wait_until)
from lib.watch import watched, within

KEY = pattern(11, 64)
SYS = pathlib.Path("/sys/block/stor0")
QUEUE = SYS / "queue"
# What a request that is not held up takes at most, also on a slow machine.
LIMIT = 20
MANY = 1000
BLOCK = 4096


@contextlib.contextmanager
def volume(stor, backing, **values):
    """An encrypted volume, whose key is in no keyring any more."""
    with keys.key(KEY) as name:
        stor.new("one", backing, key=name, **values)
    settle()
    try:
        yield
    finally:
        if stor.get(name="one")["state"] == "locked":
            # What hangs now would hang for ever.
            stor.lock("one", "fail")
        settle()
        stor.delete(name="one")


def unlock(stor):
    """Put the key into a keyring for as long as it takes."""
    with keys.key(KEY):
        return stor.unlock("one")


@contextlib.contextmanager
def parked(stor, function, *args):
    """Lock, and do something that waits until the body ends and it unlocks.

    Gives a function that ends the lock early, and returns what it returned.
    """
    stor.lock("one", "hold")
    done = []
    join = None

    def end():
        if not done:
            unlock(stor)
            done.append(join())
        return done[0]
    try:
        join = in_thread(function, *args)
        wait_until(join.sleeps, "somebody who waits")
        yield end
        check(done or join.sleeps(), "nobody waits any more")
        end()
    finally:
        if not done:
            stor.lock("one", "fail")
            with contextlib.suppress(Exception):
                join()


def put(path, text):
    """Write to a setting."""
    path.write_text(str(text))


@test
def settings(stor, devices):
    """the settings of its queue are changed while I/O waits; lsblk works"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        disk.write(0, pattern(1, BLOCK))
        with parked(stor, disk.read, 0, BLOCK) as end:
            depth = number_of(QUEUE / "nr_requests")
            for name, values in (
                    ("nr_requests", (depth // 2, depth)),
                    ("read_ahead_kb", (64, 128)),
                    ("max_sectors_kb", (64,)),
                    ("nomerges", (1, 0)), ("io_timeout", (100000,)),
                    ("scheduler", ("mq-deadline", "none")),
                    ("write_cache", ("write through", "write back"))):
                if name == "scheduler":
                    run("modprobe", "mq-deadline", check=False)
                for value in values:
                    def change(name=name, value=value):
                        with contextlib.suppress(OSError):
                            put(QUEUE / name, value)
                    change.__name__ = f"{value} for queue/{name}"
                    within(LIMIT, change)
                    within(LIMIT, run, "lsblk")
            equal(end(), pattern(1, BLOCK), "data")
        equal(failures(stor), {}, "failed I/Os")


@test
def changed(stor, devices):
    """a locked volume is grown and gated while I/O waits"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        with parked(stor, disk.write, MIB, pattern(2, BLOCK)) as end:
            before = stor.get(name="one")["gate-count"]
            got = stor.set("one", length=24 * MIB)
            equal((got["length"], got["state"]), (24 * MIB, "locked"),
                  "length and state")
            equal(disk.size(), 24 * MIB, "size of the disk")
            got = stor.gate(name="one")
            equal((got["gate-count"], got["state"]), (before + 2, "locked"),
                  "gates and state")
            # A part of what is new: it waits as well.
            more = in_thread(disk.write, 20 * MIB, pattern(3, BLOCK))
            wait_until(more.sleeps, "a write that waits")
            end()
            more()
        equal(disk.read(MIB, BLOCK), pattern(2, BLOCK), "data")
        equal(disk.read(20 * MIB, BLOCK), pattern(3, BLOCK), "data")
        equal(failures(stor), {}, "failed I/Os")


@test
def kinds(stor, devices):
    """reads, writes and durable writes wait, in peace; a flush has no need to"""
    for device in devices:
        with volume(stor, device, length=16 * MIB, discard=1), \
                Disk("/dev/stor0") as disk:
            disk.write(0, pattern(1, MIB))
            memory = [buffer(pattern(seed, 65536)) for seed in range(4)]
            flags = (0, os.RWF_DSYNC, 0, os.RWF_DSYNC)
            waiting = []
            with parked(stor, disk.read, 0, MIB) as end:
                for at, (each, flag) in enumerate(zip(memory, flags)):
                    waiting.append(in_thread(
                        os.pwritev, disk.fd, [each], (2 + at) * MIB, flag))
                for join in waiting:
                    wait_until(join.sleeps, "I/O that waits")
                # It is for what was written before.
                os.fsync(disk.fd)
                # Through the gate, and back to where they were.
                stor.gate(name="one")
                check(all(join.sleeps() for join in waiting),
                      "some do not wait any more")
                equal(end(), pattern(1, MIB), "what was read")
                equal([join() for join in waiting], [65536] * 4,
                      "results")
            for at in range(4):
                equal(disk.read((2 + at) * MIB, 65536), pattern(at, 65536),
                      f"write {at}")
            equal(failures(stor), {}, "failed I/Os")


@test
def journal(stor, devices):
    """ext4: commits of its journal wait, and it is whole after them"""
    need("mkfs.ext4", "fsck.ext4")
    with volume(stor, devices[0], length=64 * MIB), \
            tempfile.TemporaryDirectory() as folder:
        run("mkfs.ext4", "-q", "-F", "/dev/stor0")
        run("mount", "/dev/stor0", folder)
        try:
            def write(name, seed):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(pattern(seed, 300000))
                    file.flush()
                    os.fsync(file.fileno())
            write("before", 1)
            for number in range(3):
                with parked(stor, write, f"during{number}", number):
                    # Of each kind that jbd2 sends some are on their way.
                    time.sleep(0.5)
                    within(LIMIT, put, QUEUE / "nr_requests",
                           number_of(QUEUE / "nr_requests") // 2)
                    stor.gate(name="one")
        finally:
            if stor.get(name="one")["state"] == "locked":
                stor.lock("one", "fail")
            settle()
            run("umount", folder)
        run("fsck.ext4", "-f", "-n", "/dev/stor0")
        run("mount", "/dev/stor0", folder)
        try:
            for name, seed in (("before", 1), *(
                    (f"during{number}", number) for number in range(3))):
                equal(pathlib.Path(folder, name).read_bytes(),
                      pattern(seed, 300000), name)
        finally:
            settle()
            run("umount", folder)
        equal(failures(stor), {}, "failed I/Os")


@test
def failing(stor, devices):
    """the lock turns from hold to fail: what waits ends with EIO"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        disk.write(0, pattern(1, BLOCK))
        stor.lock("one", "hold")
        joins = [in_thread(error_of, what) for what in (
            lambda: disk.read(0, BLOCK), lambda: disk.write(0, bytes(BLOCK)),
            lambda: os.pwritev(disk.fd, [buffer(bytes(BLOCK))], 0,
                               os.RWF_DSYNC))]
        try:
            for join in joins:
                wait_until(join.sleeps, "I/O that waits")
            within(LIMIT, put, QUEUE / "nr_requests", 32)
        finally:
            stor.lock("one", "fail")
        equal([join() for join in joins], [errno.EIO] * 3, "errors")
        unlock(stor)
        equal(disk.read(0, BLOCK), pattern(1, BLOCK), "data")
        equal(number_of(SYS / "stor/inflight"), 0, "in flight")


def submit_many(path, count, go):
    """Write many blocks, from the first on; they are submitted all at once.

    A byte goes to `go` as soon as all have been submitted.
    """
    memory = buffer(b"".join(pattern(at, BLOCK) for at in range(count)))
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    class Told(Batch):
        """Tells when the submitting is over."""

        def _call(self, *args):
            done = Batch._call(*args)
            if args[0] == 209:  # io_submit
                equal(done, count, "I/Os that were submitted")
                os.write(go, b"x")
            return done
    views = []
    for at in range(count):
        views.append((ctypes.c_char * BLOCK).from_address(
            address + at * BLOCK))
    batch = Told(count)
    with Disk(path) as disk:
        # Every second block: nothing is merged.
        ends = batch.run(disk.fd, [(True, 2 * at * BLOCK, view)
                                   for at, view in enumerate(views)],
                         contextlib.nullcontext)
    equal(set(ends), {0}, "errors")


@test
def many(stor, devices):
    """1000 writes wait and have no tags: others still can do what they want"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        stor.lock("one", "hold")
        pipe, go = os.pipe()
        with watched(submit_many, "/dev/stor0", MANY, go) as writer:
            try:
                os.close(go)
                os.set_blocking(pipe, False)

                def submitted():
                    with contextlib.suppress(BlockingIOError):
                        return os.read(pipe, 1)
                    return None
                check(wait_until(submitted, "the end of submitting", 30)
                      == b"x", "the writer has ended")
                other = in_thread(disk.read, 15 * MIB, BLOCK)
                wait_until(other.sleeps, "a read that waits")
                within(LIMIT, put, QUEUE / "nr_requests", 16)
                within(LIMIT, run, "modprobe", "mq-deadline")
                within(LIMIT, put, QUEUE / "scheduler", "mq-deadline")
                within(LIMIT, put, QUEUE / "scheduler", "none")
                stor.gate(name="one")
                unlock(stor)
                other()
                writer.wait(60)
            finally:
                os.close(pipe)
                if stor.get(name="one")["state"] == "locked":
                    stor.lock("one", "fail")
        for at in range(MANY):
            equal(disk.read(2 * at * BLOCK, BLOCK), pattern(at, BLOCK),
                  f"block {at}")
        equal(failures(stor), {}, "failed I/Os")


@test
def counted(stor, devices):
    """what waits is shown, and each I/O is counted once"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        disk.write(0, pattern(1, 8 * MIB))
        wait_until(lambda: number_of(SYS / "stor/inflight") == 0, "rest")
        before, mine = Device("/dev/stor0").stat(), stat(stor).counters
        with parked(stor, disk.read, 0, BLOCK):
            more = [in_thread(disk.read, at * 65536, BLOCK)
                    for at in range(1, 40)]
            more += [in_thread(disk.write, 12 * MIB + at * 65536,
                               pattern(at, BLOCK)) for at in range(10)]
            for join in more:
                wait_until(join.sleeps, "I/O that waits")
            equal(number_of(SYS / "stor/inflight"), 50, "in flight")
            equal((SYS / "inflight").read_text().split(), ["0", "0"],
                  "in flight, as the block layer has it")
        for join in more:
            join()
        equal(number_of(SYS / "stor/inflight"), 0, "in flight")
        equal((SYS / "inflight").read_text().split(), ["0", "0"],
              "in flight, as the block layer has it")
        after = Device("/dev/stor0").stat()
        change = {name: after[name] - before[name] for name in after}
        equal({name: change[name] for name in (
            "read", "read_sectors", "write", "write_sectors", "read_merges",
            "write_merges")},
            {"read": 40, "read_sectors": 40 * 8, "write": 10,
             "write_sectors": 10 * 8, "read_merges": 0, "write_merges": 0},
            "iostat of the disk")
        equal(after["in_flight"], 0, "in flight by iostat")
        for name, count in (("read", 40), ("write", 10)):
            now = stat(stor).counters[name]
            was = mine.get(name, (0, 0, 0))
            equal(tuple(b - a for a, b in zip(was, now)),
                  (count, count, count * BLOCK), f"{name}s by storadm stat")
        equal(failures(stor), {}, "failed I/Os")


@test
def lost(stor, _devices):
    """the backing goes: all that waits for a key ends with EIO"""
    with null_blk(size=64, memory_backed=1) as folder:
        with volume(stor, "/dev/stortest"), Disk("/dev/stor0") as disk:
            stor.lock("one", "hold")
            joins = [in_thread(error_of, disk.write, at * 65536,
                               bytes(BLOCK)) for at in range(100)]
            joins.append(in_thread(error_of, disk.read, MIB, BLOCK))
            for join in joins:
                wait_until(join.sleeps, "I/O that waits")
            within(LIMIT, put, QUEUE / "read_ahead_kb", 64)
            put(folder / "power", 0)
            equal({join() for join in joins}, {errno.EIO}, "errors")
            wait_until(lambda: stor.get(name="one")["state"] == "failed",
                       "the volume's failure")
            equal(number_of(SYS / "stor/inflight"), 0, "in flight")


@test
def looked_at(stor, devices):
    """nobody waits for what is parked when it comes to close and delete"""
    with volume(stor, devices[0], length=16 * MIB):
        with Disk("/dev/stor0") as disk, \
                parked(stor, disk.read, 0, BLOCK):
            def others():
                # Another who opens, asks for this and that, and goes.
                with Disk("/dev/stor0", os.O_RDONLY | os.O_DIRECT) as other:
                    equal(other.size(), 16 * MIB, "size")
                    fcntl.ioctl(other.fd, 0x1268, bytes(4))
            within(LIMIT, others)
        equal(failures(stor), {}, "failed I/Os")


main(setup, clean)
