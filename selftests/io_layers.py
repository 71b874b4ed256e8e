#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What stands on a volume, and what a volume can stand on."""

import contextlib
import errno
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

from lib.fio import VERIFY, fio
from lib.lower import mapped, null_blk
from lib.netlink import Refused
from lib.stor import (BLKRRPART, Device, Disk, MIB, add_partition, clean,
                      delete_partition, error_of, need, number_of,
                      one_of_each, pattern, refused, run, settle, setup)
from lib.tap import Skip, check, equal, in_thread, main, note, test, wait_until


def table(block, *parts):
    """A DOS partition table; of (first byte, bytes)."""
    entries = b"".join(
        struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\xfe\xff\xff",
                    start // block, length // block)
        for start, length in parts)
    return (bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa").ljust(
        block, b"\0")


@test
def partitions(stor, devices):
    """a partition table: partitions appear, take I/O, and hold the disk"""
    for device in one_of_each(devices):
        block = device.block
        start, length = 16 * MIB, 16 * MIB
        stor.new("one", device, offset=start, length=length)
        parts = [(MIB, 2 * MIB), (4 * MIB, 3 * MIB)]
        with Disk("/dev/stor0") as disk:
            disk.write(0, table(block, *parts))
            data = pattern(1, length - MIB)
            disk.write(MIB, data)
            settle()
            disk.ioctl(BLKRRPART)
        settle()
        for number, (at, size) in enumerate(parts, 1):
            path = f"/dev/stor0p{number}"
            equal(number_of(f"/sys/block/stor0/stor0p{number}/size") * 512,
                  size, f"size of {path}")
            with Disk(path) as part:
                equal(part.read(0, size), data[at - MIB:at - MIB + size],
                      path)
                new = pattern(number, MIB)
                part.write(size - MIB, new)
            with Disk(device) as lower:
                equal(lower.read(start + at + size - MIB, MIB), new,
                      "on the backing")
        with Disk("/dev/stor0p2", os.O_RDONLY):
            settle()
            refused(errno.EBUSY, "stor0 of volume one is open",
                    stor.raw_delete, name="one")
        stor.delete(name="one")
        equal(os.path.exists("/dev/stor0p1"), False, "the partition is there")
        # They are found again with the next volume there, at once.
        stor.new("two", device, offset=start, length=length)
        equal(os.path.exists("/sys/block/stor0/stor0p2"), True,
              "the partition is there")
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, bytes(block))
        stor.delete(name="two")


@test
def hanging(stor, devices):
    """on a backing that does not answer: nothing is waited for without end"""
    sectors = 32 * MIB // 512
    with mapped("stortest-hangs",
                f"0 {sectors} linear {devices[0]} 0\n") as lower:
        with Disk(lower) as disk:
            disk.write(0, table(devices[0].block, (MIB, 2 * MIB)))
        settle()
        lower.suspend()
        in_thread(lambda: stor.new("one", lower))()
        opened = in_thread(lambda: os.close(os.open("/dev/stor0", 0)) or 1)
        wait_until(opened.sleeps, "somebody who opens the disk")
        for what in (lambda: stor.raw_delete(name="one"),
                     lambda: stor.set("one", length=MIB),
                     lambda: stor.set("one", read_only=1)):
            try:
                in_thread(what)()
                check(False, "it is not open")
            except Refused as why:
                equal(why.errno, errno.EBUSY, why.message)
        # The second time at once, as somebody still waits for the first.
        for _ in range(2):
            refused(errno.ETIMEDOUT,
                    "backing: /dev/stor0 could not be opened within 10 s",
                    in_thread(lambda: stor.new("two", "/dev/stor0")),
                    blames="backing")
        lower.resume()
        opened()
        equal(os.path.exists("/sys/block/stor0/stor0p1"), True,
              "the partition is there")
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, bytes(devices[0].block))
        stor.delete(name="one")
        # That is over: it can be opened again.
        stor.new("one", lower)
        settle()
        stor.new("two", "/dev/stor0")
        settle()
        stor.delete(name="two")
        stor.delete(name="one")


@test
def closed(stor, devices):
    """a volume goes while its backing can not be closed; that comes later"""
    with mapped("stortest-hangs",
                f"0 {32 * MIB // 512} linear {devices[0]} 0\n") as lower:
        with Disk(lower) as disk:
            disk.write(0, table(devices[0].block,
                                (MIB, 2 * MIB), (4 * MIB, 2 * MIB)))
        settle()
        stor.new("low", lower)
        settle()
        stor.new("up", "/dev/stor0p2")
        settle()
        # Killed while it reads, it ends when the page is read, and keeps all
        # others from opening and closing the disk until then.
        with contextlib.ExitStack() as stack:
            lower.suspend()
            reader = stack.enter_context(subprocess.Popen([
                sys.executable, "-c",
                "import os; os.read(os.open('/dev/stor0p1', 0), 4096)"]))
            stack.callback(lower.resume)
            proc = pathlib.Path(f"/proc/{reader.pid}")

            def reads():
                return "blkdev_read_iter" in (proc / "stack").read_text()
            wait_until(reads, "somebody who reads")
            reader.kill()
            wait_until(lambda: "bdev_release" in (proc / "stack").read_text(),
                       "who closes the disk")
            opened = in_thread(lambda: os.close(
                os.open("/dev/stor0p1", os.O_RDONLY)) or 1)
            wait_until(opened.sleeps, "somebody who opens the disk")
            in_thread(lambda: stor.raw_delete(name="up") or 1)()
            equal([volume["name"] for volume in stor.dump()], ["low"],
                  "volumes")
        opened()
        wait_until(lambda: error_of(lambda: os.close(os.open(
            "/dev/stor0p2", os.O_RDWR | os.O_EXCL))) == 0,
            "the end of the claim")
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, bytes(devices[0].block))
        stor.delete(name="low")


def fill(folder, files):
    """Write files, and give back their sums."""
    sums = {}
    for number in range(files):
        data = pattern(number, 1 + number * 37813 % 500000)
        path = pathlib.Path(folder, f"d{number % 3}/f{number}")
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            if number % 4 == 0:
                file.flush()
                os.fsync(file.fileno())
        sums[str(path.relative_to(folder))] = hashlib.sha256(data).digest()
    return sums


def sums(folder):
    """The sums of the files below a folder."""
    return {str(path.relative_to(folder)):
            hashlib.sha256(path.read_bytes()).digest()
            for path in pathlib.Path(folder).rglob("f*") if path.is_file()}


def file_system(stor, devices, kind, make, check_it, size):
    """Make one, use it, and check it, above and on the bare backing."""
    need(make[0], check_it[0], "mount")
    for device in one_of_each(devices):
        stor.new("one", device, length=size)
        settle()
        run(*make, "/dev/stor0")
        with tempfile.TemporaryDirectory() as folder:
            mounted = run("mount", "-t", kind, "/dev/stor0", folder,
                          check=False)
            if mounted.returncode:
                stor.delete(name="one")
                raise Skip(f"{kind} can not be mounted: {mounted.stderr}")
            want = fill(folder, 24)
            run("sync", "-f", folder)
            pathlib.Path(folder, "d0/f0").unlink()
            want.pop("d0/f0")
            run("fstrim", folder)
            settle()
            refused(errno.EBUSY, "stor0 of volume one is open",
                    stor.raw_delete, name="one")
            run("umount", folder)
            run(*check_it, "/dev/stor0")
            stor.delete(name="one")
            # The same file system, without stor ...
            run(*check_it, device)
            run("mount", "-t", kind, "-o", "ro", device, folder)
            equal(sums(folder), want, "files on the bare backing")
            run("umount", folder)
            # ... and with it again.
            stor.new("two", device, length=size)
            run("mount", "-t", kind, "/dev/stor0", folder)
            equal(sums(folder), want, "files")
            run("umount", folder)
        stor.delete(name="two")
        with Disk(device) as disk:
            disk.write(0, bytes(MIB))


@test
def ext4(stor, devices):
    """ext4: made, used, checked, and read without stor"""
    file_system(stor, devices, "ext4", ["mkfs.ext4", "-q", "-F"],
                ["fsck.ext4", "-f", "-n"], 64 * MIB)


@test
def xfs(stor, devices):
    """XFS: made, used, checked, and read without stor"""
    large = [device for device in devices if device.size >= 400 * MIB]
    if not large:
        raise Skip("no device of 400 MiB")
    # It takes long: the last one, in the lab that of 4096-byte blocks.
    file_system(stor, large[-1:], "xfs", ["mkfs.xfs", "-q", "-f"],
                ["xfs_repair", "-n"], 320 * MIB)


def write_through(top, lower, place):
    """Fail unless what is written above is found below, at its place."""
    block = Device(lower).block
    with Disk(top) as upper, Disk(lower) as disk:
        size = os.lseek(upper.fd, 0, os.SEEK_END)
        before = disk.read(place - block, block)
        after = disk.read(place + size, block)
        for at, length in ((0, block), (MIB, 65536), (size - MIB, MIB)):
            data = pattern(at + 1, length)
            upper.write(at, data)
            equal(disk.read(place + at, length), data,
                  f"what was written at {at}")
        upper.range(0x127F, MIB, block)
        equal(disk.read(place + MIB, block), bytes(block), "zeroes")
        os.fsync(upper.fd)
        equal(disk.read(place - block, block), before, "what is before it")
        equal(disk.read(place + size, block), after, "what is behind it")


@test
def on_itself(stor, devices):
    """stor on stor on stor"""
    for device in one_of_each(devices):
        path, place = device, 0
        for level in range(4):
            stor.new(f"level{level}", path, offset=(level + 1) * MIB,
                     length=(64 - 8 * level) * MIB)
            place += (level + 1) * MIB
            path = f"/dev/stor{level}"
        settle()
        write_through(path, device, place)
        refused(errno.EBUSY, "stor2 of volume level2 is open",
                stor.raw_delete, name="level2")
        for level in (3, 2, 1, 0):
            stor.delete(name=f"level{level}")


@test
def scheduled(stor, _devices):
    """a scheduler below merges what comes one by one; without, nobody does"""
    run("modprobe", "mq-deadline", check=False)
    with null_blk(size=64, memory_backed=1, submit_queues=1, hw_queue_depth=2,
                  irqmode=2, completion_nsec=2000000):
        lower = Device("/dev/stortest")
        stor.new("one", lower, offset=MIB, length=8 * MIB)
        settle()
        for scheduler in ("none", "mq-deadline"):
            switch = lower.sys / "queue/scheduler"
            if scheduler not in switch.read_text():
                raise Skip(f"no {scheduler}")
            switch.write_text(scheduler)
            before = lower.stat()["write_merges"]
            fio({"row": {"rw": "write", "bs": "4k", "iodepth": 32,
                         "filename": "/dev/stor0", "size": "4m"}}, **VERIFY)
            merges = lower.stat()["write_merges"] - before
            note(f"{scheduler}: {merges} merges below")
            equal(merges > 0, scheduler != "none", f"merges by {scheduler}")
        stor.delete(name="one")


@test
def on_partition(stor, devices):
    """stor on a partition"""
    for device in one_of_each(devices):
        add_partition(device, 1, 8 * MIB, 32 * MIB)
        try:
            made = stor.new("one", f"{device}p1", offset=MIB, length=8 * MIB)
            equal(made["backing-disk"], f"{device.name}p1", "backing-disk")
            equal(os.readlink(f"/sys/block/stor0/slaves/{device.name}p1")
                  .endswith(f"{device.name}p1"), True, "slave")
            two = stor.new("two", f"{device}p1", offset=16 * MIB)
            equal(two["length"], 16 * MIB, "length")
            write_through("/dev/stor0", device, 9 * MIB)
            stor.delete(name="one")
            stor.delete(name="two")
        finally:
            delete_partition(device, 1)


@test
def device_mapper(stor, devices):
    """stor on dm-linear, which is bio-based, and dm-linear on stor"""
    for device in one_of_each(devices):
        sectors = 32 * MIB // 512
        with mapped("stortest-low", f"0 {sectors} linear {device} "
                    f"{8 * MIB // 512}\n") as low:
            made = stor.new("one", low, offset=2 * MIB, length=16 * MIB)
            check(made["backing-disk"].startswith("dm-"), made)
            settle()
            write_through("/dev/stor0", device, 10 * MIB)
            with mapped("stortest-top", f"0 {8 * MIB // 512} linear "
                        f"/dev/stor0 {MIB // 512}\n") as top:
                write_through(top, device, 11 * MIB)
                refused(errno.EBUSY, "stor0 of volume one is open",
                        stor.raw_delete, name="one")
            stor.delete(name="one")


main(setup, clean)
