#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What udev knows of volumes by tools/udev/60-stor.rules."""

import atexit
import contextlib
import os
import pathlib
import struct

from lib import keys
from lib import tool as tools
from lib.stor import (BLKRRPART, HERE, MIB, Disk, need, pattern,
                      run, settle)
from lib.tap import (Skip, check, equal, main, note, patience,
                     test, wait_until)

RULES = HERE.parent / "tools/udev/60-stor.rules"
NAME = RULES.name
BY_ID = pathlib.Path("/dev/disk/by-id")
RUN = pathlib.Path("/run/udev/rules.d")
KEY = pattern("udev", 64)


def ready():
    """The rules at work, until this program ends."""
    context = tools.ready()
    need("udevadm", "lsblk", "blkid", "mkfs.ext4", "wipefs")
    if not RULES.exists():
        raise Skip(f"there is no {RULES}")
    if run("udevadm", "control", "--ping", check=False).returncode:
        raise Skip("udevd does not run")
    # /etc is stronger than /run.
    if any((pathlib.Path(folder) / NAME).exists()
           for folder in ("/etc/udev/rules.d", RUN)):
        raise Skip(f"a {NAME} is installed already")
    RUN.mkdir(parents=True, exist_ok=True)
    (RUN / NAME).write_bytes(RULES.read_bytes())
    run("udevadm", "control", "--reload")
    atexit.register(gone)
    return context


def gone():
    """The opposite of ready()."""
    (RUN / NAME).unlink(missing_ok=True)
    run("udevadm", "control", "--reload", check=False)


def do(tool, *args):
    """Run storadm, which has to succeed."""
    tool.says(0, "", "", *args)


def database(disk):
    """All that udev knows of a disk."""
    done = run("udevadm", "info", "--query=property", f"--name={disk}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def system(disk):
    """Type and label of the file system on a disk, by udev's database."""
    known = database(disk)
    return known.get("ID_FS_TYPE", ""), known.get("ID_FS_LABEL", "")


def shown(disk):
    """The same by lsblk."""
    done = run("lsblk", "--nodeps", "--noheadings", "--raw",
               "--output", "FSTYPE,LABEL", disk)
    kind, _, label = done.stdout.strip().partition(" ")
    return kind, label


def becomes(disk, kind, label):
    """Wait until udev knows; nobody tells it but the one who wrote."""
    def known():
        settle()
        return system(disk) == (kind, label)
    wait_until(known, f"udev does not know {kind or 'that nothing is'} on "
                      f"{disk}: {system(disk)}", 20)
    equal(shown(disk), (kind, label), f"lsblk of {disk}")


def partition(disk, start, length):
    """Write a partition table with one Linux partition, and have it read."""
    with Disk(disk) as opened:
        block = struct.unpack("=i", opened.ioctl(0x1268, bytes(4)))[0]
        entry = struct.pack("<4xB3xII", 0x83, start // block, length // block)
        opened.write(0, (bytes(446) + entry + bytes(48) + b"\x55\xaa")
                     .ljust(4096, b"\0"))

    def there():
        # udev has it read, too, when it sees the disk closed, and is in the
        # way while it looks.
        settle()
        if not os.path.exists(f"{disk}p1"):
            with contextlib.suppress(OSError), \
                    Disk(disk, os.O_RDONLY) as opened:
                opened.ioctl(BLKRRPART)
        return os.path.exists(f"{disk}p1")
    wait_until(there, f"no {disk}p1", 20)
    settle()


@test
def file_systems(stor, devices, _tool):
    """a file system made on a volume is known without being asked for"""
    stor.new("web", devices[0], length=64 * MIB)
    settle()
    equal(system("/dev/stor0"), ("", ""), "an empty volume")
    run("mkfs.ext4", "-q", "-F", "-L", "first", "/dev/stor0")
    becomes("/dev/stor0", "ext4", "first")
    run("mkfs.ext4", "-q", "-F", "-L", "second", "/dev/stor0")
    becomes("/dev/stor0", "ext4", "second")
    run("wipefs", "--all", "/dev/stor0")
    becomes("/dev/stor0", "", "")
    partition("/dev/stor0", 8 * MIB, 32 * MIB)
    equal(database("/dev/stor0").get("ID_PART_TABLE_TYPE"), "dos",
          "partition table")
    run("mkfs.ext4", "-q", "-F", "-L", "part", "/dev/stor0p1")
    becomes("/dev/stor0p1", "ext4", "part")
    stor.delete(name="web")


def leads(name, disk):
    """Fail unless a name in by-id is that of a disk."""
    path = BY_ID / name
    check(path.is_symlink(), f"no {path}; there are "
          f"{sorted(p.name for p in BY_ID.glob('stor*'))}")
    equal(os.path.realpath(path), disk, str(path))


@test
def names(stor, devices, _tool):
    """no name of a partition is that of a volume, in whatever order"""
    places = iter(range(0, 256 * MIB, 64 * MIB))
    for order in (("web", "web-part1"), ("web-part1", "web")):
        made = {}
        for name in order:
            made[name] = stor.new(name, devices[0], offset=next(places),
                                  length=64 * MIB)
            settle()
            if name == "web":
                disk = f"/dev/{made[name]['disk']}"
                partition(disk, 8 * MIB, 32 * MIB)
        # Looking again changes nothing.
        for _ in range(2):
            for name in order:
                volume = made[name]
                path = f"/dev/{volume['disk']}"
                leads(f"stor-{name}", path)
                leads(f"stor-uuid-{volume['uuid']}", path)
            leads("stor-web:part1", f"{disk}p1")
            leads(f"stor-uuid-{made['web']['uuid']}-part1", f"{disk}p1")
            run("udevadm", "trigger", "--subsystem-match=block",
                "--action=change")
            settle()
        links = sorted(path.name for path in BY_ID.glob("stor*"))
        equal(len(links), 6, f"number of names {links}")
        for volume in made.values():
            stor.delete(name=volume["name"])
        settle()
        equal(list(BY_ID.glob("stor*")), [], "names of deleted volumes")


@test
def locked(stor, devices, _tool):
    """udev does not wait for a locked volume, and forgets nothing of it"""
    with keys.key(KEY) as name:
        stor.new("web", devices[0], length=64 * MIB, key=name,
                 crypto_sector=4096)
        settle()
        run("mkfs.ext4", "-q", "-F", "-L", "first", "/dev/stor0")
        becomes("/dev/stor0", "ext4", "first")
        before = {key: value for key, value in database("/dev/stor0").items()
                  if key.startswith("ID_")}
        check("ID_FS_UUID" in before, f"known before: {before}")
        stor.lock("web", "hold")
        try:
            run("udevadm", "trigger", "--action=change", "/dev/stor0")
            run("udevadm", "settle", f"--timeout={patience(20):.0f}")
            after = database("/dev/stor0")
            equal({key: after.get(key) for key in before}, before,
                  "what is known")
        finally:
            stor.unlock("web")
        run("mkfs.ext4", "-q", "-F", "-L", "second", "/dev/stor0")
        becomes("/dev/stor0", "ext4", "second")
        stor.delete(name="web")


@test
def deleted_at_once(_stor, devices, tool):
    """storadm deletes a volume right after mkfs, while udev looks at it"""
    failed = []
    for n in range(20):
        tool.says(0, "/dev/stor0\n", "", "volume", "create", "web",
                  "--backing", devices[0], "--length", "64M")
        run("mkfs.ext4", "-q", "-F", "/dev/stor0")
        done = tool.run("volume", "delete", "web")
        if done.returncode:
            failed.append(f"{n}: {done.stderr.strip()}")
            settle()
            do(tool, "volume", "delete", "web")
    note(f"{len(failed)} of 20 failed")
    equal(failed, [], "failures")


main(ready, tools.cleanup)
