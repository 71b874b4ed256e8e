#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A backing that is pulled out while it is in use, and put back."""

import contextlib
import errno
import os
import pathlib
import tempfile
import time

from lib.fio import Fio
from lib.stor import (Device, Disk, MIB, clean, error_of, need, pattern,
                      refused, run, settle, setup)
from lib.tap import Skip, check, equal, main, note, patience, test, wait_until


class Drive:
    """An NVMe drive that can be removed."""

    def __init__(self, devices):
        if "1" not in (os.environ.get("STOR_TEST_UNPLUG"),
                       os.environ.get("STOR_VM")):
            raise Skip("STOR_TEST_UNPLUG is not 1")
        for device in devices[::-1]:
            pci = (device.sys / "device/device").resolve()
            if (device.name.startswith("nvme") and
                    (pci / "remove").exists()):
                break
        else:
            raise Skip("no NVMe drive on PCI among the devices")
        self.pci, self.device = pci, device
        self.serial = (device.sys / "device/serial").read_text()

    def pull(self):
        """Surprise removal, as the kernel sees it."""
        (self.pci / "remove").write_text("1")

    def put_back(self):
        """Look for it again; it may have another name then."""
        pathlib.Path("/sys/bus/pci/rescan").write_text("1")

        def found():
            for path in pathlib.Path("/sys/block").glob("nvme*"):
                with contextlib.suppress(OSError):
                    serial = (path / "device/serial").read_text()
                    if serial == self.serial and os.path.exists(
                            f"/dev/{path.name}"):
                        return Device(f"/dev/{path.name}")
            return None
        self.device = wait_until(found, "the drive, after a rescan", 30)
        settle()


def ready():
    """What each test is called with."""
    stor, devices = setup()
    return stor, devices, Drive(devices)


def cleanup(stor, devices, drive):
    """No volume may be left, and the drive is there."""
    left = clean(stor, devices)
    if not drive.pci.exists() or not drive.device.sys.exists():
        drive.put_back()
    return left


@test
def during_io(stor, devices, drive):
    """pulled during I/O: it fails, the volumes are failed, and can go"""
    need("fio")
    device = drive.device
    bystander = devices[0] if devices[0] is not device else None
    sock = stor.monitor()
    stor.new("one", device, offset=MIB, length=64 * MIB)
    stor.new("two", device, offset=128 * MIB, length=MIB)
    if bystander:
        stor.new("other", bystander, length=MIB)
    stor.events(sock, 3 if bystander else 2)
    fio = Fio({"x": {"filename": "/dev/stor0", "rw": "randrw", "bs": "4k",
                     "iodepth": 32, "ioengine": "libaio", "direct": 1,
                     "time_based": 1, "runtime": 600, "size": "64m"}})
    try:
        pull_under(stor, drive, bystander, sock, fio)
    finally:
        fio.kill()


def pull_under(stor, drive, bystander, sock, fio):
    """The drive goes while fio uses volume one."""
    device = drive.device
    with Disk("/dev/stor1") as open_all_the_time:
        wait_until(lambda: Device("/dev/stor0").stat()["write"] > 200,
                   "some I/O", 30)
        begin = time.monotonic()
        drive.pull()
        code, _, words = fio.wait(30)
        seconds = time.monotonic() - begin
        note(f"the last I/O ended {seconds:.1f} s after the drive went")
        check(seconds < patience(15), "I/O took too long to fail")
        check(code == 1 and "error" in words, f"fio: {code} {words}")
        events = stor.events(sock, 2)
        equal([(name, volume["name"], volume["state"])
               for name, volume in events],
              [("FAIL_NTF", "one", "failed"), ("FAIL_NTF", "two", "failed")],
              "events")
        for name, state in (("one", "failed"), ("two", "failed"),
                            ("other", "live")):
            if name != "other" or bystander:
                equal(stor.get(name=name)["state"], state,
                      f"state of {name}")
        # An open disk can not go, but fails at once.
        begin = time.monotonic()
        for what in (lambda d: d.read(0, 4096),
                     lambda d: d.write(0, bytes(4096)),
                     lambda d: d.range(0x127F, 0, 4096),
                     lambda d: os.fsync(d.fd)):
            check(error_of(what, open_all_the_time) in
                  (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOSPC),
                  f"no error, or an odd one: "
                  f"{error_of(what, open_all_the_time)}")
        check(time.monotonic() - begin < patience(2), "I/O took long to fail")
        refused(errno.EBUSY, "stor1 of volume two is open",
                stor.raw_delete, name="two")
    refused(errno.ENOENT, f"backing: {device} does not exist", stor.new,
            "three", device, blames="backing")
    stor.delete(name="one")
    stor.delete(name="two")
    if bystander:
        with Disk("/dev/stor2") as disk:
            equal(len(disk.read(0, 4096)), 4096, "bytes of the other drive")
        stor.delete(name="other")
    drive.put_back()
    # As good as new.
    stor.new("one", drive.device, offset=MIB, length=MIB)
    with Disk("/dev/stor0") as disk:
        data = pattern(9, MIB)
        disk.write(0, data)
        equal(disk.read(0, MIB), data, "data")
    stor.delete(name="one")


@test
def mounted(stor, _devices, drive):
    """pulled below a mounted file system: it is shut down"""
    need("mkfs.ext4")
    stor.new("one", drive.device, length=64 * MIB)
    settle()
    run("mkfs.ext4", "-q", "-F", "/dev/stor0")
    with tempfile.TemporaryDirectory() as folder:
        run("mount", "/dev/stor0", folder)
        file = pathlib.Path(folder, "file")
        file.write_bytes(pattern(1, 100000))
        os.sync()
        drive.pull()
        wait_until(lambda: stor.get(name="one")["state"] == "failed",
                   "state failed")

        def write():
            with open(f"{folder}/more", "wb") as more:
                more.write(b"x" * 10000)
                more.flush()
                os.fsync(more.fileno())
        number = error_of(write)
        check(number in (errno.EIO, errno.EROFS, errno.ESHUTDOWN,
                         errno.ENODEV),
              f"writing ends with {errno.errorcode.get(number, number)}")
        note(f"writing ends with {errno.errorcode[number]}")
        settle()
        refused(errno.EBUSY, "stor0 of volume one is open",
                stor.raw_delete, name="one")
        run("umount", folder)
    stor.delete(name="one")
    drive.put_back()
    # What was synced is there.
    stor.new("one", drive.device, length=64 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        run("mount", "/dev/stor0", folder)
        equal(pathlib.Path(folder, "file").read_bytes(),
              pattern(1, 100000), "the file")
        run("umount", folder)
    stor.delete(name="one")


@test
def stacked(stor, _devices, drive):
    """pulled below stor on stor: all above it fail, and can go"""
    stor.new("low", drive.device, offset=MIB, length=32 * MIB)
    stor.new("top", "/dev/stor0", offset=MIB, length=16 * MIB)
    settle()
    drive.pull()
    for name in ("low", "top"):
        wait_until(lambda name=name: stor.get(name=name)["state"]
                   == "failed", f"{name} is failed")
    with Disk("/dev/stor1") as disk:
        equal(error_of(disk.read, 0, 4096), errno.EIO, "errno")
    settle()
    stor.delete(name="top")
    stor.delete(name="low")
    drive.put_back()


@test
def again(stor, _devices, drive):
    """pulled while volumes come and go, five times"""
    for count in range(5):
        pid = os.fork()
        if pid == 0:
            mine, code = type(stor)(), 0
            try:
                for number in range(100000):
                    try:
                        mine.new("one", drive.device, length=MIB)
                        with contextlib.suppress(OSError):
                            with Disk("/dev/stor0") as disk:
                                disk.write(0, bytes(4096))
                        mine.delete(name="one")
                    except Exception as why:
                        if getattr(why, "errno", 0) not in (
                                errno.EBUSY, errno.EEXIST):
                            break
            finally:
                os._exit(code)
        time.sleep(0.3 + 0.2 * count)
        drive.pull()
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid,
                   "the end of who makes volumes", 30)
        settle()
        for volume in stor.dump():
            equal(volume["state"], "failed", "state")
            stor.delete(index=volume["index"])
        drive.put_back()
        stor.new("one", drive.device)
        stor.delete(name="one")


main(ready, cleanup)
