#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""fio writes and reads back: all block sizes, depths and kinds of I/O."""

import json
import tempfile

from lib import plaintext
from lib.stor import MIB, clean, need, one_of_each, run, setup
from lib.tap import check, equal, main, note, test

START, LENGTH = 64 * MIB, 64 * MIB
GLOBAL = {"filename": "/dev/stor0", "direct": 1, "thread": 1,
          "ioengine": "libaio", "verify_fatal": 1,
          "verify": plaintext.VERIFY,
          "stonewall": 1, "group_reporting": 1, "numjobs": 2,
          "offset_increment": "32m", "randseed": 7,
          "verify_state_save": 0}


def fio(jobs):
    """Run jobs one after the other; gives back what each has done."""
    with tempfile.NamedTemporaryFile("w", suffix=".fio") as file:
        for name, options in {"global": GLOBAL, **jobs}.items():
            file.write(f"[{name}]\n")
            for key, value in options.items():
                file.write(f"{key}\n" if value is None
                           else f"{key}={value}\n")
        file.flush()
        done = run("fio", "--output-format=json", file.name)
    check("verify" not in done.stderr, done.stderr)
    # Messages may stand before the document.
    found = json.loads(done.stdout[done.stdout.index("{"):])["jobs"]
    for job in found:
        equal(job["error"], 0, f"error of {job['jobname']}")
    return {job["jobname"]: job for job in found}


def each(stor, devices, jobs):
    """Run jobs on a volume of each backing."""
    need("fio")
    for device in one_of_each(devices):
        stor.new("one", device, offset=START, length=LENGTH)
        for name, job in fio(jobs(device.block)).items():
            done = {kind: job[kind]["io_bytes"] >> 10
                    for kind in ("read", "write", "trim")}
            check(done["read"] and done["write"], f"{name} did nothing")
            if "trim" in jobs(device.block)[name]["rw"]:
                check(done["trim"], f"{name} did not trim")
            note(f"{device.name} {name}: " + ", ".join(
                f"{kind} {count} KiB" for kind, count in done.items()))
        stor.delete(name="one")


@test
def sequential(stor, devices):
    """sequential: the smallest, 4 KiB and 1 MiB, depth 1 to 16"""
    each(stor, devices, lambda block: {
        "smallest": {"rw": "write", "bs": block, "size": "256k",
                     "iodepth": 1},
        "4k": {"rw": "write", "bs": "4k", "size": "1m", "iodepth": 16},
        "1m": {"rw": "write", "bs": "1m", "size": "16m", "iodepth": 4}})


@test
def at_random(stor, devices):
    """random: fixed and mixed sizes up to 1 MiB, depth 1 to 64"""
    each(stor, devices, lambda block: {
        "smallest": {"rw": "randwrite", "bs": block, "size": "256k",
                     "iodepth": 8},
        "4k": {"rw": "randwrite", "bs": "4k", "size": "4m", "iodepth": 64,
               "iodepth_batch_submit": 16},
        "mixed": {"rw": "randrw", "bsrange": f"{block}-1m",
                  "bs_unaligned": 0, "size": "16m", "iodepth": 32,
                  "ioengine": "io_uring"}})


@test
def trimmed(stor, devices):
    """random: each block trimmed, written, and verified at the end"""
    each(stor, devices, lambda block: {
        "trim": {"rw": "randtrimwrite", "bs": "4k", "size": "4m",
                 "iodepth": 16},
        "large": {"rw": "randtrimwrite", "bs": "256k", "size": "16m",
                  "iodepth": 8}})


@test
def cached(stor, devices):
    """by the page cache, with fsync now and then"""
    each(stor, devices, lambda block: {
        "cached": {"rw": "randwrite", "bs": "8k", "size": "4m", "direct": 0,
                   "ioengine": "psync", "fsync": 64},
        "dsync": {"rw": "write", "bs": "16k", "size": "512k", "direct": 1,
                  "ioengine": "psync", "sync": "dsync"}})


main(setup, clean)
