#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Polled I/O that is merged: its poller never waits.

Whoever polls is the only one who ends what it has submitted: asleep below, it
would wait for itself.
"""

import contextlib
import errno
import mmap
import os

from lib import keys
from lib import uring
from lib.lower import null_blk
from lib.stats import failures
from lib.stor import MIB, Disk, clean, number_of, pattern, settle, setup
from lib.tap import KernelLog, check, equal, main, note, test
from lib.watch import within

LOWER = "/dev/stortest"
CONFIG = {"size": 64, "submit_queues": 1, "poll_queues": 1, "irqmode": 0,
          "memory_backed": 1}
# Two of three blocks: pairs that are merged, and that nothing joins.
BLOCKS = [block for block in range(30) if block % 3 != 2]
# What hangs, hangs for ever.
LIMIT = 120


@contextlib.contextmanager
def quiet():
    """No request may time out meanwhile."""
    log = KernelLog()
    yield
    late = [line for line in log.lines() if "timed out" in line]
    equal(late, [], "what has timed out")


@contextlib.contextmanager
def volumes(stor, **config):
    """The same device bare, below a plain volume, and an encrypted one.

    Gives functions that make each and return its path; the bare one first.
    """
    with keys.key(pattern(1, 64)) as key, null_blk(**CONFIG, **config):
        with Disk(LOWER) as disk:
            for at in range(0, 2 * MIB, MIB):
                disk.write(at, bytes(MIB))

        def volume(**values):
            if stor.dump():
                stor.delete(name="one")
            stor.new("one", LOWER, length=32 * MIB, **values)
            settle()
            equal(number_of("/sys/block/stor0/queue/io_poll"), 1, "io_poll")
            return "/dev/stor0"
        yield {"bare": lambda: LOWER, "plain": volume,
               "encrypted": lambda: volume(key=key)}
        settle()
        equal(number_of("/sys/block/stor0/stor/inflight"), 0, "in flight")
        equal(failures(stor), {}, "failed I/Os")
        stor.delete(name="one")


def read_all(path, blocks, flags=0):
    """Read blocks by one polled ring, all at once; what each ended with.

    What has been read is compared.
    """
    memory = [mmap.mmap(-1, 4096) for _ in blocks]
    with Disk(path) as disk, uring.Ring(polled=True) as ring:
        ends = ring.run([
            (uring.READ, disk.fd, block * 4096, uring.address(where), 4096,
             flags) for block, where in zip(blocks, memory)])
    for block, where, end in zip(blocks, memory, ends):
        check(end != 4096 or where[:] == pattern(block, 4096),
              f"block {block} has other data")
    return ends


def prepare(path):
    """Write what is going to be read."""
    with Disk(path) as disk:
        for block in BLOCKS:
            disk.write(block * 4096, pattern(block, 4096))


@test
def batch(stor, _devices):
    """more polled reads at once than the backing has tags: all end"""
    def work(path):
        equal(set(read_all(path, BLOCKS)), {4096}, "results")

    with volumes(stor, hw_queue_depth=4) as make:
        for name, path in make.items():
            note(name)
            path = path()
            prepare(path)
            with quiet():
                for _ in range(5):
                    within(LIMIT, work, path)


@test
def nowait(stor, _devices):
    """polled reads that are not to wait: refused where the bare device is"""
    def refused(path, blocks):
        ends = read_all(path, blocks, os.RWF_NOWAIT)
        check(set(ends) <= {4096, -errno.EAGAIN}, f"results: {ends}")
        return ends.count(-errno.EAGAIN)

    def work(path, most):
        equal(refused(path, BLOCKS[:2]), 0, "refused of two")
        count = refused(path, BLOCKS)
        check(count <= most, f"{count} refused, {most} by the bare device")

    with volumes(stor, hw_queue_depth=4) as make:
        prepare(LOWER)
        most = refused(LOWER, BLOCKS)
        note(f"the bare device refuses {most}")
        for name, path in make.items():
            note(name)
            path = path()
            prepare(path)
            with quiet():
                within(LIMIT, work, path, most)


main(setup, clean)
