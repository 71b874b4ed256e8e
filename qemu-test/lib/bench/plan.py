# SPDX-License-Identifier: GPL-2.0
"""What is measured: the one place to add a device or a workload.

A row of the results is one workload on one device over one lower device.
"""

import dataclasses

# What the devices stand on.
LOWERS = ("null_blk", "nvme")

# The devices, in the order of the table; devices.py makes them. `raw` is the lower
# device itself, from which `added` counts; what others add is also told as a multiple
# of what the second one adds, or dm-crypt at its best.
PLAIN = ("raw", "dm-linear", "dm-multipath", "stor", "stor-nostat")
# Those that encrypt: with sectors of 512 bytes, and of 4 KiB; dm-crypt as it is by default,
# and without its work queues; stor, and stor by the kernel's fallback of blk-crypto.
ENCRYPTED = ("dm-crypt", "dm-crypt-4k", "dm-crypt-direct", "dm-crypt-direct-4k", "stor-crypt",
             "stor-crypt-4k", "stor-inline", "stor-inline-4k")
# The cipher by itself, on the bytes of an I/O, with sectors of so many bytes.
CIPHERS = {"cipher": 512, "cipher-4k": 4096}
# What an encrypted volume can not cost less than: a plain one, and the cipher. Made of the
# results of both, and held against the volume of this name.
FLOORS = {"floor": "stor-crypt", "floor-4k": "stor-crypt-4k"}
MEASURED = (*PLAIN, *ENCRYPTED, *CIPHERS)
DEVICES = (*MEASURED, *FLOORS)
RAW, REFERENCE = DEVICES[:2]
ENCRYPTED_REFERENCE = "dm-crypt-direct-4k"


@dataclasses.dataclass(frozen=True)
class Workload:
    """One way of doing I/O, by fio."""

    rw: str  # its name in the results; fio's own, unless `fio` says otherwise
    bs: int
    depth: int
    poll: bool = False
    fio: tuple[str, ...] = ()  # options in place of --rw
    flushes: bool = False  # needs a write cache below
    size: str = "1g"  # of the part of the device that is used

    def key(self) -> tuple[str, int, int, bool]:
        """What tells one workload from another in the results."""
        return (self.rw, self.bs, self.depth, self.poll)

    def name(self) -> str:
        """As a person calls it."""
        unit = f"{self.bs >> 10}k" if self.bs >= 1024 else str(self.bs)
        return f"{self.rw} {unit} depth {self.depth}{' polled' if self.poll else ''}"


# How many pieces a large buffer is made of must not hang on the state of the memory.
LARGE = ("--iomem=mmaphuge",)

WORKLOADS = (
    *(
        Workload(rw, 4096, depth, poll)
        for poll in (False, True)
        for rw in ("randread", "randwrite")
        for depth in (1, 16, 64)
    ),
    *(
        Workload(rw, 131072, depth, fio=(f"--rw={rw}", *LARGE))
        for rw in ("read", "write")
        for depth in (1, 16)
    ),
    Workload("fsync", 4096, 1, fio=("--rw=randwrite", "--fsync=1"), flushes=True, size="2m"),
)


def does(device: str, work: Workload) -> bool:
    """Whether a device is measured with a workload: those that encrypt, with fewer."""
    return device in PLAIN or (work.depth < 64 and not work.poll and not work.flushes)


# For a quick look while changing the code.
QUICK = [w for w in WORKLOADS if w.rw == "randread" and w.depth < 64 and not w.poll]
