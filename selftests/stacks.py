#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Load on all that a volume can stand on, and that can stand on volumes.

STOR_TEST_STACKS says how many times the least I/O is done: 1 by default.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
import random
import tempfile
import time
import traceback

from lib import keys
from lib.fio import VERIFY, fio, load
from lib.lower import mapped, multipath, null_blk
from lib.stats import failures, stat
from lib.stor import (Disk, MIB, call, clean, error_of, need, number_of,
                      one_of_each, pattern, run, settle, setup)
from lib.tap import (Skip, check, equal, in_thread, main, note, test,
                     wait_until)

SCALE = int(os.environ.get("STOR_TEST_STACKS", "1"))
LENGTH = 320 * MIB  # XFS wants no less than 300
DEPTH_ONE = {"memory_backed": 1, "submit_queues": 1, "hw_queue_depth": 1}
PROCESSES = 4


class Tree:
    """One process's part of a file system, and what has to be in it."""

    def __init__(self, folder, seed):
        self.folder, self.rng = pathlib.Path(folder), random.Random(seed)
        self.files, self.count = {}, 0
        self.folder.mkdir()

    def step(self):
        """Do something."""
        how = self.rng.choice(("make", "make", "write", "append", "cut",
                               "punch", "move", "remove", "sync", "look"))
        if how == "make" or not self.files:
            self.count += 1
            data = self.rng.randbytes(self.rng.randrange(1, 200000))
            self.put(f"f{self.count}", 0, data, b"")
            return
        name = self.rng.choice(sorted(self.files))
        data, path = self.files[name], self.folder / name
        if how in ("write", "append"):
            at = len(data) if how == "append" else self.rng.randrange(
                len(data) + 1)
            self.put(name, at, self.rng.randbytes(
                self.rng.randrange(1, 50000)), data)
        elif how == "cut":
            size = self.rng.randrange(len(data) + 20000)
            os.truncate(path, size)
            self.files[name] = data[:size].ljust(size, b"\0")
        elif how == "punch" and len(data) > 1:
            at = self.rng.randrange(len(data))
            length = self.rng.randrange(1, len(data) - at + 1)
            with path.open("r+b") as file:
                call("fallocate", file.fileno(), 3, at, length)
            self.files[name] = (data[:at] + bytes(length) +
                                data[at + length:])
        elif how == "move":
            other = f"f{self.rng.randrange(self.count + 1)}"
            path.rename(self.folder / other)
            self.files[other] = self.files.pop(name)
        elif how == "remove":
            path.unlink()
            del self.files[name]
        elif how == "sync":
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            equal(hashlib.sha256(path.read_bytes()).hexdigest(),
                  hashlib.sha256(data).hexdigest(), f"sum of {path}")

    def put(self, name, at, data, before):
        """Write to a file."""
        with (self.folder / name).open("r+b" if before else "wb") as file:
            file.seek(at)
            file.write(data)
        self.files[name] = before[:at] + data + before[at + len(data):]

    def check(self):
        """Compare all of it."""
        equal(sorted(path.name for path in self.folder.iterdir()),
              sorted(self.files), "files")
        for name, data in self.files.items():
            check((self.folder / name).read_bytes() == data,
                  f"{self.folder / name} differs")


def stress(folder, device, mount):
    """Several processes change files; all is there after a new mount."""
    trees = []
    for number in range(PROCESSES):
        out = os.pipe()
        pid = os.fork()
        if pid == 0:
            text = "failed"
            try:
                tree = Tree(f"{folder}/p{number}", number)
                for _ in range(60 * SCALE):
                    tree.step()
                text = "done"
            except Exception:
                text = traceback.format_exc()
            os.write(out[1], text.encode()[:60000])
            os._exit(0)
        os.close(out[1])
        trees.append((pid, out[0]))
    for pid, pipe in trees:
        with os.fdopen(pipe) as file:
            text = file.read()
        equal(os.waitpid(pid, 0)[1], 0, "status of a process")
        equal(text, "done", "what a process says")
    run("umount", folder)
    run(*mount, device, folder)
    # The same steps again, elsewhere, say what has to be there.
    with tempfile.TemporaryDirectory() as elsewhere:
        for number in range(PROCESSES):
            tree = Tree(f"{elsewhere}/p{number}", number)
            for _ in range(60 * SCALE):
                tree.step()
            tree.folder = pathlib.Path(folder, f"p{number}")
            tree.check()


def file_systems(device):
    """Make file systems on a device, one by one, and use them."""
    for kind, make, repair in (
            ("ext4", ("mkfs.ext4", "-q", "-F"), ("fsck.ext4", "-f", "-n")),
            ("xfs", ("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n"))):
        need(make[0], repair[0])
        settle()
        run(*make, device)
        with tempfile.TemporaryDirectory() as folder:
            mount = ("mount", "-t", kind)
            run(*mount, device, folder)
            try:
                stress(folder, device, mount)
                run("fstrim", folder, check=False)
            finally:
                settle()
                run("umount", folder)
        run(*repair, device)


def verify(path, size=f"{SCALE}m"):
    """fio with several jobs and large I/O."""
    settle()
    done = fio({
        "small": {"rw": "randrw", "bs": "4k", "iodepth": 32,
                  "iodepth_batch_submit": 16, "numjobs": 4},
        "large": {"rw": "randrw", "bs": "1m", "iodepth": 4, "size": "8m",
                  "offset": "32m", "ioengine": "io_uring"},
        "mixed": {"rw": "randwrite", "bsrange": "4k-512k", "size": "8m",
                  "offset": "48m", "fsync": 8, "iodepth": 8},
    }, **{**VERIFY, "size": size}, filename=path, offset_increment="8m",
        group_reporting=1)
    for name, job in done.items():
        check(job["read"]["io_bytes"] and job["write"]["io_bytes"],
              f"{name} did nothing")


def no_errors(stor):
    """No I/O of any volume has failed, and none is left."""
    settle()
    for volume in stor.dump():
        name, disk = volume["name"], volume["disk"]
        equal(failures(stor, name), {}, f"failed I/Os of {name}")
        equal(number_of(f"/sys/block/{disk}/stor/inflight"), 0,
              f"in flight of {name}")


@test
def nvme(stor, devices):
    """on bare drives"""
    for device in one_of_each(devices):
        stor.new("one", device, offset=MIB, length=LENGTH)
        verify("/dev/stor0")
        file_systems("/dev/stor0")
        no_errors(stor)
        stor.delete(name="one")


@test
def linear(stor, devices):
    """on dm-linear, which is bio-based, with a seam in it"""
    half = LENGTH // 2 // 512
    with mapped("stortest-linear",
                f"0 {half} linear {devices[0]} 0\n"
                f"{half} {half} linear {devices[0]} {2 * half}\n") as lower:
        stor.new("one", lower)
        verify("/dev/stor0")
        file_systems("/dev/stor0")
        no_errors(stor)
        stor.delete(name="one")


@contextlib.contextmanager
def striped(*members):
    """An md raid0."""
    need("mdadm")
    run("modprobe", "raid0", check=False)
    done = run("mdadm", "--create", "/dev/md/stortest", "--run", "--force",
               "--level=0", "--chunk=64", f"--raid-devices={len(members)}",
               "--metadata=1.2", *members, check=False)
    if done.returncode:
        raise Skip(f"no md raid0: {done.stderr}")
    try:
        settle()
        yield os.path.realpath("/dev/md/stortest")
    finally:
        settle()
        run("mdadm", "--stop", "/dev/md/stortest")
        for member in members:
            run("mdadm", "--zero-superblock", member, check=False)


@test
def on_stripes(stor, _devices):
    """on md raid0"""
    with null_blk("stortest0", size=176, memory_backed=1), \
            null_blk("stortest1", size=176, memory_backed=1), \
            striped("/dev/stortest0", "/dev/stortest1") as path:
        stor.new("one", path, offset=MIB, length=LENGTH)
        verify("/dev/stor0")
        file_systems("/dev/stor0")
        no_errors(stor)
        stor.delete(name="one")


@test
def below_stripes(stor, devices):
    """md raid0 of two volumes, of one drive"""
    for number in range(2):
        stor.new(f"part{number}", devices[0], offset=number * 176 * MIB,
                 length=176 * MIB)
    settle()
    with striped("/dev/stor0", "/dev/stor1") as path:
        verify(path)
        file_systems(path)
        no_errors(stor)
    for number in range(2):
        stor.delete(name=f"part{number}")


@test
def below_multipath(stor, _devices):
    """request-based dm, which hands requests on where nobody may sleep"""
    if os.path.exists("/sys/kernel/debug/kmemleak"):
        raise Skip("the block layer itself complains on a debug kernel")
    run("modprobe", "dm-service-time", check=False)
    with null_blk(size=176, irqmode=2, completion_nsec=100000, **DEPTH_ONE):
        stor.new("one", "/dev/stortest")
        settle()
        with mapped("stortest-paths",
                    f"0 {176 * MIB // 512} multipath 2 queue_mode mq 0 1 1 "
                    "service-time 0 1 2 /dev/stor0 1 1") as path:
            verify(str(path))
        no_errors(stor)
        stor.delete(name="one")


@test
def below_multipath_locked(stor, _devices):
    """request-based dm on a locked volume: no write ends before it is written"""
    if os.path.exists("/sys/kernel/debug/kmemleak"):
        raise Skip("the block layer itself complains on a debug kernel")
    run("modprobe", "dm-service-time", check=False)
    with null_blk(size=176, memory_backed=1), \
            keys.key(pattern(1, 64)) as key:
        stor.new("one", "/dev/stortest", key=key)
        settle()
        with mapped("stortest-paths",
                    f"0 {176 * MIB // 512} multipath 2 queue_mode mq 0 1 1 "
                    "service-time 0 1 2 /dev/stor0 1 1") as path, \
                Disk(str(path)) as disk:
            disk.write(0, pattern(1, MIB))
            stor.lock("one", "hold")
            joins = [in_thread(disk.write, at * 65536, pattern(at, 65536))
                     for at in range(16)]
            for join in joins:
                wait_until(join.sleeps, "a write that waits")
            # It is one thing to wait, and another to be done.
            stor.gate(name="one")
            time.sleep(1)
            check(all(join.sleeps() for join in joins), "a write has ended")
            stor.unlock("one")
            for join in joins:
                join()
            for at in range(16):
                equal(disk.read(at * 65536, 65536), pattern(at, 65536),
                      f"write {at}")
        no_errors(stor)
        stor.delete(name="one")


@test
def on_multipath(stor, devices):
    """NVMe multipath: paths go and come, then there is none"""
    with keys.key(pattern(1, 64)) as key, multipath(devices[0]) as lower:
        for how in ({}, {"key": key}):
            stor.new("one", lower, offset=MIB, length=LENGTH, **how)
            verify("/dev/stor0")
            with load({"paths": {"rw": "randrw", "bsrange": "4k-128k",
                                 "iodepth": 16, "size": "8m"}},
                      **VERIFY, filename="/dev/stor0"):
                for _ in range(3 * SCALE):
                    lower.connect()
                    lower.disconnect(lower.controllers()[0])
            equal(len(lower.controllers()), 2, "paths")
            no_errors(stor)
            stor.delete(name="one")
        stor.new("one", lower, offset=MIB, length=LENGTH, key=key)
        file_systems("/dev/stor0")
        no_errors(stor)
        for controller in lower.controllers():
            lower.disconnect(controller)
        wait_until(lambda: stor.get(name="one")["state"] == "failed",
                   "the volume's failure")
        with Disk("/dev/stor0") as disk:
            equal(error_of(disk.read, 0, 4096), errno.EIO, "errno of a read")
        stor.delete(name="one")


@test
def on_itself(stor, devices):
    """stor on stor on stor"""
    path = devices[-1]
    for level in range(3):
        stor.new(f"level{level}", path, offset=MIB,
                 length=LENGTH + (2 - level) * MIB)
        path = f"/dev/stor{level}"
    verify(path)
    file_systems(path)
    no_errors(stor)
    for level in (2, 1, 0):
        stor.delete(name=f"level{level}")


@test
def encrypted(stor, devices):
    """encrypted: on drives, on dm-linear, on each other, one at a time"""
    with keys.key(pattern(1, 64)) as key:
        for device in one_of_each(devices):
            stor.new("one", device, offset=MIB, length=LENGTH, key=key)
            verify("/dev/stor0")
            file_systems("/dev/stor0")
            no_errors(stor)
            stor.delete(name="one")
        with mapped("stortest-linear", f"0 {LENGTH // 512} linear "
                    f"{devices[0]} 0\n") as lower:
            stor.new("one", lower, key=key, discard=1)
            verify("/dev/stor0")
            file_systems("/dev/stor0")
            no_errors(stor)
            stor.delete(name="one")
        with null_blk(size=336, **DEPTH_ONE):
            stor.new("low", "/dev/stortest", key=key)
            stor.new("top", "/dev/stor0", key=key, offset=MIB)
            verify("/dev/stor1")
            file_systems("/dev/stor1")
            no_errors(stor)
            stor.delete(name="top")
            stor.delete(name="low")


@test
def depth_one(stor, _devices):
    """one request at a time below: many jobs, and all that stacks"""
    with null_blk(size=336, **DEPTH_ONE):
        stor.new("one", "/dev/stortest", length=LENGTH + MIB)
        verify("/dev/stor0")
        file_systems("/dev/stor0")
        stor.new("two", "/dev/stor0", offset=MIB)
        verify("/dev/stor1")
        no_errors(stor)
        stor.delete(name="two")
        stor.delete(name="one")


@test
def mixed_plugs(stor, _devices):
    """one task, one batch: the device itself and volumes on it, depth 1"""
    with null_blk(size=112, **DEPTH_ONE):
        # The last part of the device stays bare.
        for number in range(2):
            stor.new(f"part{number}", "/dev/stortest",
                     offset=number * 32 * MIB, length=32 * MIB)
        stor.new("top", "/dev/stor1", length=16 * MIB)
        sectors = 32 * MIB // 512
        settle()
        for engine in ("libaio", "io_uring"):
            # A device with a holder takes no second exclusive opener, and
            # plain openers are welcome.
            fio({"batch": {"rw": "randrw", "bs": "4k", "iodepth": 32,
                           "iodepth_batch_submit": 32,
                           "iodepth_batch_complete_min": 16,
                           "filename": "/dev/stor0:/dev/stortest:/dev/stor2",
                           "file_service_type": "roundrobin:1",
                           "offset": "8m", "size": f"{2 * SCALE}m",
                           "nrfiles": 3, "numjobs": 1}},
                direct=1, thread=1, ioengine=engine, randseed=7)
            verify_two = {
                f"v{number}": {"filename": path, "offset": offset}
                for number, (path, offset) in enumerate((
                    ("/dev/stor0", "0"), ("/dev/stor2", "0"),
                    ("/dev/stortest", f"{sectors * 2 * 512}")))}
            fio(verify_two, **{**VERIFY, "ioengine": engine}, rw="randrw",
                bs="4k", iodepth=32, iodepth_batch_submit=16,
                size=f"{SCALE}m")
        no_errors(stor)
        for name in ("top", "part1", "part0"):
            stor.delete(name=name)


@test
def tried(stor, _devices):
    """what must not wait below, and would, goes down later and whole"""
    # A batch larger than a plug is flushed while the last request is on its
    # way into it, so its bios are tried. With two requests below most of them
    # come back, and those below have changed them. io_uring asks not to wait
    # by itself, libaio does not.
    with keys.key(pattern(1, 64)) as key:
        for name, how in (("plain", {}),
                          ("encrypted", {"key": key, "crypto_sector": 512})):
            note(name)
            try_two(stor, how)


def try_two(stor, how):
    """The same, on volumes that are made so."""
    size = 16 * MIB
    with null_blk(size=64, memory_backed=1, submit_queues=1,
                  hw_queue_depth=2, irqmode=2, completion_nsec=100000):
        stor.new("low", "/dev/stortest", **how)
        stor.new("top", "/dev/stor0", **how)
        settle()
        lower = pathlib.Path("/sys/block/stortest/stat")
        before = int(lower.read_text().split()[6])
        fio({"v": {"filename": "/dev/stor1", "rw": "randwrite", "bs": "4k",
                   "iodepth": 128, "iodepth_batch_submit": 128,
                   "iodepth_batch_complete_min": 64, "size": size}}, **VERIFY)
        written = int(lower.read_text().split()[6]) - before
        equal(written, size // 512, "sectors written below")
        check(stat(stor, "low").failed.get("again", 0) > 0,
              "nothing was tried in vain")
        equal(stat(stor, "top").failed, {}, "failures of who has not asked")
        for name in ("top", "low"):
            stor.delete(name=name)


@test
def swapping(stor, _devices):
    """swap on a volume, one request at a time below: nothing is stuck"""
    need("mkswap", "swapon")
    group = pathlib.Path("/sys/fs/cgroup/stor-selftest")
    if not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        raise Skip("no cgroup2")
    with null_blk(size=128, **DEPTH_ONE):
        stor.new("one", "/dev/stortest")
        settle()
        run("mkswap", "/dev/stor0")
        run("swapon", "/dev/stor0")
        try:
            pathlib.Path("/sys/fs/cgroup/cgroup.subtree_control").write_text(
                "+memory")
            group.mkdir()
            (group / "memory.max").write_text(str(24 * MIB))
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    (group / "cgroup.procs").write_text("0")
                    pages = [pattern(number, 65536) for number in range(640)]
                    for _ in range(SCALE):
                        for number, page in enumerate(pages):
                            if page != pattern(number, 65536):
                                os._exit(2)
                    code = 0
                finally:
                    os._exit(code)
            equal(end_of(pid), 0, "status: 512 is wrong data in memory")
        finally:
            run("swapoff", "/dev/stor0")
            with contextlib.suppress(OSError):
                group.rmdir()
        writes = number_of("/sys/block/stor0/stor/writes")
        reads = number_of("/sys/block/stor0/stor/reads")
        note(f"{writes} writes, {reads} reads")
        check(writes > 20 and reads > 20, "it has hardly swapped")
        no_errors(stor)
        stor.delete(name="one")


def end_of(pid):
    """The status of a process that has to end."""
    status = []

    def ended():
        found, code = os.waitpid(pid, os.WNOHANG)
        if found:
            status.append(code)
        return found
    wait_until(ended, "the end of who swaps", 120)
    return status[0]


main(setup, clean)
