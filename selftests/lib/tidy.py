# SPDX-License-Identifier: GPL-2.0
"""What a program has left on the machine, and how it is taken away."""

import contextlib
import os
import pathlib
import subprocess
import time

BLOCK = pathlib.Path("/sys/block")
CONFIG = pathlib.Path("/sys/kernel/config")
# Modules that only tests load, and that make devices by themselves.
MODULES = ("scsi_debug",)


def _text(path):
    try:
        return path.read_text().strip()
    except OSError:  # gone meanwhile
        return ""


def _mounts():
    """Mounts of block devices, the last one first."""
    lines = _text(pathlib.Path("/proc/self/mounts")).splitlines()
    words = [line.split() for line in lines]
    # Spaces and the like are octal there.
    return [where.encode().decode("unicode_escape") for what, where, *_ in words[::-1]
            if what.startswith("/dev/")]


def _swaps():
    return [line.split()[0] for line in
            _text(pathlib.Path("/proc/swaps")).splitlines()[1:]]


def _run(*command):
    """What it says of a failure; never waits for long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              check=False, timeout=60)
        return done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as why:
        return str(why)


def _family():
    # Here, as the module need not be loaded, and names are of its header.
    from .stor import Stor  # pylint: disable=import-outside-toplevel
    return Stor()


def _volume_gone(disk):
    family = _family()
    (volume,) = (each for each in family.dump() if each["disk"] == disk)
    if volume["state"] == "locked":
        family.lock(volume["name"], "fail")  # what is held keeps it open
    family.raw_delete(index=volume["index"])


def _dm_gone(name):
    # Suspended, it would hold what stands on it for ever.
    _run("dmsetup", "resume", name)
    _run("dmsetup", "remove", "--force", name)


def _module_back():
    from .stor import load  # pylint: disable=import-outside-toplevel
    load()


def _found():
    """All there is now: how each is called, and what takes it away."""
    things = {f"swap {path}": lambda path=path: _run("swapoff", path)
              for path in _swaps()}
    things |= {f"mount {path}": lambda path=path: _run("umount", path)
               for path in _mounts()}
    for disk in sorted(path.name for path in BLOCK.iterdir()):
        if disk.startswith("stor"):
            things[f"volume {disk}"] = lambda disk=disk: _volume_gone(disk)
        elif name := _text(BLOCK / disk / "dm/name"):
            things[f"dm {name}"] = lambda name=name: _dm_gone(name)
        elif (BLOCK / disk / "md").exists():
            things[f"md {disk}"] = lambda disk=disk: _run(
                "mdadm", "--stop", f"/dev/{disk}")
        elif (BLOCK / disk / "loop/backing_file").exists():
            things[f"loop {disk}"] = lambda disk=disk: _run(
                "losetup", "--detach", f"/dev/{disk}")
    for folder in (CONFIG / "nullb").glob("*/"):
        things[f"null_blk {folder.name}"] = folder.rmdir
    for port in (CONFIG / "nvmet").glob("ports/*/subsystems/*"):
        things[f"nvmet {port.name}"] = port.unlink
    for name in MODULES:
        if pathlib.Path("/sys/module", name).exists():
            things[f"module {name}"] = lambda name=name: _run(
                "modprobe", "-r", name)
    return things


class Before:
    """The machine as it is now, to come back to."""

    def __init__(self):
        self.things = set(_found())
        self.module = pathlib.Path("/sys/module/stor").exists()

    def left(self):
        """What has come since, by name, with what takes it away."""
        return {name: remove for name, remove in _found().items()
                if name not in self.things}

    def restore(self):
        """Take away what was left; gives its names, and those that stay."""
        told = []
        # Nothing of it may be on its way out by itself: udev has the last
        # volume open for a moment, a module is busy as long as its devices.
        for attempt in range(3):
            if not (found := self.left()):
                break
            if attempt == 2:
                told += found
            time.sleep(0.2)
        # One stands on another, whichever way round: as often as it takes.
        for _ in range(10):
            if not (found := self.left()):
                break
            for remove in found.values():
                # Netlink's refusals are no OSError.
                with contextlib.suppress(Exception):
                    remove()
            _run("udevadm", "settle", "--timeout=20")
        stay = list(self.left())
        if self.module and not pathlib.Path("/sys/module/stor").exists():
            told.append("the module, unloaded")
            try:
                _module_back()
            except Exception as why:
                stay.append(f"the module can not be loaded: {why}")
        return told, stay


def end_all(grace, patience):
    """Kill all descendants that do not end by themselves; gives their names.

    A subreaper gets the children of whoever of them dies, so none is missed
    that has a session of its own.
    """
    lived, now = {}, time.monotonic()
    grace, end = now + grace, now + grace + patience
    while found := _children():
        for pid in found:
            name = _text(pathlib.Path(f"/proc/{pid}/comm"))
            state = _text(pathlib.Path(f"/proc/{pid}/stat")).rpartition(") ")[2][:1]
            if state not in ("Z", "") and time.monotonic() >= grace:
                lived[pid] = name
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > end:
            lived |= {pid: f"{name} (can not be killed)"
                      for pid, name in lived.items() if pid in _children()}
            break
        time.sleep(0.05)
    return list(lived.values())


def _children():
    """Our children, by number; theirs come to us when they are dead."""
    return [int(pid) for path in pathlib.Path("/proc/self/task").glob("*/children")
            for pid in _text(path).split()]
