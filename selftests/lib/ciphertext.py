# SPDX-License-Identifier: GPL-2.0
"""What an encrypted volume, one, must keep to, whoever encrypts it.

make(device, length=N, ...) makes it and waits for udev.
"""

import errno
import os
import pathlib

from .stor import (BLKDISCARD, BLKZEROOUT, Disk, MIB, error_of, number_of,
                   pattern)
from .tap import check, equal

QUEUE = pathlib.Path("/sys/block/stor0/queue")


def nothing_plain(stor, device, make):
    """Fail if what was written, or zeros, are to be seen on the backing."""
    marker = (b"stor: no one may read this. " * 100)[:512]
    size = 16 * MIB
    with Disk(device) as disk:
        disk.write(0, pattern(7, size))
    make(device, length=size)
    with open("/dev/stor0", "r+b") as cached:
        for _ in range(size // 512):
            cached.write(marker)
        os.fsync(cached.fileno())
    with Disk("/dev/stor0") as disk:
        disk.write(4 * MIB, bytes(MIB))
        disk.range(BLKZEROOUT, 8 * MIB, MIB)
        equal(disk.read(8 * MIB, MIB), bytes(MIB), "zeros")
        equal(disk.read(0, 4096), marker * 8, "what was written")
    stor.delete(name="one")
    with Disk(device) as disk:
        below = b"".join(disk.read(at, MIB) for at in range(0, size, MIB))
    check(marker[:32] not in below, f"{device}: plaintext below")
    check(bytes(64) not in below, f"{device}: zeros below")


def discards(stor, device, make):
    """Fail if discards are passed on when they may not be, or the reverse."""
    for allowed in (0, 1):
        make(device, discard=allowed, length=16 * MIB)
        below = number_of(device.sys / "queue/discard_max_bytes")
        with Disk("/dev/stor0") as disk:
            error = error_of(disk.range, BLKDISCARD, 0, MIB)
        may = bool(allowed and below)
        equal(number_of(QUEUE / "discard_max_bytes") > 0, may, "limit")
        equal(error, 0 if may else errno.EOPNOTSUPP, "error")
        equal(number_of(QUEUE / "write_zeroes_max_bytes"), 0, "write zeroes")
        stor.delete(name="one")
