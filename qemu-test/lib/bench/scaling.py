#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""How much two CPUs do more than one, by the wall clock, in a VM with two CPUs.

Emulated CPUs run on threads of the host, beside whatever else it does. So a figure is
the median of several, its spread stands beside it, and neither repeats.
"""

import json
import statistics
import subprocess

import devices

SECONDS, TIMES = 3, 5
DEPTH = 16


def iops(disk: str, cpus: int) -> float:
    """I/Os a second of one fio job on each CPU."""
    out = devices.run(
        "fio", "--name=bench", "--thread", f"--filename=/dev/{disk}", "--output-format=json",
        "--ioengine=io_uring", "--direct=1", "--rw=randread", "--bs=4k", "--size=1g",
        f"--iodepth={DEPTH}", f"--iodepth_batch_submit={DEPTH}",
        f"--iodepth_batch_complete_min={DEPTH}", f"--iodepth_batch_complete_max={DEPTH}",
        "--norandommap", "--group_reporting", f"--numjobs={cpus}", f"--cpus_allowed=0-{cpus - 1}",
        "--cpus_allowed_policy=split", "--time_based", f"--runtime={SECONDS}", "--ramp_time=1",
    )
    return float(json.loads(out)["jobs"][0]["read"]["iops"])


def spread(figures: list[float]) -> float:
    """Of figures, relative to their median."""
    return (max(figures) - min(figures)) / statistics.median(figures)


def main() -> None:
    """One line for each device."""
    print("4 KiB random reads at depth 16 on null_blk, one job for each CPU; thousands of")
    print(f"I/Os a second by the wall clock: the median of {TIMES}, and half their range.")
    print("Emulated CPUs run beside whatever else the machine does: these figures do not repeat.\n")
    print(f"{'device':16}{'1 CPU':>18}{'2 CPUs':>18}{'ratio':>8}", flush=True)
    for name in ("raw", "dm-linear", "dm-multipath", "stor"):
        with devices.device(name, devices.lower("null_blk", False, cpus=2)) as top:
            # Taking turns, so that what else the host does meets both alike.
            pairs = [(iops(top, 1), iops(top, 2)) for _ in range(TIMES)]
        one, two = ([pair[n] for pair in pairs] for n in (0, 1))
        cells = [f"{statistics.median(f) / 1000:.1f} ±{spread(f) / 2:.0%}" for f in (one, two)]
        ratio = statistics.median(two) / statistics.median(one)
        print(f"{name:16}{cells[0]:>18}{cells[1]:>18}{ratio:8.2f}", flush=True)
    subprocess.run(["udevadm", "settle"], check=True)


if __name__ == "__main__":
    main()
