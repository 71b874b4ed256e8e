#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What tests demand of the I/O of plain volumes, demanded of encrypted ones.

Most tests here are programs of their own, run with STOR_TEST_ENCRYPTED: then all
volumes that they make are encrypted, unless they say themselves how. Left out is
what looks at the backing for what was written, or wants what encryption has not.

With STOR_TEST_WHOLE=1 more of their tests are run, and for as many rounds.
"""

import os
import subprocess
import sys

from lib import keys
from lib.stor import (C, Disk, HERE, MIB, clean, one_of_each, pattern,
                      settle, setup)
from lib.tap import SKIP, Skip, equal, main, note, patience, test

LIMIT = 1800  # seconds of one program: only to end what hangs
WHOLE = os.environ.get("STOR_TEST_WHOLE") == "1"
ROUNDS = {} if WHOLE else {"STOR_TEST_ROUNDS": "5",
                           "STOR_TEST_INJECTIONS": "10"}


def program(name, some, rest="", engine="software"):
    """Run those tests of a program that have such names.

    some are regular expressions of those that are run each time, rest of those
    that are run with STOR_TEST_WHOLE.
    """
    only = "|".join(filter(None, (some, rest))) if WHOLE else some
    with subprocess.Popen(
            [sys.executable, "-m", "lib.program", str(patience(LIMIT)),
             f"./{name}.py"], text=True, cwd=HERE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**ROUNDS, **os.environ, "STOR_TEST_ENCRYPTED": engine,
                 "STOR_TEST_ONLY": only}) as child:
        why = None
        for line in child.stdout:
            note(f"| {line.rstrip()}")
            if line.startswith("1..0 # SKIP"):
                why = line.strip().partition("# SKIP ")[2]
    if child.returncode == SKIP and why:
        raise Skip(f"{name}: {why}")
    equal(child.returncode, 0, f"exit code of {name}.py")


@test
def resized(stor, devices):
    """growing while open, shrinking while closed; the data comes back"""
    for device in one_of_each(devices):
        for engine in "SOFTWARE", "BLK_CRYPTO":
            with keys.key(pattern(21, 64)) as key:
                stor.new("one", device, offset=MIB, length=2 * MIB, key=key,
                         crypto_sector=device.block, iv_large_sectors=1,
                         crypto_engine=C[f"STOR_CRYPTO_ENGINE_{engine}"])
            settle()
            with Disk("/dev/stor0") as disk:
                disk.write(0, pattern(1, 2 * MIB))
                stor.set("one", length=4 * MIB)
                disk.write(2 * MIB, pattern(2, 2 * MIB))
            settle()
            for length in device.block, 3 * MIB, 8 * MIB:
                stor.set("one", length=length)
                with Disk("/dev/stor0") as disk:
                    equal(disk.size(), length, "size")
                settle()
            with Disk("/dev/stor0") as disk:
                equal(disk.read(0, 4 * MIB) == pattern(1, 2 * MIB) + pattern(
                    2, 2 * MIB), True, "what was written is back")
            stor.delete(name="one")


@test
def verified(*_):
    """io_verify: fio writes and reads back"""
    program("io_verify", "at_random|cached", "sequential|trimmed")


@test
def errors(*_):
    """io_errors: errors of the backing"""
    program("io_errors", "")


@test
def injected(*_):
    """io_injected: errors of the backing at random"""
    program("io_injected", "lower_bios|under_load")


@test
def no_memory(*_):
    """io_alloc_failures: no memory for the I/O"""
    program("io_alloc_failures", "below|atomic|reserves|tasks")


@test
def gated(*_):
    """gate: closed and opened under load"""
    program("gate", "under_load", "waits|stuck|under|two_at_once")


@test
def polled(*_):
    """poll: I/O that is polled"""
    program("poll", "verified|gated",
            "errors_too|stacked|deleted|merged|nvme")


@test
def faults(*_):
    """faults: the drive is reset, pulled, late, and loses answers"""
    program("faults", "reset|unplug|bad_blocks", "flaky|overdue|given_up|lost")


@test
def unplugged(*_):
    """unplug: the drive is pulled"""
    program("unplug", "during_io|mounted", "stacked|again")


@test
def untorn(*_):
    """atomic: writes in one piece"""
    program("atomic", "drives", "large|merged")


@test
def one_at_a_time(*_):
    """stacks: one request at a time below, with all that stacks"""
    program("stacks", "depth_one|tried", "mixed_plugs|swapping")


@test
def handed_on(*_):
    """blk-crypto: errors, gates, drives that go, one request at a time"""
    for name, some, rest in (
            ("io_errors", "hole", "."), ("gate", "under_load", "waits|stuck"),
            ("faults", "unplug", "reset|flaky"),
            ("unplug", "mounted", "during_io"),
            ("stacks", "depth_one", "mixed_plugs|swapping")):
        program(name, some, rest, "blk-crypto")


@test
def handed_on_injected(*_):
    """blk-crypto: errors of the backing at random"""
    program("io_injected", "lower_bios|under_load", engine="blk-crypto")


@test
def handed_on_no_memory(*_):
    """blk-crypto: no memory for the I/O"""
    program("io_alloc_failures", "below|tasks", engine="blk-crypto")


if __name__ == "__main__":
    main(setup, clean)
