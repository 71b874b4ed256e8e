# SPDX-License-Identifier: GPL-2.0
"""Devices for a volume to stand on, made for one test."""

import contextlib
import pathlib
import time

import netlink
import tap
from stor import MIB, Disk, Stor, need, run, settle


def vacate():
    """After a failure: nothing may stand on what is about to go."""
    with contextlib.suppress(netlink.Refused, OSError):
        tap.note(f"left behind: {Stor().clean()}")


class Mapped:
    """A device-mapper device."""

    def __init__(self, name):
        self.name, self.path = name, f"/dev/mapper/{name}"

    def __str__(self):
        return self.path

    def suspend(self, *options):
        """Hold back all I/O from now on."""
        run("dmsetup", "suspend", *options, self.name)

    def resume(self):
        """Let it go."""
        run("dmsetup", "resume", self.name)

    def table(self, text, *options):
        """Another table."""
        self.suspend(*options)
        run("dmsetup", "load", self.name, data=text)
        self.resume()


@contextlib.contextmanager
def mapped(name, table):
    """A device-mapper device, or a Skip if the kernel has no such target."""
    need("dmsetup")
    target = table.split()[2]
    run("modprobe", f"dm-{target}", check=False)
    done = run("dmsetup", "create", name, check=False, data=table)
    if done.returncode:
        targets = run("dmsetup", "targets").stdout
        if target not in targets.split():
            raise tap.Skip(f"no device-mapper target {target}")
        raise tap.Failure(done.stderr)
    settle()
    device = Mapped(name)
    try:
        yield device
    except BaseException:
        # Whoever still waits would wait for ever.
        run("dmsetup", "resume", name, check=False)
        vacate()
        run("dmsetup", "remove", "--retry", name, check=False)
        raise
    settle()
    run("dmsetup", "remove", "--retry", name)


@contextlib.contextmanager
def null_blk(name="stortest", **config):
    """A null_blk device; gives its folder in configfs, whose name it has."""
    if run("modprobe", "null_blk", "nr_devices=0", check=False).returncode:
        raise tap.Skip("no null_blk")
    folder = pathlib.Path("/sys/kernel/config/nullb") / name
    folder.mkdir()
    try:
        for key, value in config.items():
            if not (folder / key).exists():
                raise tap.Skip(f"null_blk without {key}")
            (folder / key).write_text(str(value))
        (folder / "power").write_text("1")
        settle()
        yield folder
    except BaseException:
        vacate()
        raise
    finally:
        settle()
        folder.rmdir()
        # udev may have the last one open for a moment.
        for _ in range(20):
            if not run("modprobe", "-r", "null_blk", check=False).returncode:
                break
            if list(folder.parent.glob("*/")):
                break
            time.sleep(0.2)


@contextlib.contextmanager
def polled_null_blk(**config):
    """The same, with data and with polled queues.

    What it has no memory for yet it allocates in the poll, where nobody may
    sleep, and a debug kernel says so: it is all written to before.
    """
    with null_blk(memory_backed=1, **config) as folder:
        with Disk("/dev/stortest") as disk:
            for at in range(0, config["size"] * MIB, MIB):
                disk.write(at, bytes(MIB))
        yield folder
