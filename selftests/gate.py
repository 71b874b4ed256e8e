#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes that are changed while they are in use, behind their gate.

STOR_TEST_ROUNDS is how often a gate is closed under load, 20 by default.
"""

import errno
import mmap
import os
import pathlib
import random
import threading
import time
import traceback

from lib.fio import VERIFY, load
from lib.lower import mapped, null_blk, polled_null_blk
from lib.netlink import Refused
from lib.stats import failures
from lib.stor import (Disk, MIB, Stor, clean, number_of, one_of_each, pattern,
                      refused, settle, setup)
from lib.tap import (check, equal, in_thread, main, note, patience, test,
                     wait_until)

ROUNDS = int(os.environ.get("STOR_TEST_ROUNDS", "20"))
START = 16 * MIB
STOR = pathlib.Path("/sys/block/stor0/stor")


def inflight():
    """I/Os that are under way."""
    return number_of(STOR / "inflight")


@test
def waits(stor, _devices):
    """a gate waits for the I/O in flight, and is counted and measured"""
    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=400000000):
        made = stor.new("one", "/dev/stortest", length=8 * MIB)
        settle()
        equal((made["gate-count"], made["gate-last"], made["gate-longest"]),
              (0, 0, 0), "gate at first")
        longest = 0
        for count in range(1, 5):
            with Disk("/dev/stor0") as disk:
                wait_until(lambda: inflight() == 0, "nothing in flight")
                before = number_of(STOR / "writes")
                join = in_thread(disk.write, 0, pattern(count, 4096))
                wait_until(lambda: inflight() or
                           number_of(STOR / "writes") > before, "the write")
                gate = stor.gate(name="one")
                equal(number_of(STOR / "writes"), before + 1,
                      "writes that have ended when the gate has")
                join()
            longest = max(longest, gate["gate-last"])
            equal((gate["gate-count"], gate["gate-longest"]),
                  (count, longest), "count and longest")
            check(gate["gate-last"] > 0, "the gate took no time")
            for name in ("count", "last", "longest"):
                file = f"gate_{name}" + ("_ns" if name != "count" else "")
                equal(number_of(STOR / file), gate[f"gate-{name}"],
                      f"stor/{file}")
            settle()
        # With an I/O of 0.4 s in flight, at least one was closed for long.
        check(longest > 1000000, f"the longest gate is {longest} ns")
        note(f"longest gate: {longest / 1e6:.1f} ms")
        stor.delete(name="one")


@test
def stuck(stor, devices):
    """I/O that does not end keeps a gate from closing; nothing is lost"""
    device = devices[0]
    sectors = 64 * MIB // 512
    with mapped("stortest-stuck",
                f"0 {sectors} linear {device} 0\n") as lower:
        stor.new("one", lower, length=8 * MIB)
        settle()
        data = pattern(5, 65536)
        with Disk("/dev/stor0") as disk:
            disk.write(MIB, data)
            before = stor.get(name="one")
            lower.suspend("--noflush", "--nolockfs")
            try:
                joins = [in_thread(disk.write, 0, data)]
                wait_until(lambda: inflight() == 1, "a write in flight")
                text = "I/O of stor0 did not end in 10 s, nothing changed"
                refused(errno.ETIMEDOUT, text, stor.set, "one",
                        length=16 * MIB)
                equal(stor.get(name="one"), before, "the volume")
                equal(disk.size(), 8 * MIB, "size")
                # The gate is open again: I/O goes down, and waits there.
                joins.append(in_thread(disk.read, MIB, len(data)))
                wait_until(lambda: inflight() == 2, "a read in flight")
                # What the volume would have taken is free; looking for
                # partitions waits below, too.
                joins.append(in_thread(lambda: Stor().new(
                    "two", lower, offset=8 * MIB, length=MIB)))
            finally:
                lower.resume()
            joins[0]()
            equal(joins[1](), data, "data")
            equal(joins[2]()["offset"], 8 * MIB, "offset of another")
            equal(disk.read(0, len(data)), data, "what was written")
            refused(errno.EBUSY, f"length: {16 * MIB} overlaps volume two",
                    stor.set, "one", length=16 * MIB, blames="length")
            equal(stor.gate(name="one")["gate-count"],
                  before["gate-count"] + 1, "gate-count")
        stor.delete(name="one")
        stor.delete(name="two")


def rounds(stor, block, jobs):
    """Close and open the gate of one under fio; nothing fails."""
    length = stor.get(name="one")["length"]
    with load(jobs, **VERIFY, filename="/dev/stor0", group_reporting=1,
              numjobs=2, offset_increment="4m", size="2m") as results:
        def done():
            return sum(number_of(STOR / name)
                       for name in ("reads", "writes"))
        for count in range(1, ROUNDS + 1):
            before = done()
            wait_until(lambda: done() > before, "some I/O", 60)
            if count % 3 == 0:
                got = stor.gate(name="one")
            elif count % 3 == 1:
                length += block
                got = stor.set("one", length=length)
            else:
                got = stor.set("one", read_only=0)
            equal((got["gate-count"], got["length"]), (count, length),
                  "count and length")
    jobs = [job for result in results for job in result.values()]
    check(all(job["read"]["io_bytes"] and job["write"]["io_bytes"]
              for job in jobs), "a job did nothing")
    equal(failures(stor), {}, "failed I/Os")
    longest = stor.get(name="one")["gate-longest"]
    kib = sum(job[kind]["io_bytes"] for job in jobs
              for kind in ("read", "write")) >> 10
    note(f"{ROUNDS} rounds, {kib} KiB of I/O; longest gate: "
         f"{longest / 1e6:.2f} ms")


@test
def under_load(stor, devices):
    """gates and growth under fio with verify: no I/O fails"""
    device = one_of_each(devices)[-1]
    stor.new("one", device, offset=START, length=24 * MIB)
    settle()
    rounds(stor, device.block, {
        "small": {"rw": "randrw", "bs": "4k", "iodepth": 16},
        "mixed": {"rw": "randrw", "bsrange": "4k-256k", "iodepth": 8,
                  "offset": "8m", "ioengine": "io_uring"},
        "trims": {"rw": "randtrimwrite", "bs": "4k", "iodepth": 8,
                  "offset": "16m", "size": "1m"}})
    stor.delete(name="one")


@test
def under_polled_load(stor, _devices):
    """the same with polled I/O among it"""
    with polled_null_blk(size=64, submit_queues=1, poll_queues=1):
        stor.new("one", "/dev/stortest", length=24 * MIB)
        settle()
        equal(number_of("/sys/block/stor0/queue/io_poll"), 1, "io_poll")
        rounds(stor, 512, {
            "polled": {"rw": "randrw", "bs": "4k", "iodepth": 8,
                       "ioengine": "io_uring", "hipri": 1},
            "small": {"rw": "randrw", "bs": "4k", "iodepth": 16,
                      "offset": "8m"}})
        stor.delete(name="one")


def overlapping(volumes):
    """Two volumes that have the same byte of one backing, if any."""
    volumes = sorted(volumes, key=lambda volume: volume["offset"])
    for one, two in zip(volumes, volumes[1:]):
        if one["offset"] + one["length"] > two["offset"]:
            return one, two
    return None


@test
def many_at_once(stor, _devices):
    """8 who make, change, gate and delete at random: never an overlap"""
    allowed = {"new": {"0", "EEXIST", "EBUSY"},
               "set": {"0", "ENOENT", "EBUSY"},
               "gate": {"0", "ENOENT", "EBUSY"},
               "delete": {"0", "ENOENT", "EBUSY"},
               "io": {"0"}}
    slots = 4  # where a volume may begin, MiB apart

    def outcome(how, function, *args, **values):
        try:
            function(*args, **values)
            return "0"
        except Refused as why:
            name = errno.errorcode[why.errno]
            check(name in allowed[how], f"{how}: {why}")
            return name

    # A byte for each, set by whoever has seen it work.
    worked = mmap.mmap(-1, len(allowed))
    kinds = list(allowed)

    def go_on(begin):
        """For 8 s at least; a slow machine may take longer to do each."""
        seconds = time.monotonic() - begin
        return seconds < 8 or (not all(worked[:]) and seconds < patience(60))

    def work(number, begin):
        mine, rng, done = Stor(), random.Random(number), {}
        while go_on(begin):
            name = f"vm{rng.randrange(slots)}"
            how = rng.choice(("new", "set", "set", "set", "gate", "delete",
                              "io", "io"))
            if how == "new":
                at = int(name[2:])
                result = outcome(how, mine.new, name, "/dev/stortest",
                                 index=at, offset=at * MIB, length=MIB)
            elif how == "set":
                values = rng.choice((
                    {"length": rng.randrange(1, 13) * MIB // 4},
                    {"length": rng.randrange(1, 13) * MIB // 4},
                    {"read_only": rng.randrange(2)}))
                result = outcome(how, mine.set, name, **values)
            elif how == "gate":
                result = outcome(how, mine.gate, name=name)
            elif how == "delete":
                result = outcome(how, mine.raw_delete, name=name)
            else:
                result = "0"
                try:
                    with Disk(f"/dev/stor{name[2:]}") as disk:
                        for _ in range(4):
                            disk.read(0, 4096)
                except OSError as why:
                    if why.errno not in (errno.ENOENT, errno.ENXIO,
                                         errno.ENODEV):
                        raise
            done[how, result] = done.get((how, result), 0) + 1
            if result == "0":
                worked[kinds.index(how)] = 1
        return done

    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=20000000):
        begin, children = time.monotonic(), []
        for number in range(8):
            out = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    text = repr(work(number, begin))
                except Exception:
                    text = "failed " + traceback.format_exc()
                os.write(out[1], text.encode())
                os._exit(0)
            os.close(out[1])
            children.append((pid, out[0]))
        looks, found = 0, None
        while go_on(begin) and not found:
            found = overlapping(stor.dump_now())
            looks += 1
        total = {}
        for pid, pipe in children:
            with os.fdopen(pipe) as file:
                text = file.read()
            equal(os.waitpid(pid, 0)[1], 0, "status of a process")
            check(not text.startswith("failed"), text)
            for key, count in eval(text).items():  # our own repr()
                total[key] = total.get(key, 0) + count
        equal(found, None, "two volumes with the same bytes")
        equal(overlapping(stor.dump()), None, "the same in the end")
        note(f"{looks} looks; " + ", ".join(
            f"{how} {result}: {count}" for (how, result), count in
            sorted(total.items())))
        for how in ("new", "set", "gate", "delete"):
            check(total.get((how, "0")), f"{how} has never worked")
        # Each is still consistent, and usable to its end.
        for volume in stor.dump():
            with Disk(f"/dev/{volume['disk']}", os.O_RDONLY) as disk:
                equal(disk.size(), volume["length"], "size")
            with Disk(f"/dev/{volume['disk']}") as disk:
                equal(disk.read_only(), volume["read-only"], "read-only")
                equal(len(disk.read(volume["length"] - 4096, 4096)), 4096,
                      "bytes read")
        stor.clean()
    wait_until(lambda: number_of("/sys/module/stor/refcnt") == 0,
               "use count 0")


@test
def two_at_once(stor, _devices):
    """two growths of one volume at once: what each takes stays taken"""
    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=150000000):
        for length in (6, 7, 8):
            stor.new("one", "/dev/stortest", length=4 * MIB)
            settle()
            stop = threading.Event()

            def busy(stop=stop):
                with Disk("/dev/stor0") as disk:
                    while not stop.is_set():
                        disk.read(0, 4096)
            reader = in_thread(busy)
            wait_until(inflight, "a read in flight")
            sets = [in_thread(lambda size=size: Stor().set(
                "one", length=size * MIB)) for size in (length, 12)]
            # Whenever there is room, somebody takes it.
            made = False
            end = time.monotonic() + 5
            other = Stor()
            while time.monotonic() < end:
                try:
                    other.new("two", "/dev/stortest", offset=9 * MIB,
                              length=MIB)
                    made = True
                    break
                except Refused as why:
                    equal(why.errno, errno.EBUSY, f"errno of {why}")
                if other.get(name="one")["length"] == 12 * MIB:
                    break
            results = []
            for join in sets:
                try:
                    results.append(join()["length"] // MIB)
                except Refused as why:
                    results.append(errno.errorcode[why.errno])
            stop.set()
            reader()
            equal(overlapping(stor.dump()), None,
                  f"two volumes with the same bytes (sets: {results}, "
                  f"the other was {'made' if made else 'not made'})")
            note(f"to {length} and 12 MiB at once: {results}; "
                 f"another at 9 MiB: {'made' if made else 'refused'}")
            stor.clean()


main(setup, clean)
