#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes on device-mapper devices on volumes, and so on: the stack suffices.

Each volume submits to the next from within the submission to itself, so each
takes a part of the kernel's stack. A device of another driver between two
volumes must not make anybody forget how many there are.
"""

import contextlib
import hashlib
import os

from lib import keys
from lib.fio import VERIFY, fio
from lib.lower import mapped, null_blk
from lib.stats import failures
from lib.stor import MIB, Disk, clean, pattern, settle, setup
from lib.tap import equal, main, note, test

LAYERS = int(os.environ.get("STOR_TEST_LAYERS", "12"))
SIZE = 32 * MIB


@contextlib.contextmanager
def tower(stor, lower, how):
    """Volumes with dm-linear between them; gives the path of the highest."""
    path, sectors = str(lower), SIZE // 512
    with contextlib.ExitStack() as stack:
        for layer in range(LAYERS):
            stor.new(f"v{layer}", path, length=SIZE, **how)
            stack.callback(stor.delete, name=f"v{layer}")
            path = f"/dev/stor{layer}"
            settle()
            if layer < LAYERS - 1:
                path = str(stack.enter_context(mapped(
                    f"stortest-layer{layer}",
                    f"0 {sectors} linear {path} 0\n")))
        yield path
        for layer in range(LAYERS):
            equal(failures(stor, f"v{layer}"), {}, f"failed I/Os of {layer}")


def use(path):
    """I/O of all kinds, direct and by the page cache."""
    with Disk(path) as disk:
        disk.write(0, pattern(1, MIB))
        equal(disk.read(0, MIB), pattern(1, MIB), "data")
        disk.write(MIB, pattern(2, 4096), os.RWF_DSYNC)
        os.fsync(disk.fd)
    fio({"direct": {"rw": "randrw", "bsrange": "4k-256k", "iodepth": 16,
                    "iodepth_batch_submit": 16, "size": "8m"},
         "ring": {"rw": "randrw", "bs": "4k", "iodepth": 16,
                  "ioengine": "io_uring", "offset": "8m", "size": "2m"}},
        **VERIFY, filename=path)
    data = pattern(3, 8 * MIB)
    with open(path, "r+b") as cached:
        cached.seek(16 * MIB)
        cached.write(data)
        cached.flush()
        os.fsync(cached.fileno())
        os.posix_fadvise(cached.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cached.seek(16 * MIB)
        equal(hashlib.sha256(cached.read(len(data))).digest(),
              hashlib.sha256(data).digest(), "sum of what was cached")


@test
def layers(stor, _devices):
    """twelve volumes with dm-linear between each two: I/O of all kinds"""
    with keys.key(pattern(1, 64)) as key, \
            null_blk(size=64, memory_backed=1):
        for name, how in (("plain", {}), ("encrypted", {"key": key})):
            note(f"{name}, {LAYERS} volumes")
            with tower(stor, "/dev/stortest", how) as path:
                use(path)


main(setup, clean)
