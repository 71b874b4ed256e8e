# SPDX-License-Identifier: GPL-2.0
"""The devices under measurement, made in the VM."""

import contextlib
import os
import pathlib
import subprocess
import sys
import typing

MODULE = f"build/kmod/{os.uname().release}/stor.ko"
CIPHER = "build/bench/cipher/cipher.ko"

# Of AES-256-XTS.
KEY = bytes(range(1, 65))


def run(*command: str, text: bytes = b"") -> str:
    """Run a command that must succeed, with a text to read; gives its output."""
    done = subprocess.run(command, capture_output=True, input=text)
    if done.returncode != 0:
        why = (done.stderr or done.stdout).decode().strip()
        sys.exit(f"error: {' '.join(command)}: {why}")
    return done.stdout.decode()


def sysfs(disk: str, name: str) -> pathlib.Path:
    """An attribute of a disk."""
    return pathlib.Path("/sys/block") / disk / name


def can_poll(disk: str) -> bool:
    """Whether it takes polled I/O, so that fio's hipri is no empty word."""
    return sysfs(disk, "queue/io_poll").read_text().strip() == "1"


def null_blk(cpus: int) -> str:
    """A disk that completes in the submission (irqmode=0) and holds no data.

    Without max_sectors it takes 255 at a time, and splits 128 KiB.
    """
    run("modprobe", "null_blk", "nr_devices=1", "gb=4", "queue_mode=2", "irqmode=0",
        "max_sectors=2560", "hw_queue_depth=256", f"submit_queues={cpus}", f"poll_queues={cpus}")
    return "nullb0"


def null_blk_cached() -> str:
    """One that has a write cache to be flushed, for which it must hold data."""
    if not pathlib.Path("/sys/kernel/config").is_mount():
        run("mount", "-t", "configfs", "none", "/sys/kernel/config")
    config = pathlib.Path("/sys/kernel/config/nullb/nullb1")
    config.mkdir()
    for key, value in {"size": 64, "memory_backed": 1, "cache_size": 32, "queue_mode": 2,
                       "irqmode": 0, "power": 1}.items():
        (config / key).write_text(f"{value}\n")
    return "nullb1"


def lower(name: str, flushes: bool, cpus: int = 1) -> str:
    """The disk of a lower device."""
    if name == "nvme":
        return "nvme0n1"
    disk = "nullb0" if sysfs("nullb0", "size").exists() else null_blk(cpus)
    if flushes:
        disk = "nullb1" if sysfs("nullb1", "size").exists() else null_blk_cached()
    return disk


@contextlib.contextmanager
def dm(disk: str, target: str) -> typing.Iterator[str]:
    """A device-mapper device of one target that covers the whole disk."""
    sectors = sysfs(disk, "size").read_text().strip()
    run("dmsetup", "create", "bench", "--table", f"0 {sectors} {target}")
    try:
        yield pathlib.Path("/dev/mapper/bench").resolve().name
    finally:
        run("udevadm", "settle")
        run("dmsetup", "remove", "--retry", "bench")


def dm_crypt(disk: str, sector: int, *options: str) -> str:
    """The target of dm-crypt."""
    run("modprobe", "-a", "aesni_intel", "dm-crypt")
    words = ([f"sector_size:{sector}"] if sector != 512 else []) + list(options)
    more = f" {len(words)} {' '.join(words)}" if words else ""
    return f"crypt aes-xts-plain64 {KEY.hex()} 0 /dev/{disk} 0{more}"


def cipher(sector: int, size: int, seal: bool) -> int:
    """What the cipher costs by itself, for so many bytes."""
    run("modprobe", "aesni_intel")
    run("insmod", CIPHER, f"sector={sector}", f"bytes={size}", f"seal={int(seal)}")
    cost = int(pathlib.Path("/sys/module/cipher/parameters/cost").read_text())
    run("rmmod", "cipher")
    return cost


@contextlib.contextmanager
def stor(disk: str, *parameters: str, sector: int = 0, inline: bool = False
         ) -> typing.Iterator[str]:
    """A volume that covers the whole disk, with the module loaded for it.

    With sectors it is encrypted: by itself, or by who is below.
    """
    run("insmod", MODULE, *parameters)
    run("udevadm", "settle")
    options: list[str] = []
    if sector:
        run("storadm", "key", "add", "stor:bench", text=KEY)
        options = ["--key", "logon:stor:bench", "--sector-size", str(sector)]
        if inline:
            options += ["--crypto-engine", "blk-crypto", "--iv-large-sectors"]
    run("storadm", "volume", "create", "bench", "--backing", f"/dev/{disk}", *options)
    try:
        yield "stor0"
    finally:
        run("udevadm", "settle")
        run("storadm", "volume", "delete", "bench")
        run("rmmod", "stor")


def missing(name: str) -> str:
    """Why there is no such device here, or nothing."""
    if name == "stor-nostat" and "stats:" not in run("modinfo", "-p", MODULE):
        return "this stor.ko has no parameter stats"
    return ""


@contextlib.contextmanager
def device(name: str, disk: str) -> typing.Iterator[str]:
    """Make the device of that name over a disk; gives the name of its own disk."""
    with contextlib.ExitStack() as stack:
        if name == "raw":
            top = disk
        elif name == "dm-linear":
            top = stack.enter_context(dm(disk, f"linear /dev/{disk} 0"))
        elif name == "dm-multipath":
            run("modprobe", "-a", "dm-multipath", "dm-service-time")
            target = f"multipath 2 queue_mode mq 0 1 1 service-time 0 1 2 /dev/{disk} 1 1"
            top = stack.enter_context(dm(disk, target))
        elif name in ("dm-crypt", "dm-crypt-4k", "dm-crypt-direct", "dm-crypt-direct-4k"):
            sector = 4096 if name.endswith("4k") else 512
            direct = ("no_read_workqueue", "no_write_workqueue") if "direct" in name else ()
            top = stack.enter_context(dm(disk, dm_crypt(disk, sector, *direct)))
        elif name in ("stor-crypt", "stor-crypt-4k", "stor-inline", "stor-inline-4k"):
            sector = 4096 if name.endswith("4k") else 512
            top = stack.enter_context(stor(disk, sector=sector, inline="inline" in name))
        elif name == "stor":
            top = stack.enter_context(stor(disk))
        elif name == "stor-nostat":
            top = stack.enter_context(stor(disk, "stats=0"))
        else:
            sys.exit(f"error: nothing makes a device {name}")
        run("udevadm", "settle")
        yield top
