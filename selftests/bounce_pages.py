#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Pages that a write was encrypted into, and the network still has.

A packet may outlive the write that it was sent for: in a queue, or to be sent
again. A page that is in one must not be used for another write.
"""

import os

from lib import keys
from lib.lower import null_blk
from lib.stats import failures
from lib.stor import MIB, Disk, clean, pattern, settle, setup
from lib.tap import check, equal, main, note, test
from lib.tcp import Capture, nvme_tcp

WRITES = 64


def captured(stor, block):
    """Write block by block, and only then look at what was sent."""
    cpus = sorted(os.sched_getaffinity(0))
    with null_blk(size=64, memory_backed=1), \
            nvme_tcp("/dev/stortest") as lower, \
            keys.key(pattern(1, 64)) as key:
        stor.new("one", lower, length=32 * MIB, key=key)
        settle()
        with Disk("/dev/stor0") as disk, Capture(256 * MIB) as capture:
            try:
                for at in range(WRITES):
                    # Each CPU keeps pages of its own to use again.
                    os.sched_setaffinity(0, {cpus[at // 8 % len(cpus)]})
                    disk.write(at * block, pattern(at, block))
            finally:
                os.sched_setaffinity(0, cpus)
            streams = capture.streams()
        with Disk("/dev/stortest", os.O_RDONLY | os.O_DIRECT) as target:
            sent = [target.read(at * block, block) for at in range(WRITES)]
        with Disk("/dev/stor0") as disk:
            for at in range(WRITES):
                equal(disk.read(at * block, block), pattern(at, block),
                      "data")
        equal(failures(stor), {}, "failed I/Os")
        stor.delete(name="one")
    data = b"".join(streams.values())
    note(f"{len(data) >> 10} KiB of packets of {len(streams)} connections, "
         f"for {WRITES * block >> 10} KiB")
    check(len(data) >= WRITES * block, "the packets lack something")
    changed = [at for at, each in enumerate(sent)
               if any(each[part:part + 4096] not in data
                      for part in range(0, block, 4096))]
    often = max(data.count(each[:4096]) for each in sent)
    check(not changed and often == 1,
          f"{len(changed)} of {WRITES} writes of {block} bytes have other "
          f"data in their packets now; that of one stands in {often}")


@test
def single(stor, _devices):
    """writes of one page: packets keep the ciphertext they were sent with"""
    captured(stor, 4096)


@test
def several(stor, _devices):
    """writes of many pages: the same"""
    captured(stor, 65536)


main(setup, clean)
