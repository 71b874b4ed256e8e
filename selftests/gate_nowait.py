#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A gate is nothing that those who do not want to wait are told of.

STOR_TEST_ROUNDS is how often it is closed, 20 by default.
"""

import collections
import contextlib
import errno
import mmap
import os
import sys

from lib import keys
from lib import uring
from lib.lower import polled_null_blk
from lib.stats import failures, stat
from lib.stor import MIB, Disk, clean, pattern, settle, setup
from lib.tap import (Failure, check, equal, main, note, test,
                     wait_until)
from lib.watch import watched

ROUNDS = int(os.environ.get("STOR_TEST_ROUNDS", "20"))
CPUS = len(os.sched_getaffinity(0))
CONFIG = {"size": 32, "submit_queues": CPUS, "poll_queues": CPUS,
          "hw_queue_depth": 64}


def by_call(disk):
    """Single reads that must not wait; gives a function for each round."""
    memory = mmap.mmap(-1, 4096)

    def one(at):
        try:
            return [os.preadv(disk.fd, [memory], at * 4096, os.RWF_NOWAIT)]
        except OSError as why:
            return [-why.errno]
    return one


def by_ring(polled, flags):
    """The same by a ring, a few at once."""
    def make(disk):
        memory = [mmap.mmap(-1, 4096) for _ in range(4)]
        ring = uring.Ring(polled=polled)
        return lambda at: ring.run([
            (uring.READ, disk.fd, (at + number * 7) % 256 * 4096,
             uring.address(where), 4096, flags)
            for number, where in enumerate(memory)])
    return make


def read(path, make, shared):
    """Read until there is a byte in `shared`, and count what comes there."""
    ends = collections.Counter()
    with Disk(path) as disk:
        one, at = make(disk), 0
        while not shared[0]:
            ends.update(one(at % 256))
            at += 1
            shared[8:16] = at.to_bytes(8, sys.byteorder)
    refused = ends.pop(-errno.EAGAIN, 0)
    wrong = {number: count for number, count in ends.items()
             if number != 4096}
    if refused or wrong:
        raise Failure(f"{refused} of {ends[4096] + refused} reads ended with "
                      f"EAGAIN{f', others with {wrong}' if wrong else ''}")


@contextlib.contextmanager
def reader(path, make):
    """Read in a process as long as the body runs; gives its progress."""
    shared = mmap.mmap(-1, 16)
    with watched(read, path, make, shared) as process:
        try:
            yield lambda: int.from_bytes(shared[8:16], sys.byteorder)
        finally:
            shared[0] = 1
        process.wait(30)


@test
def readers(stor, _devices):
    """reads with NOWAIT, polled ones, and both, while the gate closes"""
    kinds = {"NOWAIT": by_call,
             "NOWAIT by a ring": by_ring(False, os.RWF_NOWAIT),
             "polled": by_ring(True, 0),
             "polled with NOWAIT": by_ring(True, os.RWF_NOWAIT)}
    with polled_null_blk(**CONFIG), keys.key(pattern(1, 64)) as key:
        problems = []
        for name, how in (("bare", None), ("plain", {}),
                          ("encrypted", {"key": key})):
            path = "/dev/stortest"
            if how is not None:
                stor.new("one", path, length=16 * MIB, **how)
                path = "/dev/stor0"
            settle()
            for kind, make in kinds.items():
                try:
                    with reader(path, make) as done:
                        for _ in range(ROUNDS):
                            before = done()
                            wait_until(lambda n=before: done() > n, "a read",
                                       60)
                            if how is not None:
                                stor.gate(name="one")
                except Failure as why:
                    check(how is not None, f"bare, {kind}: {why}")
                    problems.append(f"{name}, {kind}: {why}")
            if how is None:
                continue
            again = stat(stor).failed.get("again", 0)
            gate = stor.get(name="one")
            note(f"{name}: {gate['gate-count']} gates, longest "
                 f"{gate['gate-longest'] / 1e6:.2f} ms, {again} times again")
            equal(failures(stor), {}, "failed I/Os")
            stor.delete(name="one")
        check(not problems, "\n".join(problems))


main(setup, clean)
