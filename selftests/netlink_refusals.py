#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What the module refuses, with which error, and with which words."""

import errno
import os
import pathlib
import re
import stat
import struct
import tempfile
import uuid

from lib.stor import (Disk, MIB, add_partition, clean, delete_partition,
                      encode, need, refused, run, settle, setup)
from lib.tap import Skip, equal, main, test

UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


def refuse(stor, number, message, blames, **values):
    """Fail unless VOLUME_NEW is refused."""
    refused(number, message, stor.call, "VOLUME_NEW", encode(values),
            blames=blames)


def free(devices):
    """Fail if somebody still has a claim on a device."""
    for device in devices:
        os.close(os.open(device.path, os.O_RDWR | os.O_EXCL))


class Loop:
    """A loop device over some bytes."""

    def __init__(self, size, *options):
        need("losetup")
        run("modprobe", "loop", check=False)
        self.file = tempfile.NamedTemporaryFile(dir="/dev/shm")
        self.file.truncate(size)
        self.path = run("losetup", "--find", "--show", *options,
                        self.file.name).stdout.strip()

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        settle()
        run("losetup", "--detach", self.path)
        self.file.close()


@test
def names(stor, devices):
    """names that are missing, empty, too long or of other characters"""
    backing = str(devices[0])
    refuse(stor, errno.EINVAL, "name: missing, it is needed", None,
           backing=backing)
    only = "only A-Z a-z 0-9 . _ - are allowed"
    for name, why in {
            "": "empty, 1 to 31 characters are needed",
            "a" * 32: "32 characters, at most 31 are allowed",
            "a" * 255: "255 characters, at most 31 are allowed",
            "a/b": f"'/' at character 2, {only}",
            "/": f"'/' at character 1, {only}",
            "a b": f"' ' at character 2, {only}",
            "vm%s": f"'%' at character 3, {only}",
            "a\nb": f"byte 0x0a at character 2, {only}",
            "\x1b[2J": f"byte 0x1b at character 1, {only}",
            "a\0b": f"byte 0x00 at character 2, {only}",
            "é": f"byte 0xc3 at character 1, {only}"}.items():
        refuse(stor, errno.EINVAL, f"name: {why}", "name", name=name,
               backing=backing)
    free(devices)


@test
def good_names(stor, devices):
    """names of 1 and of 31 characters, of all that are allowed, are taken"""
    for name in ("a", "Z" * 31, "az.AZ_09-", "..", "-", "."):
        equal(stor.new(name, devices[0])["name"], name)
        equal(stor.get(name=name)["name"], name)
        serial = pathlib.Path("/sys/block/stor0/serial").read_text()
        equal(serial, name + "\n", "serial")
        stor.delete(name=name)


@test
def taken(stor, devices):
    """names, UUIDs and indexes that are taken, zero or out of range"""
    stor.new("one", devices[0], length=MIB, uuid=UUID, index=7)
    rest = {"backing": str(devices[0]), "offset": MIB, "length": MIB}
    refuse(stor, errno.EEXIST, "name: volume one exists", "name",
           name="one", **rest)
    refuse(stor, errno.EEXIST, f"uuid: volume {UUID} exists", "uuid",
           name="two", uuid=UUID, **rest)
    refuse(stor, errno.EEXIST, "index: volume stor7 exists", "index",
           name="two", index=7, **rest)
    refuse(stor, errno.EINVAL,
           "uuid: all zeros, which stands for no UUID", "uuid",
           name="two", uuid=uuid.UUID(int=0), **rest)
    for index in (65536, 2**31, 2**32 - 1):
        refuse(stor, errno.ERANGE,
               f"index: {index} is over the largest, 65535", "index",
               name="two", index=index, **rest)
    # What was refused has taken nothing.
    two = stor.new("two", devices[0], offset=MIB, length=MIB, index=65535)
    equal((two["index"], two["disk"]), (65535, "stor65535"))
    equal([volume["name"] for volume in stor.dump()], ["one", "two"])
    # A name in other letters is another name.
    equal(stor.new("ONE", devices[0], offset=2 * MIB,
                   length=MIB)["index"], 0)
    for name in ("one", "two", "ONE"):
        stor.delete(name=name)


@test
def paths(stor, devices):
    """backings that are missing, no block devices, or out of reach"""
    refuse(stor, errno.EINVAL, "backing: missing, it is needed", None,
           name="a")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = f"{folder}/file"
        pathlib.Path(file).touch()
        os.symlink("loop", f"{folder}/loop")
        os.mknod(f"{folder}/none", stat.S_IFBLK | 0o600,
                 os.makedev(4000, 1))
        long = "/" + "x" * 200
        for path, number, why in (
                ("", errno.EINVAL, "empty, the path of a block device is "
                 "needed"),
                ("/dev/no-such", errno.ENOENT,
                 "/dev/no-such does not exist"),
                (long, errno.ENOENT, f"{long[:32]}... does not exist"),
                (f"{file}/x", errno.ENOENT, f"{file}/x does not exist"),
                (file, errno.ENOTBLK, f"{file} is not a block device"),
                ("/dev/null", errno.ENOTBLK,
                 "/dev/null is not a block device"),
                (folder, errno.ENOTBLK, f"{folder} is not a block device"),
                (f"{folder}/loop", errno.ELOOP,
                 f"{folder}/loop has links in a loop, or of /proc"),
                ("\x1b[31m\n", errno.ENOENT, "?[31m? does not exist"),
                ("/dev/\0null", errno.EINVAL, "/dev/?null has a NUL in it"),
                (f"{folder}/none", errno.ENXIO,
                 f"{folder}/none has no device behind it")):
            refuse(stor, number, f"backing: {why}", "backing", name="a",
                   backing=path)
        mount = f"{folder}/mount"
        os.mkdir(mount)
        run("mount", "-t", "tmpfs", "-o", "nodev", "none", mount)
        try:
            node = f"{mount}/node"
            os.mknod(node, stat.S_IFBLK | 0o600,
                     os.stat(devices[0].path).st_rdev)
            refuse(stor, errno.EACCES, f"backing: {node} may not be accessed",
                   "backing", name="a", backing=node)
        finally:
            run("umount", mount)
    # A relative path is that of the caller.
    here = os.getcwd()
    os.chdir("/dev")
    equal(stor.new("a", devices[0].name)["backing"], devices[0].name)
    os.chdir(here)
    stor.delete(name="a")


@test
def busy(stor, devices):
    """backings that are claimed, mounted, read-only or a disk's partition"""
    device = devices[0]
    why = f"backing: {device} is mounted or otherwise in use"
    claim = os.open(device.path, os.O_RDWR | os.O_EXCL)
    refuse(stor, errno.EBUSY, why, "backing", name="a", backing=str(device))
    os.close(claim)
    need("mkfs.ext4")
    run("mkfs.ext4", "-q", "-F", device, "32M")
    with tempfile.TemporaryDirectory() as folder:
        for options in ("rw", "ro"):
            run("mount", "-o", options, device, folder)
            refuse(stor, errno.EBUSY, why, "backing", name="a",
                   backing=str(device))
            run("umount", folder)
    run("blockdev", "--setro", device)
    refuse(stor, errno.EACCES, f"backing: {device} is read-only", "backing",
           name="a", backing=str(device))
    run("blockdev", "--setrw", device)
    # Open, but claimed by nobody: that is what udev does, too.
    reader = os.open(device.path, os.O_RDWR)
    stor.new("a", device)
    os.close(reader)
    # And the other way round.
    try:
        os.open(device.path, os.O_RDWR | os.O_EXCL)
        raise Skip("could be claimed twice")
    except OSError as why:
        equal(why.errno, errno.EBUSY, "errno of a second claim")
    stor.delete(name="a")
    free(devices)


@test
def partitions(stor, devices):
    """a disk and a partition of it are not both backings"""
    device = devices[0]
    add_partition(device, 1, MIB, MIB)
    part = f"{device}p1"
    try:
        stor.new("a", part)
        refuse(stor, errno.EBUSY,
               f"backing: {device} is mounted or otherwise in use",
               "backing", name="b", backing=str(device))
        stor.delete(name="a")
        stor.new("a", device)
        refuse(stor, errno.EBUSY,
               f"backing: {part} is mounted or otherwise in use",
               "backing", name="b", backing=part)
        stor.delete(name="a")
    finally:
        delete_partition(device, 1)


@test
def ranges(stor, devices):
    """offsets and lengths against the size and the block of each backing"""
    top = 2**64
    for device in devices:
        size, block = device.size, device.block
        end = f"backing's end {size}"
        multiple = f"is not a multiple of the logical block size {block}"
        for offset, length, number, blames, why in (
                (1, None, errno.EINVAL, "offset", f"1 {multiple}"),
                (block - 1, None, errno.EINVAL, "offset",
                 f"{block - 1} {multiple}"),
                (block // 2, block, errno.EINVAL, "offset",
                 f"{block // 2} {multiple}"),
                (top - 1, None, errno.EINVAL, "offset",
                 f"{top - 1} {multiple}"),
                (None, 1, errno.EINVAL, "length", f"1 {multiple}"),
                (0, size - block // 2, errno.EINVAL, "length",
                 f"{size - block // 2} {multiple}"),
                (None, 0, errno.EINVAL, "length",
                 f"0, at least one logical block of {block} is needed"),
                (size, None, errno.ENOSPC, "offset",
                 f"{size} is past the {end}"),
                (size + block, block, errno.ENOSPC, "offset",
                 f"{size + block} is past the {end}"),
                (top - block, block, errno.ENOSPC, "offset",
                 f"{top - block} is past the {end}"),
                (0, size + block, errno.ENOSPC, "length",
                 f"end {size + block} is past the {end}"),
                (block, size, errno.ENOSPC, "length",
                 f"end {size + block} is past the {end}"),
                (0, top - block, errno.ENOSPC, "length",
                 f"end {top - block} is past the {end}"),
                (block, top - block, errno.EOVERFLOW, "length",
                 f"{top - block} from offset {block} is over 2^64"),
                (size - block, top - block, errno.EOVERFLOW, "length",
                 f"{top - block} from offset {size - block} "
                 "is over 2^64")):
            values = {"offset": offset, "length": length}
            values = {k: v for k, v in values.items() if v is not None}
            refuse(stor, number, f"{blames}: {why}", blames, name="a",
                   backing=str(device), **values)
    free(devices)


@test
def edges(stor, devices):
    """the first block, the last block and the whole of each backing"""
    for device in devices:
        size, block = device.size, device.block
        for given, want in (
                ({}, (0, size)),
                ({"offset": 0, "length": size}, (0, size)),
                ({"length": block}, (0, block)),
                ({"offset": size - block}, (size - block, block)),
                ({"offset": block}, (block, size - block))):
            volume = stor.new("a", device, **given)
            equal((volume["offset"], volume["length"]), want, "extent")
            with Disk("/dev/stor0", os.O_RDONLY) as disk:
                equal(os.lseek(disk.fd, 0, os.SEEK_END), want[1],
                      "size of the disk")
            stor.delete(name="a")


@test
def overlaps(stor, devices):
    """ranges that overlap on one backing, by whichever path"""
    device = devices[0]
    block = device.block
    stor.new("mid", device, offset=4 * MIB, length=2 * MIB)
    other = f"/dev/block/{os.major(os.stat(device.path).st_rdev)}:" \
            f"{os.minor(os.stat(device.path).st_rdev)}"
    for path in (device.path, other):
        for offset, length in ((4 * MIB, 2 * MIB), (0, device.size),
                               (3 * MIB, MIB + block),
                               (6 * MIB - block, block),
                               (4 * MIB, block), (5 * MIB, MIB),
                               (5 * MIB, 8 * MIB)):
            refuse(stor, errno.EBUSY,
                   f"offset: {offset} overlaps volume mid", "offset",
                   name="b", backing=path, offset=offset, length=length)
    # An overlap that starts at an offset nobody gave has none to blame.
    refuse(stor, errno.EBUSY, "offset: 0 overlaps volume mid", None,
           name="b", backing=device.path)
    stor.new("before", device, length=4 * MIB)
    stor.new("after", device, offset=6 * MIB)
    if len(devices) > 1:
        stor.new("elsewhere", devices[1], offset=4 * MIB, length=2 * MIB)
        stor.delete(name="elsewhere")
    # Free again when it is deleted.
    stor.delete(name="mid")
    stor.new("mid2", device, offset=4 * MIB, length=2 * MIB)
    for name in ("before", "mid2", "after"):
        stor.delete(name=name)


@test
def small(stor, _devices):
    """backings with less than one block"""
    with Loop(4096, "--sector-size", "4096", "--sizelimit", "512") as path:
        refuse(stor, errno.ENOSPC,
               "backing: 512 bytes, less than one logical block of 4096",
               "backing", name="a", backing=path)
    refuse(stor, errno.ENOSPC,
           "backing: 0 bytes, less than one logical block of 512", "backing",
           name="a", backing=run("losetup", "--find").stdout.strip())
    # A tail that is no whole block is out of reach.
    with Loop(10240, "--sector-size", "4096") as path:
        equal(stor.new("a", path)["length"], 8192, "length")
        stor.delete(name="a")
        refuse(stor, errno.ENOSPC,
               "offset: 8192 leaves less than one logical block of 4096",
               "offset", name="a", backing=path, offset=8192)


@test
def zoned(stor, _devices):
    """a zoned backing"""
    if run("modprobe", "null_blk", "nr_devices=0", check=False).returncode:
        raise Skip("no null_blk")
    config = pathlib.Path("/sys/kernel/config/nullb/stortest")
    config.mkdir()
    try:
        for key, value in (("size", "64"), ("zone_size", "4"),
                           ("zoned", "1"), ("memory_backed", "1"),
                           ("power", "1")):
            (config / key).write_text(value)
        name = "stortest"
        if not pathlib.Path(f"/sys/block/{name}").exists():
            name = f"nullb{(config / 'index').read_text().strip()}"
        settle()
        refuse(stor, errno.EOPNOTSUPP,
               f"backing: /dev/{name} is zoned, which stor can not do",
               "backing", name="a", backing=f"/dev/{name}")
        os.close(os.open(f"/dev/{name}", os.O_RDWR | os.O_EXCL))
    finally:
        config.rmdir()
        run("modprobe", "-r", "null_blk", check=False)


@test
def selectors(stor, devices):
    """volumes that are asked for by nothing, by too much, or do not exist"""
    stor.new("one", devices[0], uuid=UUID)
    two = uuid.UUID(int=1)
    for command in ("VOLUME_GET", "VOLUME_DEL"):
        def asked(number, message, blames=None, command=command, **values):
            refused(number, message, stor.call, command, encode(values),
                    blames=blames)
        asked(errno.EINVAL,
              "none of name, uuid and index is given, one is needed")
        many = "more than one of name, uuid and index is given"
        asked(errno.EINVAL, many, name="one", uuid=UUID)
        asked(errno.EINVAL, many, name="one", index=0)
        asked(errno.EINVAL, many, uuid=UUID, index=0)
        asked(errno.EINVAL, many, name="one", uuid=UUID, index=0)
        asked(errno.ENOENT, "name: no volume two", "name", name="two")
        asked(errno.ENOENT, "name: no volume on", "name", name="on")
        asked(errno.ENOENT, f"uuid: no volume {two}", "uuid", uuid=two)
        asked(errno.ENOENT, "index: no volume stor1", "index", index=1)
        asked(errno.ENOENT, "index: no volume stor4294967295", "index",
              index=2**32 - 1)
        asked(errno.EINVAL, "name: empty, 1 to 31 characters are needed",
              "name", name="")
    for selector in ({"name": "one"}, {"uuid": UUID}, {"index": 0}):
        equal(stor.get(**selector)["name"], "one")
    stor.delete(uuid=UUID)


@test
def opened(stor, devices):
    """a volume that is open, mounted, or has a partition open stays"""
    need("mkfs.ext4")
    device = devices[0]
    stor.new("one", device)
    disk = "/dev/stor0"
    why = "stor0 of volume one is open"

    def stays():
        settle()
        for selector in ({"name": "one"}, {"index": 0}):
            refused(errno.EBUSY, why, stor.raw_delete, **selector)
        equal(stor.get(name="one")["state"], "live", "state")

    for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDONLY | os.O_EXCL,
                  os.O_RDONLY | os.O_NONBLOCK):
        with Disk(disk, flags) as holder:
            stays()
            # It serves I/O as before.
            equal(len(os.pread(holder.fd, 4096, 0)), 4096, "bytes read")
    run("mkfs.ext4", "-q", "-F", disk, "32M")
    with tempfile.TemporaryDirectory() as folder:
        run("mount", disk, folder)
        stays()
        pathlib.Path(f"{folder}/file").write_text("x")
        os.sync()
        run("umount", folder)
    add_partition(disk, 1, MIB, MIB)
    with Disk(f"{disk}p1", os.O_RDONLY):
        stays()
        # Another partition, and the disk, may be opened by others still.
        with Disk(disk, os.O_RDONLY):
            pass
    settle()
    stor.raw_delete(name="one")
    for path in (disk, f"{disk}p1"):
        equal(os.path.exists(path), False, f"{path} exists")
    free(devices)


@test
def lookups(stor, devices):
    """the answer to VOLUME_NEW, to VOLUME_GET and the device agree"""
    for device in devices:
        made = stor.new("one", device, offset=MIB, length=MIB, uuid=UUID,
                        index=3)
        node = os.stat("/dev/stor3").st_rdev
        lower = os.stat(device.path).st_rdev
        physical = int((device.sys / "queue/physical_block_size")
                       .read_text())
        want = {"name": "one", "uuid": UUID, "index": 3,
                "backing": device.path, "offset": MIB, "length": MIB,
                "state": "live", "disk": "stor3",
                "dev-major": os.major(node), "dev-minor": os.minor(node),
                "backing-disk": device.name,
                "backing-major": os.major(lower),
                "backing-minor": os.minor(lower),
                "logical-block-size": device.block,
                "physical-block-size": physical,
                "read-only": 0, "gate-count": 0, "gate-last": 0,
                "gate-longest": 0}
        equal(made, want, "volume")
        equal(stor.get(name="one"), want, "volume")
        equal(stor.dump(), [want], "volumes")
        stor.delete(name="one")


@test
def info(stor, _devices):
    """INFO_GET tells the version that modinfo shows"""
    version = pathlib.Path("/sys/module/stor/version")
    found = stor.info()
    equal(sorted(found), [1, 2, 3], "attributes")
    if version.exists():
        equal(found[1], version.read_text().strip().encode() + b"\0")
    equal(bool(re.fullmatch(rb"\d+\.\d+\.\d+\0", found[1])), True,
          "looks like a version")
    equal(struct.unpack("=I", found[2])[0], 1, "ABI version")
    equal(struct.unpack("=Q", found[3])[0], 63, "features")


main(setup, clean)
