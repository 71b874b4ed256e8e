#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Measure instructions per I/O; runs in a VM whose clock counts them (vm run --icount).

guest.py LOWER DEVICE... [--quick] [--repeat N]

Prints one JSON object a line: the row, with the figure of each repeat. For people it
tells on stderr how far it is.

fio runs in the background; this process sleeps, at real-time priority, and looks twice:
how many sectors has the device done, and what time is it. So neither the start nor the
end of fio is in the figure, and it is as fine as the clock. One nanosecond of it is one
instruction of the CPU, whoever executes it: fio, the kernel, a work queue.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing

import plan

WINDOW = 0.25  # seconds of virtual time, 250 million instructions
WARM_UP = 3000  # I/Os
SECTORS_READ, SECTORS_WRITTEN = 2, 6  # columns of /sys/block/*/stat
MODULE = f"build/kmod/{os.uname().release}/stor.ko"


def run(*command: str) -> str:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def sysfs(disk: str, name: str) -> pathlib.Path:
    """An attribute of a disk."""
    return pathlib.Path("/sys/block") / disk / name


@contextlib.contextmanager
def dm(name: str, disk: str, target: str, *options: str) -> typing.Iterator[str]:
    """A device-mapper device of one target that covers the whole disk."""
    sectors = sysfs(disk, "size").read_text().strip()
    run("dmsetup", "create", name, *options, "--table", f"0 {sectors} {target}")
    try:
        yield pathlib.Path(f"/dev/mapper/{name}").resolve().name
    finally:
        run("udevadm", "settle")
        run("dmsetup", "remove", name)


@contextlib.contextmanager
def stor(disk: str, *parameters: str) -> typing.Iterator[str]:
    """A volume that covers the whole disk, with the module loaded for it."""
    run("insmod", MODULE, *parameters)
    run("udevadm", "settle")
    run("storadm", "volume", "create", "bench", "--backing", f"/dev/{disk}")
    try:
        yield "stor0"
    finally:
        run("udevadm", "settle")
        run("storadm", "volume", "delete", "bench")
        run("rmmod", "stor")


@contextlib.contextmanager
def device(name: str, disk: str) -> typing.Iterator[str]:
    """Make the device of that name over a disk; gives the name of its own disk."""
    with contextlib.ExitStack() as stack:
        if name == "raw":
            yield disk
        elif name == "dm-linear":
            yield stack.enter_context(dm("bench", disk, f"linear /dev/{disk} 0"))
        elif name == "dm-multipath":
            run("modprobe", "-a", "dm-multipath", "dm-service-time")
            target = f"multipath 2 queue_mode mq 0 1 1 service-time 0 1 2 /dev/{disk} 1 1"
            yield stack.enter_context(dm("bench", disk, target))
        elif name == "stor":
            yield stack.enter_context(stor(disk))
        elif name == "stor-nostat":
            yield stack.enter_context(stor(disk, "stats=0"))
        else:
            sys.exit(f"bench: no device {name}")


def null_blk() -> str:
    """A null_blk disk that completes in the submission (irqmode=0) and holds no data."""
    run("modprobe", "null_blk", "nr_devices=1", "queue_mode=2", "irqmode=0", "gb=4",
        "poll_queues=1")
    return "nullb0"


def fio(disk: str, work: plan.Workload) -> list[str]:
    """fio without an end; batches are as large as the queue is deep."""
    return [
        "fio", "--name=bench", "--thread", f"--filename=/dev/{disk}", "--output=/dev/null",
        "--ioengine=io_uring", "--direct=1", f"--hipri={int(work.poll)}",
        f"--rw={work.fio}", f"--bs={work.bs}", "--size=1g", f"--iodepth={work.depth}",
        f"--iodepth_batch_submit={work.depth}",
        f"--iodepth_batch_complete_min={work.depth}",
        f"--iodepth_batch_complete_max={work.depth}",
        "--norandommap", "--randrepeat=1", "--time_based", "--runtime=10000",
    ]


def sample(disk: str) -> tuple[int, int]:
    """Sectors done by now, and now in nanoseconds."""
    words = sysfs(disk, "stat").read_text().split()
    return int(words[SECTORS_READ]) + int(words[SECTORS_WRITTEN]), time.monotonic_ns()


def measure(disk: str, work: plan.Workload) -> float:
    """Instructions per I/O, of one run of fio."""
    sectors = work.bs // 512
    first = sample(disk)[0]
    load = subprocess.Popen(
        fio(disk, work),
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)),
    )
    try:
        while sample(disk)[0] < first + WARM_UP * sectors:
            if load.poll() is not None:
                sys.exit(f"bench: fio ended with {load.returncode} on {disk}")
            time.sleep(0.01)
        begin = sample(disk)
        time.sleep(WINDOW)
        end = sample(disk)
        if load.poll() is not None:
            sys.exit(f"bench: fio ended with {load.returncode} on {disk}")
    finally:
        load.kill()
        load.wait()
    return (end[1] - begin[1]) / ((end[0] - begin[0]) / sectors)


def main() -> None:
    """Measure the devices asked for, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lower", choices=plan.LOWERS)
    parser.add_argument("device", nargs="+", choices=[d.name for d in plan.DEVICES])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    # Above everything else that runs here.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    disk = null_blk() if args.lower == "null_blk" else "nvme0n1"
    works = [w for w in plan.WORKLOADS if w.quick or not args.quick]
    for name in args.device:
        with device(name, disk) as top:
            run("udevadm", "settle")
            for work in works:
                figures = [measure(top, work) for _ in range(args.repeat)]
                row = {"device": name, "lower": args.lower, "rw": work.rw, "bs": work.bs,
                       "depth": work.depth, "poll": work.poll, "repeats": figures}
                print(json.dumps(row), flush=True)
                print(f"{name} {work.rw} {work.bs} {work.depth} {figures}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
