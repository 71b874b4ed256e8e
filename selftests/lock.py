#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Encrypted volumes that forget their key, while their disk stays.

STOR_TEST_ROUNDS is how often a volume is locked under load, 20 by default.
"""

import contextlib
import errno
import os
import pathlib
import re

from lib import keys
from lib.blktrace import trace
from lib.locking import lock_under_load
from lib.lower import null_blk
from lib.stats import failures
from lib.stor import (BLKRRPART, Disk, MIB, clean, error_of, number_of,
                      one_of_each, pattern, refused, settle, setup)
from lib.tap import check, equal, in_thread, main, test, wait_until

KEY = pattern(11, 64)
SYS = pathlib.Path("/sys/block/stor0")


@contextlib.contextmanager
def volume(stor, backing, **values):
    """An encrypted volume, whose key is in no keyring any more."""
    with keys.key(KEY) as name:
        made = stor.new("one", backing, key=name, **values)
    settle()
    try:
        yield made
    finally:
        if stor.get(name="one")["state"] == "locked":
            stor.lock("one", "fail")
        stor.delete(name="one")


def unlock(stor):
    """Put the key into a keyring for as long as it takes."""
    with keys.key(KEY):
        return stor.unlock("one")


def state():
    """What sysfs says."""
    return (SYS / "stor/state").read_text().strip()


@test
def holds(stor, devices):
    """I/O to a locked volume waits, and goes on in its order"""
    cpus = os.sched_getaffinity(0)
    for device in one_of_each(devices):
        with volume(stor, device, length=16 * MIB) as made, \
                Disk("/dev/stor0") as disk:
            disk.write(0, pattern(1, 65536))
            with Disk(device, os.O_RDONLY | os.O_DIRECT) as below:
                before = below.read(0, 2 * MIB)
                sock = stor.monitor()
                locked = stor.lock("one")
                equal((locked["state"], locked["lock"], state()),
                      ("locked", 0, "locked"), "state")
                equal(locked["gate-count"], made["gate-count"] + 1, "gates")
                equal(locked["key"], "logon:stor:test", "name of the key")
                joins = []
                try:
                    # From one CPU, as each has a queue of its own.
                    os.sched_setaffinity(0, {min(cpus)})
                    for at in range(8):
                        joins.append(in_thread(
                            disk.write, MIB + (7 - at) * 65536,
                            pattern(at, 4096)))
                        wait_until(joins[-1].sleeps, "a write that waits")
                    joins.append(in_thread(disk.read, 0, 65536))
                    wait_until(joins[-1].sleeps, "a read that waits")
                    equal(number_of(SYS / "stor/inflight"), 9, "in flight")
                    # For the block layer it waits above the disk.
                    equal((SYS / "inflight").read_text().split(),
                          ["0", "0"], "requests")
                    equal(below.read(0, 2 * MIB), before, "the backing")
                    with trace("stor", re.compile(
                            r"stor_submit: .*sector=(\d+)")) as lines:
                        unlocked = unlock(stor)
                        got = [join() for join in joins]
                        order = [int(match[1]) for match in lines()]
                finally:
                    os.sched_setaffinity(0, cpus)
            equal((unlocked["state"], unlocked.get("lock"), state()),
                  ("live", None, "live"), "state")
            equal(got[8], pattern(1, 65536), "what was there before")
            equal(order[:9], [(MIB + (7 - at) * 65536) // 512
                              for at in range(8)] + [0], "the order")
            for at in range(8):
                equal(disk.read(MIB + (7 - at) * 65536, 4096),
                      pattern(at, 4096), "what was written meanwhile")
            equal([(name, event["state"]) for name, event
                   in stor.events(sock, 2)],
                  [("SET_NTF", "locked"), ("SET_NTF", "live")], "events")
            sock.close()
            equal(failures(stor), {}, "failed I/Os")


@test
def fails(stor, devices):
    """I/O to a volume that was locked so fails; one way becomes the other"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        disk.write(0, pattern(1, 4096))

        def all_fail():
            for what in (lambda: disk.read(0, 4096),
                         lambda: disk.write(0, bytes(4096)),
                         lambda: os.fsync(disk.fd)):
                equal(error_of(what), errno.EIO, "error")
        equal(stor.lock("one", "fail")["lock"], 1, "lock")
        all_fail()
        # What needs no key can be done.
        equal(stor.set("one", length=24 * MIB)["length"], 24 * MIB, "length")
        equal(stor.gate(name="one")["state"], "locked", "state")
        equal(stor.lock("one", "fail")["lock"], 1, "lock, once more")
        equal(stor.lock("one", "hold")["lock"], 0, "lock")
        join = in_thread(error_of, disk.read, 0, 4096)
        wait_until(join.sleeps, "a read that waits")
        equal(stor.lock("one", "hold")["lock"], 0, "lock, once more")
        check(join.sleeps(), "the read does not wait any more")
        equal(stor.lock("one", "fail")["lock"], 1, "lock")
        equal(join(), errno.EIO, "error of what has waited")
        all_fail()
        equal(unlock(stor)["state"], "live", "state")
        equal(disk.read(0, 4096), pattern(1, 4096), "data")
        disk.write(0, pattern(2, 4096))
        equal(disk.read(0, 4096), pattern(2, 4096), "data")


@test
def refusals(stor, devices):
    """only what is encrypted is locked, and only its own key unlocks it"""
    stor.new("plain", devices[0], length=MIB, offset=64 * MIB)
    settle()
    refused(errno.EINVAL, "volume plain is not encrypted", stor.lock, "plain")
    refused(errno.EALREADY, "volume plain is not locked", stor.unlock,
            "plain")
    stor.delete(name="plain")
    with volume(stor, devices[0], length=MIB):
        refused(errno.EALREADY, "volume one is not locked", stor.unlock,
                "one")
        for how in ("fail", "hold"):
            locked = stor.lock("one", how)
            refused(errno.ENOKEY,
                    "key: logon:stor:test is in no keyring of yours",
                    stor.unlock, "one")
            for wrong in (pattern(12, 64), KEY[32:] + KEY[:32], KEY[:32]):
                with keys.key(wrong, "stor:other") as name:
                    refused(errno.EKEYREJECTED,
                            "key: logon:stor:other is not the key of before",
                            stor.unlock, "one", key=name, blames="key")
            with keys.key(KEY[:31], "stor:other") as name:
                refused(errno.EINVAL, re.compile("key: .*31.*"), stor.unlock,
                        "one", key=name, blames="key")
            for wrong, why in (
                    ("nonsense", "nonsense is not logon|user|encrypted|"
                     "trusted:ID"),
                    ("logon:a\0b", "logon:a?b has a NUL in it")):
                refused(errno.EINVAL, f"key: {why}", stor.unlock, "one",
                        key=wrong, blames="key")
            after = stor.get(name="one")
            equal(after, locked, "the volume")
        # What needs no key can be done.
        equal(stor.set("one", length=2 * MIB)["length"], 2 * MIB, "length")
        settle()
        equal(stor.set("one", length=MIB)["length"], MIB, "length")
        settle()
        equal(stor.set("one", read_only=1)["read-only"], 1, "read-only")
        equal(stor.set("one", read_only=0)["read-only"], 0, "read-only")
        equal(stor.gate(name="one")["state"], "locked", "state")
        # By another name.
        with keys.key(KEY, "stor:again", "user") as name:
            equal(stor.unlock("one", key=name)["key"], "user:stor:again",
                  "name of the key")
        stor.lock("one")
        with keys.key(KEY, "stor:again", "user"):
            stor.unlock("one")
        equal(stor.set("one", length=2 * MIB)["length"], 2 * MIB, "length")


@test
def deleted(stor, devices):
    """a locked volume can be deleted, unless its disk is open"""
    for how in ("hold", "fail"):
        with keys.key(KEY) as name:
            stor.new("one", devices[0], length=16 * MIB, key=name)
        settle()
        with Disk("/dev/stor0") as disk:
            stor.lock("one", how)
            join = in_thread(error_of, disk.read, 0, 4096)
            if how == "hold":
                wait_until(join.sleeps, "a read that waits")
            refused(errno.EBUSY, "stor0 of volume one is open",
                    stor.raw_delete, name="one")
            equal(stor.get(name="one")["state"], "locked", "state")
            if how == "hold":
                unlock(stor)
            equal(join(), 0 if how == "hold" else errno.EIO, "error")
            stor.lock("one", how)
        stor.delete(name="one")
        equal(stor.dump(), [], "volumes")


@test
def scanned(stor, devices):
    """who reads partitions waits, and keeps nobody from unlocking"""
    with volume(stor, devices[0], length=16 * MIB), \
            Disk("/dev/stor0") as disk:
        stor.lock("one")
        join = in_thread(disk.ioctl, BLKRRPART)
        wait_until(join.sleeps, "partitions that are read")
        refused(errno.EBUSY, "stor0 of volume one is open", stor.raw_delete,
                name="one")
        refused(errno.EBUSY, "read-only: stor0 is open", stor.set, "one",
                read_only=1, blames="read-only")
        refused(errno.ETIMEDOUT,
                "backing: /dev/stor0 could not be opened within 10 s",
                stor.new, "two", "/dev/stor0", blames="backing")
        equal(unlock(stor)["state"], "live", "state")
        join()


@test
def stacked(stor, devices):
    """no volume is made over one that holds its I/O, however far below"""
    with volume(stor, devices[0], length=16 * MIB):
        stor.new("two", "/dev/stor0", length=8 * MIB)
        settle()
        stor.lock("one")
        for path, values in (("/dev/stor0", {"offset": 8 * MIB}),
                             ("/dev/stor1", {})):
            refused(errno.EBUSY, f"backing: {path} is locked and holds its "
                    "I/O", stor.new, "three", path, blames="backing", **values)
        equal([each["name"] for each in stor.dump()], ["one", "two"])
        # Whoever reads partitions waits, and nobody waits for him.
        with Disk("/dev/stor1", os.O_RDONLY) as disk:
            join = in_thread(disk.ioctl, BLKRRPART)
            wait_until(join.sleeps, "partitions that are read")
            refused(errno.EBUSY, "stor1 of volume two is open",
                    stor.raw_delete, name="two")
            refused(errno.EBUSY, "length: stor1 is open", stor.set, "two",
                    length=4 * MIB, blames="length")
            unlock(stor)
            join()
            stor.lock("one")
        # With an error it does not wait.
        stor.lock("one", "fail")
        stor.new("three", "/dev/stor0", offset=8 * MIB)
        stor.delete(name="three")
        unlock(stor)
        stor.new("three", "/dev/stor0", offset=8 * MIB)
        stor.delete(name="three")
        stor.delete(name="two")


@test
def lost(stor, _devices):
    """what waits for a key fails when the backing goes"""
    with null_blk(size=64, memory_backed=1) as folder:
        with keys.key(KEY) as name:
            stor.new("one", "/dev/stortest", key=name)
        settle()
        with Disk("/dev/stor0") as disk:
            stor.lock("one")
            join = in_thread(error_of, disk.write, 0, bytes(4096))
            wait_until(join.sleeps, "a write that waits")
            (folder / "power").write_text("0")
            equal(join(), errno.EIO, "error")
            wait_until(lambda: stor.get(name="one")["state"] == "failed",
                       "the volume's failure")
            equal(state(), "failed", "state")
        stor.delete(name="one")


@test
def under_load(stor, devices):
    """locked and unlocked under fio with verify: no I/O fails"""
    device = one_of_each(devices)[-1]
    with volume(stor, device, length=24 * MIB), keys.key(KEY):
        lock_under_load(stor, 4096)


main(setup, clean)
