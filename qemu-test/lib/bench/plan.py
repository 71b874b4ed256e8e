# SPDX-License-Identifier: GPL-2.0
"""What is measured: the one place to add a device or a workload.

A row of the results is one workload on one device over one lower device.
"""

import dataclasses

# Over what the devices stand. The first is the usual one.
LOWERS = ("null_blk", "nvme")


@dataclasses.dataclass(frozen=True)
class Device:
    """A device under measurement; guest.py has the function that makes it."""

    name: str
    polls: bool = True  # whether it can take polled I/O at all


# `raw` is the lower device itself, from which `added` counts.
DEVICES = (
    Device("raw"),
    Device("dm-linear"),
    Device("dm-multipath", polls=False),  # request-based dm has no poll queues
    Device("stor"),
    Device("stor-nostat"),
)


@dataclasses.dataclass(frozen=True)
class Workload:
    """One way of doing I/O. `rw` is the name in the results, `fio` fio's own."""

    rw: str
    fio: str
    bs: int
    depth: int
    poll: bool = False
    quick: bool = False  # among those that `bench --quick` measures

    def key(self) -> tuple[str, int, int, bool]:
        """What tells one workload from another in the results."""
        return (self.rw, self.bs, self.depth, self.poll)


RANDOM = tuple(
    Workload(rw, rw, 4096, depth, poll, quick=rw == "randread" and depth < 64 and not poll)
    for rw in ("randread", "randwrite")
    for poll in (False, True)
    for depth in (1, 16, 64)
)
WORKLOADS = RANDOM
