# SPDX-License-Identifier: GPL-2.0
"""Locks a volume under load."""

import os
import pathlib

from .fio import VERIFY, load
from .stats import failures
from .stor import number_of, settle
from .tap import check, equal, note, wait_until

ROUNDS = int(os.environ.get("STOR_TEST_ROUNDS", "20"))
FILES = pathlib.Path("/sys/block/stor0/stor")


def done():
    """How many I/Os of /dev/stor0 have ended."""
    return sum(number_of(FILES / name) for name in ("reads", "writes"))


def lock_under_load(stor, block):
    """Lock volume one, of 24 MiB, and unlock it, again and again.

    fio reads and writes blocks of at least so many bytes, and verifies them.
    No I/O may fail. The key is in a keyring.
    """
    jobs = {"small": {"rw": "randrw", "bs": block, "iodepth": 16},
            "mixed": {"rw": "randrw", "bsrange": f"{block}-256k",
                      "blockalign": block, "iodepth": 8, "offset": "8m",
                      "ioengine": "io_uring"}}
    with load(jobs, **VERIFY, filename="/dev/stor0", numjobs=2,
              offset_increment="4m", size="2m") as results:
        try:
            for _ in range(ROUNDS):
                before = done()
                wait_until(lambda n=before: done() > n, "some I/O", 60)
                stor.lock("one")
                before = done()
                settle()
                equal(done(), before, "I/Os done while locked")
                stor.unlock("one")
        except BaseException:
            stor.lock("one", "fail")  # or fio would wait for ever
            raise
    equal(failures(stor), {}, "failed I/Os")
    check(all(job["write"]["io_bytes"] for result in results
              for job in result.values()), "a job did nothing")
    longest = stor.get(name="one")["gate-longest"]
    note(f"{ROUNDS} rounds; longest gate: {longest / 1e6:.2f} ms")
