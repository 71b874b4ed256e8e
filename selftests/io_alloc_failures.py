#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""I/O while memory can not be had: it goes on, or fails; no data is lost."""

import collections
import os
import random

from lib import inject, keys, load
from lib.stor import Device, MIB, clean, one_of_each, pattern, settle, setup
from lib.tap import check, main, note, test

ROUNDS = int(os.environ.get("STOR_TEST_INJECTIONS") or 50)
STEPS = 12
LIMIT = 120  # seconds for one round
REGION = 4 * MIB
WORKERS = 3


def ready():
    """What each test is called with."""
    inject.need("failslab", "fail_page_alloc")
    return setup()


def rounds(stor, device, seed, failing, tasks=False, number=ROUNDS, **how):
    """Many rounds of I/O on a volume, in each a different share of failures.

    failing(probability) is a context in which allocations fail.
    """
    stor.new("one", device, offset=MIB, length=WORKERS * REGION, **how)
    settle()
    regions = [load.Region("/dev/stor0", at * REGION, REGION // load.BLOCK,
                           seed) for at in range(WORKERS)]
    if tasks:
        for region in regions:
            region.faulty = inject.this_task
    shares, failed = random.Random(seed), 0
    for _ in range(number):
        with failing(shares.choice((5, 20, 50, 100))) as count:
            load.together(regions, STEPS, LIMIT)()
            failed += count.count()
        for region in regions:
            region.verify()
    stat = Device("/dev/stor0").stat()
    ends = load.outcome(regions)
    note(f"{failed} allocations failed; {inject.summary(ends)}")
    note(f"merged: {stat['read_merges']} reads, {stat['write_merges']} writes")
    check(stat["write_merges"] > 0, "nothing was merged")
    stor.delete(name="one")
    return failed, ends


def done(ends):
    """Whether I/O of all kinds has been seen to work."""
    seen = collections.Counter()
    for what, count in ends.items():
        if what.endswith(" done"):
            seen[what.removesuffix(" done")] += count
    missing = {"read", "write", "flush", "discard", "zeroes", "batched read",
               "batched write"} - set(seen)
    check(not missing, f"never done: {missing}")


@test
def below(stor, devices):
    """allocations of stor and all that it calls, those that wait included"""
    within, without = inject.module_text(), inject.kmemleak_text()
    for device in one_of_each(devices):
        _, ends = rounds(stor, device, 1, lambda share: inject.allocations(
            share, within=within, without=without))
        done(ends)


@test
def atomic(stor, devices):
    """every atomic allocation below stor: nothing needs one to go on"""
    within, without = inject.module_text(), inject.kmemleak_text()
    for device in one_of_each(devices):
        _, ends = rounds(stor, device, 2, lambda _: inject.allocations(
            100, within=within, without=without, waiting=False))
        done(ends)
        wrong = [what for what in ends if not what.endswith(" done")]
        check(not wrong, f"not all went well: {wrong}")


@test
def sealed(stor, devices):
    """the same for an encrypted volume: it writes from its reserve"""
    within, without = inject.module_text(), inject.kmemleak_text()
    with keys.key(pattern(1, 64)) as key:
        for device in one_of_each(devices):
            _, ends = rounds(stor, device, 5, lambda _: inject.allocations(
                100, within=within, without=without, waiting=False),
                key=key, discard=1)
            done(ends)
            wrong = [what for what in ends if not what.endswith(" done")]
            check(not wrong, f"not all went well: {wrong}")


@test
def reserves(stor, devices):
    """every memory pool below stor is down to its reserve: I/O goes on"""
    within = inject.module_text()
    # The kernel tells of each time, so there are few rounds.
    failed, ends = rounds(stor, devices[0], 4,
                          lambda _: inject.reserves(within),
                          number=max(ROUNDS // 10, 2))
    check(failed > 0, "no pool was asked")
    wrong = [what for what in ends if not what.endswith(" done")]
    check(not wrong, f"not all went well: {wrong}")


@test
def tasks(stor, devices):
    """allocations of the task that does the I/O, from its system call down"""
    without = inject.kmemleak_text()
    failed, _ = rounds(stor, devices[0], 3, lambda share: inject.allocations(
        share // 2, without=without, tasks=True), tasks=True)
    check(failed > 0, "no allocation was let fail")


main(ready, clean)
