#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""How much is decrypted in one run, where nobody else can run on that CPU."""

import collections
import contextlib
import mmap
import os
import re

from lib import keys
from lib import uring
from lib.blktrace import TRACING
from lib.lower import null_blk
from lib.stats import failures
from lib.stor import Disk, clean, number_of, pattern, settle, setup
from lib.tap import Skip, check, equal, main, note, test

READS, SIZE = 256, 128 << 10
# Of the whole burst, a part that a run may have at most.
MOST = READS * SIZE // 8
# task-pid [cpu] irqs-off/resched/irq/preempt-depth... time: event: what
LINE = re.compile(r"^\s*(?P<task>.+-\d+)\s+\[(?P<cpu>\d+)\]\s+"
                  r"(?P<flags>\S{4,6})\s+(?P<time>[\d.]+): (?P<event>\w+): "
                  r"(?P<text>.*)")
DECRYPTED = ("stor_open", "stor_decrypt")
Run = collections.namedtuple("Run", "bytes seconds")


@contextlib.contextmanager
def tracing():
    """Trace what is decrypted, and softirqs; gives a function for the lines.

    They are in the order of time, each a match.
    """
    events = [path for path in (TRACING / "events/stor").glob("*")
              if path.name in DECRYPTED]
    if not events:
        raise Skip("no tracefs, or no tracepoint of what is decrypted")
    instance = TRACING / f"instances/stor-selftest-{os.getpid()}"
    instance.mkdir()
    try:
        (instance / "buffer_size_kb").write_text("8192")
        for path in (*events, TRACING / "events/irq/softirq_entry",
                     TRACING / "events/irq/softirq_exit"):
            (instance / "events" / path.parent.name / path.name /
             "enable").write_text("1")

        def collect():
            (instance / "tracing_on").write_text("0")
            found = map(LINE.match,
                        (instance / "trace").read_text().splitlines())
            return [match for match in found if match]
        yield collect
    finally:
        instance.rmdir()


def runs(lines):
    """Of each run that nobody else could interrupt: bytes and seconds.

    That is from the entry to a softirq to its exit, and in a task all that is
    decrypted with preemption off, until the same CPU does something else.
    """
    found, now = [], {}

    def end(cpu):
        kind, length, first, last = now.pop(cpu, (None, 0, 0, 0))
        if length:
            found.append((kind, Run(length, last - first)))
    for match in lines:
        cpu, time = match["cpu"], float(match["time"])
        if match["event"] == "softirq_entry":
            end(cpu)
            now[cpu] = ("softirq", 0, time, time)
        elif match["event"] == "softirq_exit":
            kind, length, first, _ = now.get(cpu, (None, 0, time, time))
            now[cpu] = (kind, length, first, time)
            end(cpu)
        elif match["event"] in DECRYPTED:
            size = int(re.search(r"bytes=(\d+)", match["text"])[1])
            context, depth = match["flags"][2], match["flags"][3]
            kind = ("softirq" if context in "sSH" else "hardirq"
                    if context in "h" else "atomic" if depth not in ".0"
                    else "task")
            held = now.get(cpu)
            if held and held[0] == kind and kind != "task":
                now[cpu] = (kind, held[1] + size, held[2], time)
            elif held and held[0] == "softirq":
                check(False, f"in the middle of a softirq: {match.string}")
            else:
                end(cpu)
                now[cpu] = (kind, size, time, time)
    for cpu in list(now):
        end(cpu)
    return found


def burst(stor, polled, **config):
    """Read much that ends at once; how it was decrypted."""
    # A polled read that is split is polled no more.
    with null_blk(size=256, submit_queues=1, max_sectors=SIZE // 512,
                  **config), \
            keys.key(pattern(1, 64)) as key:
        stor.new("one", "/dev/stortest", key=key)
        settle()
        equal(number_of("/sys/block/stor0/queue/io_poll"), int(polled),
              "io_poll")
        memory = mmap.mmap(-1, READS * SIZE)
        memory[:] = bytes(len(memory))  # no page fault meanwhile
        base = uring.address(memory)
        cpus = os.sched_getaffinity(0)
        try:
            # All on one CPU, whose queue they come back on.
            os.sched_setaffinity(0, {min(cpus)})
            with Disk("/dev/stor0") as disk, \
                    uring.Ring(READS, polled) as ring, tracing() as collect:
                ends = ring.run([
                    (uring.READ, disk.fd, number * SIZE,
                     base + number * SIZE, SIZE, 0)
                    for number in range(READS)])
                lines = collect()
        finally:
            os.sched_setaffinity(0, cpus)
        equal(set(ends), {SIZE}, "results")
        equal(failures(stor), {}, "failed I/Os")
        stor.delete(name="one")
    found = runs(lines)
    total = collections.Counter()
    for kind, each in found:
        total[kind] += each.bytes
    for kind in total:
        ones = [each for of, each in found if of == kind]
        note(f"{kind}: {total[kind] >> 10} KiB in {len(ones)} runs, at most "
             f"{max(each.bytes for each in ones) >> 10} KiB and "
             f"{max(each.seconds for each in ones) * 1000:.1f} ms in one")
    equal(sum(total.values()), READS * SIZE, "bytes that were decrypted")
    equal(total["hardirq"], 0, "bytes in hard interrupts")
    most = max((each.bytes for kind, each in found if kind != "task"),
               default=0)
    check(most <= MOST, f"{most >> 10} KiB of {READS * SIZE >> 10} were "
                        f"decrypted in one run, of {MOST >> 10} at most")


@test
def interrupts(stor, _devices):
    """a burst from interrupts: other tasks can run in between"""
    # It keeps no data: a read takes no time to copy. All are submitted
    # before the first ends.
    burst(stor, False, irqmode=2, hw_queue_depth=READS, poll_queues=0,
          completion_nsec=1500 * 10 ** 6)


@test
def polls(stor, _devices):
    """a burst that is found by one poll: the same"""
    burst(stor, True, irqmode=0, hw_queue_depth=READS, poll_queues=1)


main(setup, clean)
