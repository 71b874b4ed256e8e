#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What is counted of a volume, over netlink and in sysfs.

STOR_TEST_STAT_IOS is how many latencies are compared with those that fio has
seen, 5000 by default; with STOR_TEST_STAT_STRICT=1 stor's may be shorter by
1 % and the median of what lies outside of stor, which a busy machine fails.
"""

import contextlib
import errno
import os
import pathlib
import tempfile
import threading
import uuid as uuids

from lib import keys
from lib.fio import fio
from lib.lower import mapped, null_blk, scsi_debug
from lib.netlink import Refused, Socket
from lib.stats import BUCKETS, OPS, Stat, bounds, dump, stat
from lib.stor import (BLKDISCARD, BLKZEROOUT, C, Disk, MIB, Stor, clean,
                      module, number_of, one_of_each, pattern, run, settle,
                      setup, unload)
from lib.tap import check, equal, main, note, patience, test, wait_until
from lib.tool import TOOL

STRICT = os.environ.get("STOR_TEST_STAT_STRICT") == "1"
IOS = int(os.environ.get("STOR_TEST_STAT_IOS", "5000"))
START = MIB
STOR = pathlib.Path("/sys/block/stor0/stor")


def idle(stor, name="one"):
    """The Stat of one volume that nobody uses: it has to be consistent."""
    settle()
    wait_until(lambda: all(started == done for started, done, _ in
                           stat(stor, name).counters.values()), "its rest")
    found = stat(stor, name)
    equal(sorted(found.counters), sorted(OPS.values()), "ops")
    for op, (started, done, _) in found.counters.items():
        equal(started, done, f"{op}: started, and done")
        equal(found.sum(op, "total"), done, f"{op}: histogram of all")
        check(found.sum(op, "lower") <= done, f"{op}: too many below")
    return found


def change(before, after):
    """By op, how the counters have grown."""
    return {op: tuple(now - was for now, was in
                      zip(after.counters[op], before.counters[op]))
            for op in after.counters}


NOTHING = (0, 0, 0)


@test
def formula(_stor, _devices):
    """buckets cover all latencies, each at most 1/64 wide"""
    equal(bounds(0), (0, 1), "bucket 0")
    for bucket in range(BUCKETS - 1):
        low, high = bounds(bucket)
        equal(high, bounds(bucket + 1)[0], f"end of bucket {bucket}")
        check(high - low == 1 or (high - low) * 64 <= low,
              f"bucket {bucket} is too wide")
    check(bounds(BUCKETS - 1)[0] >= 100 * 10**9, "100 s are not covered")


@test
def exact(stor, devices):
    """each op is counted once, with its bytes, above and below"""
    for device in one_of_each(devices):
        block = device.block
        stor.new("one", device, offset=START, length=32 * MIB)
        with Disk("/dev/stor0") as disk:
            before = idle(stor)
            for at in range(100):
                disk.read(at * block, block)
            for at in range(50):
                disk.write(at * 8192, bytes(8192))
            for _ in range(7):
                os.fsync(disk.fd)
            for at in range(5):
                disk.range(BLKDISCARD, at * MIB, MIB)
            for at in range(3):
                disk.range(BLKZEROOUT, at * MIB, 65536)
            after = idle(stor)
        grown = change(before, after)
        equal(grown["read"], (100, 100, 100 * block), "reads")
        equal(grown["write"], (50, 50, 50 * 8192), "writes")
        # A zeroed range or a fsync may take no more than one I/O each.
        equal(grown["flush"][:2], (7, 7), "flushes")
        equal(grown["discard"],
              (8, 8, 5 * MIB + 3 * 65536), "discards and zeroes")
        for op, (_, done, _) in grown.items():
            equal(after.sum(op, "lower") - before.sum(op, "lower"), done,
                  f"{op}: histogram below")
        equal(after.failed, {}, "failures")
        for file, want in (
                ("reads", after.counters["read"][1]),
                ("writes", after.counters["write"][1]),
                ("flushes", after.counters["flush"][1]),
                ("discards", after.counters["discard"][1]),
                ("read_bytes", after.counters["read"][2]),
                ("write_bytes", after.counters["write"][2]),
                ("errors", 0), ("inflight", 0), ("offset", START),
                ("length", 32 * MIB), ("read_only", 0), ("gate_count", 0),
                ("gate_last_ns", 0), ("gate_longest_ns", 0)):
            equal((STOR / file).read_text(), f"{want}\n", f"stor/{file}")
        equal((STOR / "state").read_text(), "live\n", "stor/state")
        equal((STOR / "backing").read_text(), f"{device}\n", "stor/backing")
        equal(len(list(STOR.iterdir())), 16, "files in stor/")
        for file in STOR.iterdir():
            equal(file.stat().st_mode & 0o777, 0o444, f"mode of {file}")
        check(after.times == sorted(after.times), "times go back")
        stor.delete(name="one")


@test
def per_cpu(stor, devices):
    """what the CPUs have done adds up to what the volume has"""
    stor.new("one", devices[0], offset=START, length=32 * MIB)
    settle()
    cpus = sorted(os.sched_getaffinity(0))
    fio({f"cpu{cpu}": {"cpus_allowed": cpu, "rw": "randrw", "bs": "4k",
                       "iodepth": 8, "size": "512k",
                       "offset": f"{4 * number}m"}
         for number, cpu in enumerate(cpus)},
        filename="/dev/stor0", direct=1, ioengine="libaio")
    total = idle(stor)
    found = dump(stor, name="one", per_cpu=True)
    equal([key for key in found], [("one", cpu) for cpu in range(len(found))],
          "CPUs, in order")
    check(set(cpus) <= {cpu for _, cpu in found}, "a CPU is missing")
    summed = Stat()
    for one in found.values():
        summed.add(one)
    for what in ("counters", "failed", "histograms"):
        equal(getattr(summed, what), getattr(total, what), what)
    for cpu in cpus:
        check(found["one", cpu].counters["read"][0],
              f"CPU {cpu} has started nothing")
    stor.delete(name="one")


@test
def failures(stor, devices):
    """failed I/Os are counted by status, and their bytes are not"""
    with null_blk(size=64, memory_backed=1, badblocks="+8192-8199"):
        stor.new("one", "/dev/stortest", offset=START)
        settle()
        at = 8192 * 512 - START
        with Disk("/dev/stor0") as disk:
            before = idle(stor)
            for number in range(6):
                try:
                    if number % 2:
                        disk.read(at, 4096)
                    else:
                        disk.write(at, bytes(4096))
                    check(False, "no error")
                except OSError as why:
                    equal(why.errno, errno.EIO, "errno")
            disk.read(0, 4096)
            after = idle(stor)
        grown = change(before, after)
        equal((grown["read"], grown["write"]), ((4, 4, 4096), (3, 3, 0)),
              "reads and writes")
        equal(after.failed, {"ioerr": 6}, "failures")
        equal(number_of(STOR / "errors"), 6, "stor/errors")
        stor.delete(name="one")
    sectors = 8 * MIB // 512
    with mapped("stortest-hole", f"0 {sectors} linear {devices[0]} 0\n"
                f"{sectors} {sectors} error\n") as lower:
        stor.new("one", lower)
        settle()
        with Disk("/dev/stor0") as disk:
            before = idle(stor)
            for what in (lambda: disk.read(8 * MIB, 4096),
                         lambda: disk.write(8 * MIB, bytes(4096))):
                with contextlib.suppress(OSError):
                    what()
                    check(False, "no error")
            after = idle(stor)
        equal((change(before, after)["read"], change(before, after)["write"]),
              ((1, 1, 0), (1, 1, 0)), "reads and writes")
        equal(sum(after.failed.values()), 2, "failures")
        note(f"dm-error: {after.failed}")
        stor.delete(name="one")


@test
def by_status(stor, _devices):
    """a medium error is counted as one (scsi_debug)"""
    with scsi_debug("dev_size_mb=16", "opts=2", "medium_error_start=8192",
                    "medium_error_count=8") as path:
        stor.new("one", path)
        settle()
        with Disk("/dev/stor0") as disk:
            before = idle(stor).failed.get("medium", 0)
            for _ in range(3):
                try:
                    disk.read(8192 * 512, 4096)
                    check(False, "no error")
                except OSError as why:
                    equal(why.errno, errno.ENODATA, "errno")
            equal(idle(stor).failed.get("medium", 0) - before, 3,
                  "medium errors")
        stor.delete(name="one")


@test
def in_flight(stor, devices):
    """what hangs below is in flight, and counted when it has ended"""
    sectors = 64 * MIB // 512
    with mapped("stortest-hang",
                f"0 {sectors} linear {devices[0]} 0\n") as lower:
        stor.new("one", lower, length=8 * MIB)
        settle()
        with Disk("/dev/stor0") as disk:
            before = idle(stor)
            lower.suspend("--noflush", "--nolockfs")
            threads = [threading.Thread(target=disk.read,
                                        args=(at * MIB, 4096))
                       for at in range(3)]
            try:
                for thread in threads:
                    thread.start()
                wait_until(lambda: number_of(STOR / "inflight") == 3,
                           "3 reads in flight")
                equal(change(before, stat(stor))["read"], (3, 0, 0),
                      "reads while they hang")
            finally:
                lower.resume()
                for thread in threads:
                    thread.join(patience(60))
            equal(change(before, idle(stor))["read"], (3, 3, 3 * 4096),
                  "reads in the end")
            equal(number_of(STOR / "inflight"), 0, "in flight")
        stor.delete(name="one")


@test
def latencies(stor, _devices):
    """latencies are no shorter than what the backing takes"""
    with null_blk(size=64, memory_backed=1, irqmode=2,
                  completion_nsec=2000000):
        stor.new("one", "/dev/stortest")
        settle()
        with Disk("/dev/stor0") as disk:
            for at in range(100):
                disk.read(at * 4096, 4096)
                disk.write(at * 4096, bytes(4096))
        found = idle(stor)
        for op in ("read", "write"):
            for stage in ("total", "lower"):
                counts = found.histograms[op, stage]
                # The bucket that 2 ms are in is the first there may be.
                check(bounds(min(counts))[1] > 2000000,
                      f"{op} {stage}: {min(counts)} is too low")
                check(bounds(max(counts))[0] < 20 * 10**9,
                      f"{op} {stage}: {max(counts)} is absurd")
            # The whole is at least as long as the part.
            rest = 0
            for bucket in range(BUCKETS):
                rest += (found.histograms[op, "lower"].get(bucket, 0) -
                         found.histograms[op, "total"].get(bucket, 0))
                check(rest >= 0, f"{op}: more below {bucket} in all "
                      "than in the backing")
        stor.delete(name="one")


@test
def worked(stor, _devices):
    """what was encrypted and decrypted is counted, and only that"""
    ways = {("write", "seal"), ("read", "open")}
    with null_blk(size=64, memory_backed=1, badblocks="+8192-8199"), \
            keys.key(pattern(1, 64)) as name:
        stor.new("plain", "/dev/stortest", length=MIB)
        stor.new("one", "/dev/stortest", offset=MIB, key=name)
        settle()
        before = idle(stor).worked.get(("read", "open"), 0)
        for disk in (Disk("/dev/stor0"), Disk("/dev/stor1")):
            with disk:
                for at in range(30):
                    disk.write(at * 8192, bytes(8192))
                for at in range(20):
                    disk.read(at * 4096, 4096)
                os.fsync(disk.fd)
        plain, one = [idle(stor, name) for name in ("plain", "one")]
        equal(plain.worked, {}, "bytes that a plain volume has worked on")
        check(not ways & set(plain.histograms), "a plain volume has stages")
        equal(one.worked["write", "seal"], 30 * 8192, "bytes sealed")
        equal(one.sum("write", "seal"), 30, "writes sealed")
        opened = one.worked["read", "open"]
        equal((opened, one.sum("read", "open")),
              (one.counters["read"][2], one.counters["read"][1]),
              "what was opened, and what was read")
        equal(opened - before, 20 * 4096, "bytes opened")
        equal({stage for _, stage in one.histograms},
              {"total", "lower", "seal", "open"}, "stages")
        # What could not be read was not opened.
        with Disk("/dev/stor1") as disk:
            try:
                disk.read(8192 * 512 - MIB, 4096)
                check(False, "no error")
            except OSError as why:
                equal(why.errno, errno.EIO, "errno")
        equal(idle(stor).worked["read", "open"], opened, "bytes opened")
        # The parts of the CPUs are the whole.
        parts = Stat()
        for found in dump(stor, name="one", per_cpu=True).values():
            parts.add(found)
        equal(parts.worked, idle(stor).worked, "the sum of the CPUs")
        equal(parts.histograms, idle(stor).histograms, "their histograms")
        for name in ("plain", "one"):
            stor.delete(name=name)


@test
def selectors(stor, devices):
    """one volume, all volumes, and what is refused"""
    one = stor.new("one", devices[0], length=MIB)
    two = stor.new("two", devices[0], offset=MIB, length=MIB)
    settle()
    for selector in ({"name": "two"}, {"uuid": two["uuid"]}, {"index": 1}):
        equal(list(dump(stor, **selector)), [("two", None)], selector)
    equal(list(dump(stor)), [("one", None), ("two", None)], "all")
    for number, selector in (
            (errno.ENOENT, {"name": "three"}), (errno.ENOENT, {"index": 2}),
            (errno.ENOENT, {"uuid": uuids.UUID(int=7)}),
            (errno.EINVAL, {"name": "one", "index": 0}),
            (errno.EINVAL, {"name": "one", "uuid": one["uuid"]}),
            (errno.EINVAL, {"name": "a/b"})):
        try:
            found = dump(stor, **selector)
        except Refused as why:
            equal(why.errno, number, f"errno of {selector}")
        else:
            check(False, f"{selector} not refused: {found}")
    stor.delete(name="one")
    stor.delete(name="two")
    equal(dump(stor), {}, "statistics of no volume")


@test
def small_parts(stor, devices):
    """many volumes, read in parts with the smallest buffer: the same"""
    count = 24
    for at in range(count):
        stor.new(f"vm{at}", devices[0], offset=at * MIB, length=MIB)
    settle()
    for at in range(0, count, 5):
        with Disk(f"/dev/stor{at}") as disk:
            for number in range(at + 1):
                disk.write(number * 4096, bytes(4096))
    settle()
    for how in ({}, {"per_cpu": True}):
        want = dump(stor, **how)
        sock = Socket()
        sock.sock.setsockopt(1, 8, 1)  # SO_RCVBUF; the kernel's least
        got = dump(stor, sock, 4096, **how)
        sock.close()
        equal(list(got), list(want), "volumes and CPUs")
        for key, one in want.items():
            for what in ("counters", "failed", "histograms"):
                equal(getattr(got[key], what), getattr(one, what),
                      f"{what} of {key}")
    # What nobody reads to its end does no harm.
    for _ in range(10):
        sock = Socket()
        sock.send(stor.family, 0x301, bytes((C["STOR_CMD_STAT_GET"], 1, 0,
                                             0)))
        sock.close()
    for at in range(count):
        stor.raw_delete(name=f"vm{at}")


@test
def switched_off(stor, devices):
    """with stats=0 nothing is counted, and I/O goes as well"""
    try:
        unload()
        run(*module(), "stats=0")
        other = Stor()
        stor.family, stor.groups = other.family, other.groups
        stor.new("one", devices[0], length=8 * MIB)
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, b"x" * 4096)
            equal(disk.read(0, 4096), b"x" * 4096, "data")
        equal(dump(stor, name="one"), {}, "statistics")
        equal(dump(stor), {}, "statistics of all")
        if TOOL:
            done = run(TOOL, "stat", check=False)
            equal((done.returncode, done.stdout, done.stderr),
                  (1, "", "storadm: the module counts nothing: it was loaded "
                   "with stats=0\n"), "what storadm stat says")
        for file in ("inflight", "reads", "writes", "flushes", "discards",
                     "read_bytes", "write_bytes", "errors"):
            equal((STOR / file).read_text(), "off\n", f"stor/{file}")
        equal(number_of(STOR / "length"), 8 * MIB, "stor/length")
        equal(stor.gate(name="one")["gate-count"], 1, "gate-count")
        stor.delete(name="one")
    finally:
        stor.clean()
        unload()
        run(*module())
        other = Stor()
        stor.family, stor.groups = other.family, other.groups


def percentile(sorted_latencies, part):
    """The latency at a part of a sorted list; the nearest rank."""
    rank = max(1, -(-len(sorted_latencies) * part // 100000))
    return sorted_latencies[rank - 1]


# How many in a million I/Os take how long, in ms: each percentile that is
# compared lies well inside of one step.
STEPS = ((950000, 100), (45000, 150), (4500, 200), (450, 300), (45, 400),
         (5, 500))


@contextlib.contextmanager
def slow():
    """A backing that is slow in a known way; gives its path."""
    if not STRICT:
        with null_blk(size=64, memory_backed=1, irqmode=2,
                      completion_nsec=4000000):
            yield "/dev/stortest"
        return
    scale, at, table = 800, 0, []  # sectors for each of a million
    for share, delay in STEPS:
        table.append(f"{at} {share * scale} delay /dev/stortest {at} {delay}")
        at += share * scale
    with null_blk(size=at // 2048 + 1), \
            mapped("stortest-slow", "\n".join(table) + "\n") as lower:
        yield lower


@test
def as_fio_sees_it(stor, _devices):
    """no percentile is longer than in fio's own log of latencies, by 1 %"""
    # What fio sees and stor does not: from the system call to our queue, and
    # from our end to fio's wake-up. It is there once for each I/O, so it is
    # what the medians differ by. Now and then it is more, when fio has to wait
    # for the CPU: strictly, the backing is so slow that this is little, and
    # many wait for it at once, but each on its own and from another time on.
    jobs = 16 if STRICT else 1
    with slow() as lower:
        stor.new("one", lower)
        settle()
        before = idle(stor)
        with tempfile.TemporaryDirectory() as folder:
            fio({f"log{job}": {"startdelay": f"{job * 203}ms",
                               "write_lat_log": f"{folder}/fio{job}"}
                 for job in range(jobs)},
                rw="randread", bs="4k", iodepth=1 if STRICT else 16,
                io_size=-(-IOS // jobs) * 4096, norandommap=1,
                size="100%" if STRICT else "32m",
                log_avg_msec=0, filename="/dev/stor0", direct=1,
                ioengine="io_uring", fixedbufs=1, registerfiles=1,
                disk_util=0, timeout=600 + IOS // 100)
            seen = sorted(int(line.split(",")[1])
                          for path in pathlib.Path(folder).glob("*_lat.*")
                          for line in path.read_text().splitlines())
        after = idle(stor)
        counts = dict(after.histograms["read", "total"])
        for bucket, count in before.histograms.get(("read", "total"),
                                                   {}).items():
            counts[bucket] -= count
        equal(sum(counts.values()), len(seen), "reads counted")
        check(len(seen) >= IOS, f"fio has done {len(seen)}")
        ours = [latency for bucket in sorted(counts)
                for latency in [sum(bounds(bucket)) / 2] * counts[bucket]]
        outside = percentile(seen, 50000) - percentile(ours, 50000)
        note(f"{len(seen)} reads; outside of stor, at the median: "
             f"{outside / 1000:.1f} us")
        for part in (50000, 90000, 99000, 99900, 99990, 99999):
            fio_says, we_say = percentile(seen, part), percentile(ours, part)
            note(f"p{part / 1000:g}: fio {fio_says / 1000:.1f} us, stor "
                 f"{we_say / 1000:.1f} us, "
                 f"{(we_say - fio_says) * 100 / fio_says:+.2f} %")
            # Never longer than what fio has seen, but for the bucket; and
            # on a machine that is quiet, shorter by what is outside only.
            check(we_say <= fio_says * 1.01,
                  f"p{part / 1000:g}: longer than fio has seen")
            check(not STRICT or
                  we_say >= fio_says * 0.99 - max(outside, 0),
                  f"p{part / 1000:g}: shorter than fio has seen")
        stor.delete(name="one")


main(setup, clean)
