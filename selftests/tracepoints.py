#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The tracepoints stor:*: what is told of each I/O on its way."""

import collections
import contextlib
import errno
import os
import re

from lib import keys
from lib.blktrace import TRACING, trace
from lib.fio import fio
from lib.lower import null_blk
from lib.stor import (BLKDISCARD, BLKZEROOUT, Disk, MIB, clean, one_of_each,
                      pattern, settle, setup)
from lib.tap import check, equal, main, note, test

START = 3 * MIB
WAY = ["stor_submit", "stor_lower_submit", "stor_lower_complete", "stor_end"]
# The ways of what is encrypted.
SEALED = {
    "write": [WAY[0], "stor_encrypt", *WAY[1:]],
    "read": [*WAY[:3], "stor_decrypt", WAY[3]],
}
EVENT = re.compile(r"\b(stor_\w+): dev=")
Event = collections.namedtuple(
    "Event", "name dev op sector bytes tag disk lower lower_sector error",
    defaults=(None, None, None))


@contextlib.contextmanager
def events(device):
    """Collect the events of a volume's disk while the body runs.

    Gives a function that returns them, in their order.
    """
    number = os.stat(device).st_rdev
    dev = f"{os.major(number)}:{os.minor(number)}"
    with trace("stor", EVENT) as lines:
        equal(sorted(path.name for path in (TRACING / "events/stor").iterdir()
                     if path.is_dir()),
              sorted({*WAY, *SEALED["read"], *SEALED["write"]}),
              "tracepoints")

        def collect():
            found = []
            for match in lines():
                values = dict(re.findall(r"(\w+)=(\S+)",
                                         match.string[match.start():]))
                if values["dev"] == dev:
                    numbers = {key: int(values[key]) for key in (
                        "sector", "bytes", "tag", "lower_sector", "error")
                        if key in values}
                    found.append(Event(match[1], **{**values, **numbers}))
            return found
        yield collect


def ways(found, sealed=False):
    """Follow each I/O from its submit to its end, by its tag."""
    open_ones, done = {}, []
    for event in found:
        if event.name == "stor_submit":
            # A tag of one queue may be in use in another one, too.
            open_ones.setdefault((event.tag, event.op, event.sector),
                                 []).append([event])
            continue
        names = SEALED.get(event.op, WAY) if sealed else WAY
        mine = open_ones.get((event.tag, event.op, event.sector), [])
        check(mine, f"{event} without a submit")
        # The first that waits for this very event.
        for way in mine:
            if names.index(event.name) == len(way) or (
                    event.name == "stor_end" and len(way) == 1):
                break
        else:
            check(False, f"{event} does not follow {mine}")
        way.append(event)
        if event.name == "stor_end":
            mine.remove(way)
            done.append(way)
    left = [way for ones in open_ones.values() for way in ones]
    equal(left, [], "I/Os without an end")
    return done


@test
def known(stor, devices):
    """each I/O has its four events, with place, length and no error"""
    for device in one_of_each(devices):
        block = device.block
        stor.new("one", device, offset=START, length=16 * MIB)
        settle()
        number = os.stat(device.path).st_rdev
        lower = f"{os.major(number)}:{os.minor(number)}"
        with Disk("/dev/stor0") as disk:
            with events("/dev/stor0") as collect:
                disk.write(MIB, pattern(1, 8192))
                disk.read(MIB, block)
                disk.read(16 * MIB - 65536, 65536)
                os.fsync(disk.fd)
                disk.range(BLKDISCARD, 2 * MIB, MIB)
                disk.range(BLKZEROOUT, 4 * MIB, 65536)
                found = collect()
        done = ways(found)
        equal([(way[0].op, way[0].sector * 512, way[0].bytes)
               for way in done if way[0].op != "flush"],
              [("write", MIB, 8192), ("read", MIB, block),
               ("read", 16 * MIB - 65536, 65536),
               ("discard", 2 * MIB, MIB),
               ("write-zeroes", 4 * MIB, 65536)], "operations")
        equal([way[0].bytes for way in done if way[0].op == "flush"], [0],
              "flushes")
        for way in done:
            equal([event.name for event in way], WAY, "the events")
            for event in way:
                equal((event.op, event.sector, event.bytes, event.dev,
                       event.disk),
                      (way[0].op, way[0].sector, way[0].bytes, way[0].dev,
                       "stor0"),
                      f"what {event.name} is of")
            for event in way[1:3]:
                equal(event.lower, lower, "lower device")
            if way[0].op != "flush":
                equal(way[1].lower_sector, way[0].sector + START // 512,
                      "lower sector")
            equal([way[2].error, way[3].error], [0, 0], "errors")
        stor.delete(name="one")


@test
def failed(stor, _devices):
    """an I/O that fails says so below and above"""
    with null_blk(size=64, memory_backed=1, badblocks="+8192-8199"):
        stor.new("one", "/dev/stortest", offset=START)
        settle()
        with Disk("/dev/stor0") as disk:
            with events("/dev/stor0") as collect:
                for what in (lambda at: disk.read(at, 4096),
                             lambda at: disk.write(at, bytes(4096))):
                    try:
                        what(8192 * 512 - START)
                        check(False, "no error")
                    except OSError as why:
                        equal(why.errno, errno.EIO, "errno")
                disk.read(0, 4096)
                found = collect()
        equal([(way[0].op, way[2].error, way[3].error)
               for way in ways(found)],
              [("read", -errno.EIO, -errno.EIO),
               ("write", -errno.EIO, -errno.EIO), ("read", 0, 0)],
              "errors below, and above")
        stor.delete(name="one")


@test
def sealed(stor, devices):
    """what is encrypted is sealed before it goes down, opened after it came"""
    for device in one_of_each(devices):
        with keys.key(pattern(1, 64)) as name:
            stor.new("one", device, length=16 * MIB, key=name)
        settle()
        with Disk("/dev/stor0") as disk:
            with events("/dev/stor0") as collect:
                disk.write(MIB, pattern(2, 65536))
                disk.read(MIB, 4096)
                os.fsync(disk.fd)
                found = collect()
        done = ways(found, sealed=True)
        equal([(way[0].op, way[0].bytes) for way in done
               if way[0].op != "flush"],
              [("write", 65536), ("read", 4096)], "operations")
        for way in done:
            equal([event.name for event in way],
                  SEALED.get(way[0].op, WAY), "the events")
            for event in way:
                equal((event.sector, event.bytes, event.error or 0),
                      (way[0].sector, way[0].bytes, 0),
                      f"what {event.name} is of")
        stor.delete(name="one")


@test
def many(stor, devices):
    """thousands of I/Os of several jobs: each submit has its end"""
    device = devices[0]
    stor.new("one", device, offset=START, length=32 * MIB)
    settle()
    with events("/dev/stor0") as collect:
        fio({"small": {"rw": "randrw", "bs": "4k", "iodepth": 32,
                       "iodepth_batch_submit": 16},
             "large": {"rw": "randrw", "bs": "256k", "iodepth": 4,
                       "offset": "16m", "ioengine": "io_uring"}},
            filename="/dev/stor0", direct=1, ioengine="libaio", size="4m",
            randseed=7)
        found = collect()
    done = ways(found)
    check(len(done) >= 1000, f"only {len(done)} I/Os")
    for way in done:
        equal([event.name for event in way], WAY, "the events")
        equal(way[1].lower_sector, way[0].sector + START // 512,
              "lower sector")
    small = sum(way[0].bytes for way in done
                if way[0].op in ("read", "write"))
    check(small >= 8 * MIB, f"only {small} bytes")
    note(f"{len(done)} I/Os, {small >> 10} KiB")
    stor.delete(name="one")


main(setup, clean)
