# SPDX-License-Identifier: GPL-2.0
"""Devices for a volume to stand on, made for one test."""

import contextlib
import os
import pathlib
import time

from . import netlink, tap
from .stor import Disk, MIB, Stor, need, run, settle


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


@contextlib.contextmanager
def scsi_debug(*options):
    """A disk of scsi_debug's; gives its path."""
    if run("modprobe", "scsi_debug", *options, check=False).returncode:
        raise tap.Skip("no scsi_debug")
    try:
        found = tap.wait_until(lambda: list(pathlib.Path(
            "/sys/bus/pseudo/drivers/scsi_debug").glob(
                "adapter*/host*/target*/*/block/*")), "the SCSI disk")
        settle()
        yield f"/dev/{found[0].name}"
    except BaseException:
        vacate()
        raise
    finally:
        settle()
        tap.wait_until(lambda: run("modprobe", "-r", "scsi_debug",
                                   check=False).returncode == 0,
                       "the end of scsi_debug", 20)


class Multipath:
    """An NVMe namespace with several controllers: the kernel's own multipath."""

    NQN = "nqn.2026-11.org.example:stortest"
    HOST = ("hostnqn=nqn.2014-08.org.nvmexpress:uuid:"
            "a3f1c5d2-0b77-4a56-9d0e-51c6b5f0e001,"
            "hostid=a3f1c5d2-0b77-4a56-9d0e-51c6b5f0e001")

    def __init__(self, paths):
        for _ in range(paths):
            self.connect()
        self.path = f"/dev/{tap.wait_until(self._head, 'the namespace').name}"

    def __str__(self):
        return self.path

    def _subsystem(self):
        for folder in pathlib.Path("/sys/class/nvme-subsystem").glob("*/"):
            if (folder / "subsysnqn").read_text().strip() == self.NQN:
                return folder
        return None

    def _head(self):
        folder = self._subsystem()
        heads = folder and [path for path in folder.glob("nvme*n1")
                            if (path / "size").exists()]
        return heads and heads[0]

    def controllers(self):
        """Their folders in sysfs, in the order they came."""
        folder = self._subsystem()
        return sorted((path.resolve() for path in folder.glob("nvme*")
                       if (path / "subsysnqn").exists()),
                      key=lambda path: int(path.name[4:])) if folder else []

    def connect(self):
        """One more controller; gives its folder in sysfs."""
        fd = os.open("/dev/nvme-fabrics", os.O_RDWR)
        try:
            os.write(fd, f"transport=loop,nqn={self.NQN},{self.HOST}".encode())
            number = int(os.read(fd, 100).split(b",")[0].split(b"=")[1])
        finally:
            os.close(fd)
        return pathlib.Path(f"/sys/class/nvme/nvme{number}")

    def disconnect(self, controller):
        """Take one away, and what waits for it goes by another."""
        (controller / "delete_controller").write_text("1")


@contextlib.contextmanager
def multipath(below, paths=2):
    """A Multipath over a device, by the NVMe target of this same kernel."""
    for module in ("nvmet", "nvme-loop"):
        if run("modprobe", module, check=False).returncode:
            raise tap.Skip(f"no {module}")
    if not os.path.exists("/sys/class/nvme-subsystem"):
        raise tap.Skip("this kernel has no NVMe multipath")
    target = pathlib.Path("/sys/kernel/config/nvmet")
    subsystem = target / "subsystems" / Multipath.NQN
    namespace, port = subsystem / "namespaces/1", target / "ports/1"
    link = port / "subsystems" / Multipath.NQN
    subsystem.mkdir()
    try:
        (subsystem / "attr_allow_any_host").write_text("1")
        (subsystem / "attr_serial").write_text("stortest")
        namespace.mkdir()
        (namespace / "device_path").write_text(str(below))
        (namespace / "enable").write_text("1")
        port.mkdir()
        (port / "addr_trtype").write_text("loop")
        link.symlink_to(subsystem)
        made = Multipath(paths)
        settle()
        try:
            yield made
        except BaseException:
            vacate()
            raise
        finally:
            settle()
            for controller in made.controllers():
                made.disconnect(controller)
    finally:
        link.unlink(missing_ok=True)
        for folder in (port, namespace, subsystem):
            if folder.exists():
                folder.rmdir()
        run("modprobe", "-r", "nvme-loop", check=False)
        run("modprobe", "-r", "nvmet", check=False)
