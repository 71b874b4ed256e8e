#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Volumes that have their data encrypted below, by blk-crypto.

No device here has hardware for it, so the kernel's fallback does the work; what
comes of it has to be what stor itself, and dm-crypt, make of the same data.

STOR_TEST_GEOMETRIES says how many geometries are held against each other.
"""

import errno
import functools
import mmap
import os
import pathlib
import random

from lib import ciphertext, keys
from lib.fio import VERIFY, fio
from lib.geometries import by_dm, by_stor, fill, geometry, take_turns
from lib.locking import lock_under_load
from lib.lower import mapped, polled_null_blk
from lib.stor import (C, Device, Disk, MIB, clean, error_of, one_of_each,
                      pattern, refused, settle, setup)
from lib.tap import check, equal, in_thread, main, note, test, wait_until

KEY = pattern(1, 64)
AUTO = C["STOR_CRYPTO_ENGINE_AUTO"]
SOFTWARE = C["STOR_CRYPTO_ENGINE_SOFTWARE"]
BLK_CRYPTO = C["STOR_CRYPTO_ENGINE_BLK_CRYPTO"]


def inline(stor, name, device, **values):
    """A volume whose data is encrypted below."""
    values = {"crypto_sector": 512, "crypto_engine": BLK_CRYPTO, **values}
    with keys.key(KEY) as key:
        volume = stor.new(name, device, key=key, **values)
    equal(volume["crypto-engine"], BLK_CRYPTO, "engine")
    settle()
    return volume


@test
def interchange(stor, devices):
    """stor by itself, blk-crypto and dm-crypt make the same of the same"""
    count = int(os.environ.get("STOR_TEST_GEOMETRIES", "20"))
    rng = random.Random(41)
    for number in range(count):
        device = devices[number % len(devices)]
        how = geometry(rng, device)
        how["payload"] = rng.randbytes(64)
        how["large"] |= how["sector"] > 512
        what = f"geometry {number}: {device} {how}"
        fill(device, rng, how)
        ways = [by_dm(device, how),
                *(by_stor(stor, device, how, crypto_engine=engine)
                  for engine in (SOFTWARE, BLK_CRYPTO))]
        rng.shuffle(ways)
        take_turns(ways, rng, how, what)
        if number % 20 == 19:
            note(f"{number + 1} of {count} geometries are equal")


@test
def told(stor, devices):
    """a volume says who encrypts it, and its disk how data must lie"""
    device = devices[0]
    for sector in (512, 4096):
        volume = inline(stor, "one", device, crypto_sector=sector,
                        iv_large_sectors=1)
        want = {"cipher": "aes-xts-plain64", "key-size": 512,
                "crypto-sector": sector, "crypto-native": 0}
        equal({key: volume[key] for key in want}, want)
        for missing in ("cipher-driver", "cipher-slow"):
            check(missing not in volume, f"{missing}: whose is it?")
        queue = pathlib.Path("/sys/block/stor0/queue")
        aligned = int((queue / "dma_alignment").read_text())
        check(aligned >= sector - 1, f"memory is aligned to {aligned}")
        equal((queue / "atomic_write_max_bytes").read_text().strip(), "0")
        stor.delete(name="one")
    # Nothing here has hardware for it.
    for engine in ({}, {"crypto_engine": AUTO}, {"crypto_engine": SOFTWARE}):
        with keys.key(KEY) as name:
            volume = stor.new("one", device, key=name, crypto_sector=512,
                              **engine)
        equal(volume["crypto-engine"], SOFTWARE, f"engine for {engine}")
        check("crypto-native" not in volume, "software is no hardware")
        stor.delete(name="one")
    volume = stor.new("one", device)
    check("crypto-engine" not in volume, "an engine without encryption")
    stor.delete(name="one")


@test
def can_not(stor, devices):
    """what blk-crypto can not do is refused by name; auto does it in stor"""
    device = devices[0]

    def no(payload, message, blames, **values):
        with keys.key(payload) as name:
            refused(errno.EOPNOTSUPP, message, stor.new, "one", device,
                    key=name, crypto_engine=BLK_CRYPTO, blames=blames,
                    **values)
            volume = stor.new("one", device, key=name, **values)
        equal(volume["crypto-engine"], SOFTWARE, "engine")
        stor.delete(name="one")

    no(KEY[:32], "key: 256 bits long, blk-crypto takes only 512", "key",
       crypto_sector=512)
    for sector in (1024, 2048, 4096):
        message = ("iv-large-sectors: 0, blk-crypto can only count crypto "
                   f"sectors, of {sector} bytes")
        no(KEY, message, None, crypto_sector=sector)
        no(KEY, message, "iv-large-sectors", crypto_sector=sector,
           iv_large_sectors=0)
    no(KEY, f"iv-offset: {1 << 63} is not below 2^63, for blk-crypto",
       "iv-offset", crypto_sector=512, iv_offset=1 << 63)
    for engine in (AUTO, SOFTWARE, BLK_CRYPTO):
        refused(errno.EINVAL, "crypto-engine: has a meaning with a key "
                "only", stor.new, "one", device,
                crypto_engine=engine, blames="crypto-engine")
    inline(stor, "one", device)
    with keys.key(KEY) as name:
        refused(errno.ELOOP, "crypto-engine: blk-crypto: a volume below is "
                "encrypted so, too", stor.new, "two", "/dev/stor0",
                key=name, crypto_sector=512, crypto_engine=BLK_CRYPTO,
                blames="crypto-engine")
        stor.new("two", "/dev/stor0", key=name, crypto_sector=512)
        refused(errno.ELOOP, "crypto-engine: blk-crypto: a volume below is "
                "encrypted so, too", stor.new, "three", "/dev/stor1",
                key=name, crypto_sector=512, crypto_engine=BLK_CRYPTO,
                blames="crypto-engine")
    settle()
    data = pattern(11, MIB)
    with Disk("/dev/stor1") as disk:
        disk.write(0, data)
        equal(disk.read(0, MIB), data, "what was written, sealed twice")
    stor.delete(name="two")
    stor.delete(name="one")


@test
def misaligned(stor, devices):
    """memory that a sector does not lie in as a whole is refused, not torn"""
    device = devices[0]
    inline(stor, "one", device, crypto_sector=4096, iv_large_sectors=1)
    data = pattern(12, 64 * 1024)
    with Disk("/dev/stor0") as disk:
        disk.write(0, data)
        for shift in (4, 512, 2048):
            memory = memoryview(mmap.mmap(-1, 16384))[shift:shift + 8192]
            for what in (os.pwritev, os.preadv):
                equal(error_of(what, disk.fd, [memory], 0), errno.EINVAL,
                      f"{what.__name__} {shift} bytes into a page")
        equal(disk.read(0, len(data)), data, "what was written")
    # The page cache has whole pages.
    with open("/dev/stor0", "r+b", buffering=0) as cached:
        cached.seek(1000)
        cached.write(b"x" * 10)
        os.fsync(cached.fileno())
    with Disk("/dev/stor0") as disk:
        equal(disk.read(0, 4096), data[:1000] + b"x" * 10 + data[1010:4096])
    stor.delete(name="one")


@test
def nothing_plain(stor, devices):
    """what was written is nowhere below, zeros neither"""
    for device in one_of_each(devices):
        ciphertext.nothing_plain(
            stor, device, functools.partial(inline, stor, "one"))


@test
def discards(stor, devices):
    """discards are passed on only if that was asked for"""
    for device in one_of_each(devices):
        ciphertext.discards(
            stor, device, functools.partial(inline, stor, "one"))


@test
def verified(stor, devices):
    """data stays what it was under load, while the gate closes and opens"""
    for device in one_of_each(devices):
        for sector in (512, 4096):
            inline(stor, "one", device, crypto_sector=sector,
                   iv_large_sectors=1, length=128 * MIB)
            block = max(sector, device.block)
            jobs = {
                "direct": {"direct": 1, "iodepth": 16, "offset": 0},
                # It asks not to wait, again and again.
                "nowait": {"direct": 1, "iodepth": 16, "offset": "32M",
                           "ioengine": "io_uring"},
                "cached": {"direct": 0, "ioengine": "psync", "fsync": 32,
                           "offset": "64M"}}
            fio(jobs, **{**VERIFY, "filename": "/dev/stor0", "rw": "randrw",
                         "bsrange": f"{block}-1M", "blockalign": block,
                         "size": "24M", "verify_backlog": 64})
            stor.gate(name="one")
            equal(stor.set("one", length=160 * MIB)["length"], 160 * MIB)
            data = pattern(13, MIB)
            with Disk("/dev/stor0") as disk:
                disk.write(150 * MIB, data)
                equal(disk.read(150 * MIB, MIB), data, "past the old end")
            stor.delete(name="one")


@test
def polled(stor, devices):
    """who polls gets what was written, though nothing below is polled"""
    cpus = os.cpu_count()
    with polled_null_blk(size=64, blocksize=512, submit_queues=cpus,
                         poll_queues=cpus):
        inline(stor, "one", Device("/dev/stortest"))
        fio({"polled": {"ioengine": "io_uring", "hipri": 1, "direct": 1,
                        "iodepth": 4}},
            **{**VERIFY, "filename": "/dev/stor0", "rw": "randrw",
               "bs": "4k", "size": "4M", "verify_backlog": 64})
        stor.delete(name="one")


@test
def errors_below(stor, devices):
    """an error of the backing is the disk's, for reads and for writes"""
    device = devices[0]
    sectors = device.size // 512
    table = (f"0 2048 linear {device} 0\n2048 2048 error\n"
             f"4096 {sectors - 4096} linear {device} 4096\n")
    with mapped("stortest", table) as lower:
        inline(stor, "one", lower)
        data = pattern(14, MIB)
        with Disk("/dev/stor0") as disk:
            disk.write(0, data)
            equal(disk.read(0, MIB), data, "what was written")
            for at in (MIB, MIB + 4096):
                equal(error_of(disk.write, at, data[:4096]), errno.EIO)
                equal(error_of(disk.read, at, 4096), errno.EIO)
            equal(error_of(disk.write, MIB - 4096, data[:8192]), errno.EIO)
            equal(disk.read(0, 4096), data[:4096], "what was written")
        stor.delete(name="one")


@test
def locked(stor, devices):
    """a key that is forgotten is taken away from who encrypts, and comes back"""
    data = pattern(15, MIB)
    for device in one_of_each(devices):
        inline(stor, "one", device, length=24 * MIB)
        with keys.key(KEY):
            lock_under_load(stor, device.block)
        for how in ("fail", "hold"):
            with Disk("/dev/stor0") as disk:
                disk.write(0, data)
                equal(stor.lock("one", how)["state"], "locked", "state")
                join = in_thread(error_of, disk.read, 0, 4096)
                if how == "hold":
                    wait_until(join.sleeps, "a read that waits")
                else:
                    equal(join(), errno.EIO, "error")
                with keys.key(KEY[32:] + KEY[:32]):
                    refused(errno.EKEYREJECTED, "key: logon:stor:test is not "
                            "the key of before", stor.unlock, "one")
                with keys.key(KEY):
                    after = stor.unlock("one")
                equal(join(), errno.EIO if how == "fail" else 0, "error")
                equal([after[name] for name in ("state", "crypto-engine",
                                                "crypto-native")],
                      ["live", BLK_CRYPTO, 0], "the volume")
                equal(disk.read(0, MIB), data, "what was written")
        # Without its key again, and so it goes.
        stor.lock("one", "hold")
        stor.delete(name="one")


@test
def many_keys(stor, devices):
    """more keys at once than the fallback has slots for, each used and gone"""
    device = devices[0]
    count = 120
    for number in range(count):
        with keys.key(pattern(100 + number, 64)) as key:
            stor.new(f"v{number}", device, key=key, crypto_sector=512,
                     offset=number * MIB, length=MIB,
                     crypto_engine=BLK_CRYPTO)
    settle()
    for number in range(count):
        with Disk(f"/dev/stor{number}") as disk:
            disk.write(0, pattern(number, 65536))
    for number in range(count):
        with Disk(f"/dev/stor{number}") as disk:
            equal(disk.read(0, 65536), pattern(number, 65536), number)
    settle()
    for number in range(count):
        stor.raw_delete(name=f"v{number}")


if __name__ == "__main__":
    main(setup, clean)
