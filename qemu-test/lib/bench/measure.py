#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Measure instructions per I/O; runs in a VM whose clock counts them (vm run --icount).

measure.py [--quick | --profile WORKLOAD] LOWER DEVICE...

Prints one JSON object for each row, with the figure of each repeat, and one with
"skipped" for each that cannot be measured. How far it is stands on stderr.

fio runs in the background. This process sleeps, at real-time priority, and looks twice:
how many sectors has the lower disk done, and what time is it? So neither the start nor the
end of fio is in the figure, and it is as fine as the clock. One nanosecond of it is one
instruction of the CPU, whoever executes it: fio, the system call, a work queue.
"""

import argparse
import ctypes
import json
import mmap
import os
import pathlib
import struct
import subprocess
import sys
import time
import typing

import devices
import plan
import repeats

# Seconds of virtual time at least, and I/Os before it for warming up. Each doorbell of the
# drive costs the host two changes of threads.
WINDOW = {"null_blk": 0.08, "nvme": 0.02}
WARM_UP = {"null_blk": 2000, "nvme": 500}
BATCHES = 400  # at least: the device's count goes on by whole batches
REPEATS, MORE = 2, 6  # runs of fio, and of a row that something has disturbed
SECTORS_READ, SECTORS_WRITTEN = 2, 6  # columns of /sys/block/*/stat


def at_priority(policy: int, priority: int) -> None:
    """Have the CPU before others do, or not."""
    os.sched_setscheduler(0, policy, os.sched_param(priority))


def fio(disk: str, work: plan.Workload) -> list[str]:
    """fio without an end, in batches as large as the queue is deep, from a fixed seed."""
    return [
        "fio", "--name=bench", "--thread", f"--filename=/dev/{disk}", "--output=/dev/null",
        "--ioengine=io_uring", "--direct=1", f"--hipri={int(work.poll)}",
        *(work.fio or [f"--rw={work.rw}"]),
        f"--bs={work.bs}", f"--size={work.size}", f"--iodepth={work.depth}",
        f"--iodepth_batch_submit={work.depth}", f"--iodepth_batch_complete_min={work.depth}",
        f"--iodepth_batch_complete_max={work.depth}",
        "--norandommap", "--randrepeat=1", "--time_based", "--runtime=10000",
    ]


class Marker:
    """The long no-ops that the plugin takes for begin and end (icount.c)."""

    def __init__(self) -> None:
        # nopl "stor"+N(%rax,%rax,1); ret
        code = b"".join(b"\x0f\x1f\x84\x00" + struct.pack("<I", 0x726F7473 + n) + b"\xc3"
                        for n in (0, 1))
        self.page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        self.begin, self.end = (ctypes.CFUNCTYPE(None)(address + 9 * n) for n in (0, 1))
        # Once for nothing: the first call of a ctypes function does more.
        self.begin()


class Load:
    """A running fio, and what it has done."""

    def __init__(self, below: str, disk: str, work: plan.Workload) -> None:
        self.disk, self.work = disk, work
        # Counted at the lower disk: dm counts a bio that it splits twice.
        self.stat = os.open(devices.sysfs(below, "stat"), os.O_RDONLY)
        self.first = self.done()[0]
        self.process = subprocess.Popen(
            fio(disk, work), stdin=subprocess.DEVNULL,
            preexec_fn=lambda: at_priority(os.SCHED_OTHER, 0),
        )

    def done(self) -> tuple[float, int]:
        """I/Os done by now; and the time, without what this process has used itself."""
        now = time.monotonic_ns() - time.thread_time_ns()
        words = os.pread(self.stat, 512, 0).split()
        sectors = int(words[SECTORS_READ]) + int(words[SECTORS_WRITTEN])
        return sectors * 512 / self.work.bs, now

    def wait_for(self, ios: float) -> None:
        """Sleep until it has done so many."""
        while self.done()[0] < ios:
            if self.process.poll() is not None:
                sys.exit(f"error: fio ended with {self.process.returncode} on {self.disk}")
            time.sleep(0.01)

    def end(self) -> None:
        """Stop it, however far it is."""
        self.process.kill()
        self.process.wait()
        os.close(self.stat)


def measure(lower: str, disk: str, work: plan.Workload, marker: Marker | None = None
            ) -> tuple[float, float]:
    """Instructions per I/O, of one run of fio; and the number of I/Os it is from."""
    load = Load(devices.lower(lower, work.flushes), disk, work)
    try:
        load.wait_for(load.first + WARM_UP[lower])
        if marker:
            marker.begin()
        begin, since = load.done()
        time.sleep(WINDOW[lower])
        load.wait_for(begin + BATCHES * work.depth)
        end, until = load.done()
        if marker:
            marker.end()
    finally:
        load.end()
    return (until - since) / (end - begin), end - begin


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def put(lower: str, name: str, work: plan.Workload, **more: typing.Any) -> None:
    """A line for the report."""
    row = {"device": name, "lower": lower, "rw": work.rw, "bs": work.bs,
           "depth": work.depth, "poll": work.poll}
    print(json.dumps(row | more), flush=True)


def measure_device(lower: str, name: str, top: str, works: list[plan.Workload],
                   told: typing.Callable[[str], None]) -> None:
    """All rows of one device: first each once, then each again."""
    figures: dict[plan.Workload, list[float]] = {}
    for _ in range(REPEATS):
        for work in works:
            if work.poll and not devices.can_poll(top):
                continue
            figure = measure(lower, top, work)[0]
            figures.setdefault(work, []).append(figure)
            told(f"{lower} {name}: {work.name()}: {figure:.0f}")
    for work in works:
        if work not in figures:
            put(lower, name, work, skipped="the device has no polled queues")
            continue
        while (repeats.settle(figures[work])[1] > repeats.CLOSE
               and len(figures[work]) < MORE):
            say(f"      {lower} {name}: {work.name()} was disturbed; once more")
            figures[work].append(measure(lower, top, work)[0])
        put(lower, name, work, repeats=figures[work])


def measure_cipher(lower: str, name: str, works: list[plan.Workload],
                   told: typing.Callable[[str], None]) -> None:
    """All rows of the cipher by itself, which has no device."""
    for work in works:
        figures: list[float] = []
        while len(figures) < REPEATS or (
            repeats.settle(figures)[1] > repeats.CLOSE and len(figures) < MORE
        ):
            cost = devices.cipher(plan.CIPHERS[name], work.bs, work.rw.endswith("write"))
            figures.append(float(cost))
            if len(figures) <= REPEATS:
                told(f"{name}: {work.name()}: {cost}")
        put(lower, name, work, repeats=figures)


def measure_all(lower: str, names: list[str], works: list[plan.Workload]) -> None:
    """All rows of some devices."""
    reasons = {name: devices.missing(name) for name in names}
    total, count = REPEATS * sum(plan.does(name, work) for name, why in reasons.items()
                                 for work in works if not why), 0

    def told(text: str) -> None:
        nonlocal count
        count += 1
        say(f"[{count}/{total}] {text}")

    for name in names:
        if reasons[name]:
            say(f"      no {name}: {reasons[name]}")
            for work in works:
                put(lower, name, work, skipped=reasons[name])
            continue
        if name in plan.CIPHERS:
            measure_cipher(lower, name, [work for work in works if plan.does(name, work)], told)
            continue
        for flushes in (False, True):
            part = [work for work in works
                    if work.flushes == flushes and plan.does(name, work)]
            if not part:
                continue
            with devices.device(name, devices.lower(lower, flushes)) as top:
                polled = [work for work in part if work.poll]
                if not devices.can_poll(top):
                    total -= len(polled) * REPEATS
                measure_device(lower, name, top, part, told)


def profile(lower: str, name: str, work: plan.Workload) -> None:
    """One measurement between markers of the raw device, and one of another over it.

    Each with the names of the kernel's functions at that time: modules come and go.
    """
    marker = Marker()
    for each in dict.fromkeys((plan.RAW, name)):
        with devices.device(each, devices.lower(lower, work.flushes)) as top:
            if work.poll and not devices.can_poll(top):
                sys.exit(f"error: {each} has no polled queues")
            say(f"      profiling {each}")
            measure(lower, top, work)  # what happens once has happened
            figure, ios = measure(lower, top, work, marker)
            with open("/proc/kallsyms", encoding="ascii") as file:
                symbols = [line.split() for line in file]
        put(lower, each, work, repeats=[figure], ios=ios,
            symbols=[[int(s[0], 16), s[2], *s[3:]] for s in symbols if s[1] in "tTwW"])


def main() -> None:
    """Measure what is asked for, one device after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lower", choices=plan.LOWERS)
    parser.add_argument("device", nargs="+", choices=plan.MEASURED)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", default="")
    args = parser.parse_args()
    works = plan.QUICK if args.quick else list(plan.WORKLOADS)
    devices.run("udevadm", "settle")
    pathlib.Path("/proc/sys/vm/nr_hugepages").write_text("8\n")  # see plan.LARGE
    # Nothing else may want the CPU: udev looks at a device again after it was written.
    at_priority(os.SCHED_FIFO, 10)
    if args.profile:
        if args.device[0] in plan.CIPHERS:
            sys.exit(f"error: {args.device[0]} is no device, and has no profile")
        work = next((w for w in plan.WORKLOADS if w.name() == args.profile), None)
        if work is None:
            names = "".join(f"\n       {w.name()}" for w in plan.WORKLOADS)
            sys.exit(f"error: no workload '{args.profile}'; there are:{names}")
        profile(args.lower, args.device[0], work)
    else:
        measure_all(args.lower, args.device, works)


if __name__ == "__main__":
    main()
