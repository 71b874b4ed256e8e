#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The limits of a volume's queue are those of its backing, but for a list."""

import pathlib

from lib.stor import Device, Disk, MIB, clean, one_of_each, pattern, setup
from lib.tap import check, equal, main, note, test


def number(text):
    """A number, of what a file in sysfs says."""
    return int(text.split()[0])


# What may differ from the backing, and by which rule. Everything else in
# /sys/block/storN/queue has to be the same.
DIFFER = {
    "nr_requests": lambda _: "256",  # tags of our own: 256 a queue
    "async_depth": lambda _: "256",  # follows nr_requests
    # One lower bio carries a request: its table has 256 entries at most ...
    "max_segments": lambda own: str(min(number(own), 256)),
    # ... and a discard has one range.
    "max_discard_segments": lambda _: "1",
    # What a backing may need later is offered from the start: without it
    # flushes would be dropped, and pages change while they are written.
    "write_cache": lambda _: "write back",
    "fua": lambda _: "1",
    "stable_writes": lambda _: "1",
    # Not offered.
    "max_write_streams": lambda _: "0",
    "write_stream_granularity": lambda _: "0",
    "max_integrity_segments": lambda _: "0",
    # The backing does the scheduling, and has the time-outs.
    "scheduler": lambda _: None,
    "io_timeout": lambda _: None,
    # The backing throttles writeback, once.
    "wbt_lat_usec": lambda _: "(not readable)",
}


def read(queue):
    """All files of a queue/ folder, by their path in it."""
    found = {}
    for path in sorted(queue.rglob("*")):
        if path.is_file():
            try:
                found[str(path.relative_to(queue))] = (
                    path.read_text().strip())
            except OSError:
                found[str(path.relative_to(queue))] = "(not readable)"
    return found


@test
def queue(stor, devices):
    """queue/* of the disk and of its backing differ in this list only"""
    for device in devices:
        stor.new("one", device, offset=MIB)
        own, ours = (read(path.sys / "queue")
                     for path in (device, Device("/dev/stor0")))
        check(len(ours) > 30, f"only {len(ours)} files")
        for key in sorted(set(own) | set(ours)):
            lower, upper = own.get(key), ours.get(key)
            if lower == upper:
                continue
            note(f"{device.name}: {key}: {lower} below, {upper} above")
            check(key in DIFFER, f"{device}: {key} is {upper}, not {lower}")
            want = DIFFER[key](lower)
            if want is not None:
                equal(upper, want, key)
        # A smaller limit of the list holds even where nothing differs.
        for key in ("max_segments", "max_discard_segments"):
            equal(ours[key], DIFFER[key](own[key]), key)
        stor.delete(name="one")


@test
def lowered(stor, devices):
    """a limit that is lowered below: inherited before, harmless after"""
    for device in one_of_each(devices):
        switch = device.sys / "queue/max_sectors_kb"
        was = switch.read_text()
        try:
            switch.write_text("64")
            stor.new("one", device, length=8 * MIB)
            equal(number(pathlib.Path("/sys/block/stor0/queue/max_sectors_kb")
                         .read_text()), 64, "max_sectors_kb")
            stor.delete(name="one")
            switch.write_text(was)
            stor.new("one", device, length=8 * MIB)
            switch.write_text("16")
            with Disk("/dev/stor0") as disk:
                data = pattern(1, 4 * MIB)
                disk.write(MIB, data)
                equal(disk.read(MIB, len(data)), data, "data")
        finally:
            switch.write_text(was)
        stor.delete(name="one")


@test
def alignment(stor, devices):
    """a volume that starts inside a physical block says so"""
    for device in devices:
        physical = number((device.sys / "queue/physical_block_size")
                          .read_text())
        stor.new("one", device, offset=device.block, length=MIB)
        want = (physical - device.block) % physical
        equal(number(pathlib.Path("/sys/block/stor0/alignment_offset")
                     .read_text()), want, "alignment_offset")
        stor.delete(name="one")


@test
def attributes(stor, devices):
    """sysfs of the disk: size, serial, uuid, slaves, and read-only files"""
    device = devices[0]
    made = stor.new("vm.1_a-b", device, offset=MIB, length=3 * MIB, index=12)
    disk = pathlib.Path("/sys/block/stor12")
    for name, want in (("serial", "vm.1_a-b"), ("uuid", str(made["uuid"])),
                       ("size", str(3 * MIB // 512)), ("ro", "0"),
                       ("removable", "0"), ("hidden", "0"),
                       ("dev", f"{made['dev-major']}:{made['dev-minor']}")):
        equal((disk / name).read_text(), want + "\n", name)
    for name in ("serial", "uuid"):
        equal((disk / name).stat().st_mode & 0o777, 0o444, f"mode of {name}")
    equal([path.name for path in (disk / "slaves").iterdir()],
          [device.name], "slaves")
    equal([path.name for path in (device.sys / "holders").iterdir()],
          ["stor12"], "holders")
    # Drawn at random: another one each time, of version 4.
    equal(made["uuid"].version, 4, "version of the UUID")
    other = stor.new("other", device, offset=8 * MIB, length=MIB)
    check(other["uuid"] != made["uuid"], "the same UUID twice")
    equal(sorted(path.name for path in (device.sys / "holders").iterdir()),
          ["stor0", "stor12"], "holders")
    stor.delete(name="other")
    stor.delete(index=12)
    equal(list((device.sys / "holders").iterdir()), [], "holders")
    equal(disk.exists(), False, "the disk is there")


main(setup, clean)
