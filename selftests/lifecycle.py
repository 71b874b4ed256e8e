#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Many lives of the module and of volumes leave no memory behind.

Objects of each slab cache are counted (/proc/slabinfo) before and after, each
time with empty slabs given back and nothing on its way to be freed. What leaks
one object in each of N cycles, however small, adds N to its cache. What the
machine itself adds or takes has been less than 20 in any cache, so the limit of
N * 6 / 10 has room on either side for N = 60: a leak of one object of any
size in each cycle is seen, one in every second cycle is not. What is not from
slabs is seen in pages: by vmalloc, per CPU and unreclaimable, and all of them in
what is available.
"""

import os
import pathlib
import re
import resource
import time

from lib.stor import (C, Disk, MIB, Stor, backings, load, loaded, number_of,
                      pattern, ready, run, settle, unload)
from lib.tap import Skip, check, equal, main, note, test

CYCLES = int(os.environ.get("STOR_TEST_CYCLES", "60"))
WARM_UP = 10
# Lives of a volume only: they take as long each, and find the same.
VOLUMES = min(CYCLES, 40)
# Caches that are the machine's own business: of files, processes, and the
# network, which the test itself uses. And, of a debug kernel, what watches: it
# has an object for each timer and each piece of memory, and more in hand; lives
# of null_blk add some to them, too. What they watch is counted in its own cache,
# and kmemleak is asked when all tests are done.
IGNORE = re.compile(
    r"dentry|.*inode_cache|filp|file_lock.*|vm_area_struct|anon_vma.*|maple_"
    r"node|radix_tree_node|cred_jar|pid|files_cache|fs_cache|mm_struct|task_"
    r"struct|signal_cache|sighand_cache|task_group|thread_stack|nsproxy|names"
    r"_cache|buffer_head|skbuff.*|sock_inode.*|UNIX.*|kernfs_.*|lsm_.*|seq_"
    r"file|proc_.*|shmem.*|fuse_.*|virtio.*|vmap_area|Acpi.*|perf_event|uts_"
    r"namespace|sigqueue|numa_policy|ep.*|eventpoll.*|io_kiocb|user_.*|"
    r"trace_event_file|ftrace.*|ext4.*|jbd2.*|xfs.*|dm_.*|mnt_cache|"
    r"pool_workqueue|delayed_call.*|debug_objects_cache|kmemleak_.*")


def ready_to_load():
    """What each test is called with: devices, and no module."""
    devices = backings()
    ready()
    return (devices,)


def cleanup(_devices):
    """The module is there again for the next test."""
    if not loaded():
        load()
    return Stor().clean()


def at_rest():
    """The least of several readings.

    A CPU that needs one object takes a sheaf of some dozens, all of which
    count as in use; in one of several readings none has just done so.
    """
    caches, info = memory()
    for _ in range(4):
        more, more_info = memory()
        for name, (count, size) in more.items():
            caches[name] = (min(count, caches.get(name, (count,))[0]), size)
        for key, value in more_info.items():
            least = max if key == "MemAvailable" else min
            info[key] = least(info[key], value)
    return caches, info


def memory():
    """Objects of each slab cache, and some of /proc/meminfo in KiB."""
    run("sync")
    for _ in range(2):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    time.sleep(0.3)  # RCU
    shrink = pathlib.Path("/sys/kernel/slab")
    if shrink.exists():
        for cache in shrink.glob("*/shrink"):
            if not cache.parent.is_symlink():
                cache.write_text("1")
    found = {}
    for line in pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]:
        name, active, _, size, *_ = line.split()
        found[name] = (int(active), int(size))
    info = dict(re.findall(r"(\w+):\s+(\d+)",
                           pathlib.Path("/proc/meminfo").read_text()))
    # Free pages that CPUs keep for themselves count as used there.
    kept = re.findall(r"^\s+count:\s+(\d+)$",
                      pathlib.Path("/proc/zoneinfo").read_text(), re.M)
    info["MemAvailable"] = int(info["MemAvailable"]) + sum(
        map(int, kept)) * resource.getpagesize() // 1024
    return found, {key: int(info[key]) for key in
                   ("MemAvailable", "SUnreclaim", "VmallocUsed", "Percpu")}


def cycle(device, number):
    """One life: load, make, use, delete, unload."""
    load()
    stor = Stor()
    stor.new("one", device, offset=MIB, length=8 * MIB)
    settle()
    with Disk("/dev/stor0") as disk:
        data = pattern(number, 16384)
        disk.write(number % 64 * 16384, data)
        equal(disk.read(number % 64 * 16384, 16384), data, "data")
        os.fsync(disk.fd)
    stor.delete(name="one")
    stor.sock.close()
    unload()


def volume_cycle(stor, device):
    """A life of a volume only, with what is refused on the way."""
    for values in ({"name": "one", "offset": 8 * MIB},
                   {"name": "two", "index": 0},
                   {"name": "two", "offset": MIB}, {"name": "a/b"}):
        if values["name"] == "one":
            stor.new("one", device, offset=MIB, length=MIB)
            with Disk("/dev/stor0", os.O_RDONLY) as disk:
                os.pread(disk.fd, 65536, 0)
        try:
            stor.new(backing=device, **values)
            check(False, f"{values} not refused")
        except Exception as why:
            check(hasattr(why, "errno"), why)
    stor.delete(name="one")


def compare(before, after, cycles):
    """Fail if something has grown with the cycles."""
    caches, info = before
    now, now_info = after
    grown = {}
    for name, (count, size) in now.items():
        more = count - caches.get(name, (0, size))[0]
        if abs(more) >= 10 and not IGNORE.fullmatch(name):
            note(f"{name}: {more:+d} objects of {size} bytes")
        if more > cycles * 6 // 10 and not IGNORE.fullmatch(name):
            grown[name] = more
    for key, value in now_info.items():
        note(f"{key}: {info[key]} KiB before, {value - info[key]:+d} KiB")
    equal(grown, {}, f"caches that have grown in {cycles} cycles")
    # A page a cycle is 4 KiB times the cycles.
    for key in ("VmallocUsed", "Percpu"):
        check(now_info[key] - info[key] < 2 * cycles,
              f"{key} has grown by {now_info[key] - info[key]} KiB")
    check(now_info["SUnreclaim"] - info["SUnreclaim"] < 12 * cycles,
          "SUnreclaim has grown")
    # It moves by some 300 KiB by itself.
    check(info["MemAvailable"] - now_info["MemAvailable"] < 32 * cycles,
          "MemAvailable has shrunk")


@test
def module(devices):
    """lives of the module: loaded, used, unloaded; no memory is lost"""
    if loaded():
        unload()
    for number in range(WARM_UP):
        cycle(devices[0], number)
    before = at_rest()
    for number in range(CYCLES):
        cycle(devices[0], number)
    after = at_rest()
    equal(loaded(), False, "loaded")
    compare(before, after, CYCLES)


@test
def volumes(devices):
    """lives of volumes, with refusals: no memory is lost, nor a use count"""
    stor = Stor()
    for _ in range(WARM_UP):
        volume_cycle(stor, devices[0])
    before = at_rest()
    for _ in range(VOLUMES):
        volume_cycle(stor, devices[0])
    after = at_rest()
    equal(number_of("/sys/module/stor/refcnt"), 0, "use count")
    compare(before, after, VOLUMES)


@test
def parameters(_devices):
    """what modinfo and sysfs tell of the module"""
    words = run("lsmod").stdout
    (line,) = [line for line in words.splitlines()
               if line.startswith("stor ")]
    equal(line.split()[2], "0", "use count of lsmod")
    stor = Stor()
    version = stor.info()[C["STOR_A_INFO_MODULE_VERSION"]]
    check(version.endswith(b"\0") and len(version) > 1, "no version")
    path = pathlib.Path("/sys/module/stor/taint")
    if not path.exists():
        raise Skip("no taint in sysfs")
    check(set(path.read_text().strip()) <= {"O", "E"}, path.read_text())


main(ready_to_load, cleanup)
