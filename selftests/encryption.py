#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What lies below an encrypted volume is what dm-crypt would write there.

STOR_TEST_GEOMETRIES says how many geometries are held against dm-crypt.
"""

import contextlib
import errno
import functools
import hashlib
import os
import pathlib
import random
import time

from lib import ciphertext, keys
from lib.fio import Fio, VERIFY, fio
from lib.geometries import by_dm, by_stor, fill, geometry, take_turns
from lib.lower import mapped, null_blk
from lib.stor import (C, Device, Disk, MIB, clean, number_of, one_of_each,
                      pattern, refused, settle, setup)
from lib.tap import Skip, check, equal, main, note, patience, test, wait_until

KEY = pattern(1, 64)

# From IEEE Std 1619-2007, appendix B: key, number of the unit, plaintext, and
# SHA-256 of the ciphertext. Each unit is of 512 bytes.
COUNTING = bytes(range(256)) * 2
IEEE = [
    ("27182818284590452353602874713526" "31415926535897932384626433832795",
     0, "ebee4d64dd2395bb2d6a2d37a0a48ecb2bf4913cfc99d27c2214f2f4144715ea"),
    ("27182818284590452353602874713526" "62497757247093699959574966967627"
     "31415926535897932384626433832795" "02884197169399375105820974944592",
     255, "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364"),
]
# From NIST's XTSVS: key, number of the unit, the beginning of the plaintext, and
# that of the ciphertext, which does not hang on what follows.
NIST = [
    ("a3e40d5bd4b6bbedb2d18c700ad2db2210c81190646d673cbca53f133eab373c", 141,
     "20e0719405993f09a66ae5bb500e562c", "74623551210216ac926b9650b6d3fa52"),
    ("a2ed35e8d082f5e13e78c1d42acf33cf70e82821a666b2a7606542e43a631226", 75,
     "2d81dcdec507845dcac4af1594aac844", "050dc32995cf6cd87224dfa2572709f4"),
    ("69438582e0a61b5e7a023adf2f419630ed537ccf9a4b2e09010eaf7b66bcf818", 232,
     "05c2c05e812bc4295f3ef64c8bc468ee946176449edc481785e6c6d9fbdd6b8f",
     "27259ec330a66591e265525cd1eb5017ba195a390e4f66ddfb7c1a4b0fb5e49d"),
    ("f5409a68908c710aacc31a223ef7911db3202772edd955663a75292d9384ca2c", 100,
     "ce1a975b08eec5a005708cd4113a701fb0377b14b59e70dc06fe6941121f16a2",
     "39d7b54434622b53a78529043bffa0f637e46a79c880cae70c67b1f2077e1932"),
    ("ef010ca1a3663e32534349bc0bae62232a1573348568fb9ef41768a7674f507a"
     "727f98755397d0e0aa32f830338cc7a926c773f09e57b357cd156afbca46e1a0", 187,
     "ed98e01770a853b49db9e6aaf88f0a41b9b56e91a5a2b11d40529254f5523e75",
     "ca20c55e8dc149687d2541de39c3df6300bb5a163c10ced3666b1357db8bd39d"),
    ("c4e6b37e1075969d41a7601aa105dd41b18200a028da1f79f55c4d2db478c4e9"
     "8d9ed491cfe52f31ecb7cbb4891eb779e057392b3b27c19cbe9b4875c8c31c22", 223,
     "87ede402d0561359799a41be042ced9a8e15639165ef1a4d2f6785c394d61e5f",
     "a51037198f3f9fe5d05bef52363acec40e86e3abb834180348d2e08627733e65"),
]


def sealed(stor, device, payload, unit, data):
    """What a volume makes of one unit of 512 bytes."""
    with keys.key(payload) as name:
        stor.new("one", device, key=name, crypto_sector=512, iv_offset=unit,
                 length=MIB)
    settle()
    size = max(512, device.block)
    with Disk("/dev/stor0") as disk:
        disk.write(0, data + bytes(size - len(data)))
        equal(disk.read(0, size)[:len(data)], data, "what was written")
    stor.delete(name="one")
    with Disk(device) as disk:
        return disk.read(0, size)[:512]


@test
def vectors(stor, devices):
    """the vectors of IEEE 1619 and of NIST pass through a volume"""
    for device in one_of_each(devices):
        for text, unit, digest in IEEE:
            got = sealed(stor, device, bytes.fromhex(text), unit, COUNTING)
            equal(hashlib.sha256(got).hexdigest(), digest, f"unit {unit}")
        for text, unit, plain, cipher in NIST:
            plain = bytes.fromhex(plain)
            got = sealed(stor, device, bytes.fromhex(text), unit,
                         plain + bytes(512 - len(plain)))
            equal(got[:len(plain)].hex(), cipher, f"unit {unit}")


@test
def interchange(stor, devices):
    """what stor writes dm-crypt reads, and the other way round"""
    count = int(os.environ.get("STOR_TEST_GEOMETRIES", "20"))
    rng = random.Random(4)
    for number in range(count):
        device = devices[number % len(devices)]
        how = geometry(rng, device)
        what = f"geometry {number}: {device} {how}"
        fill(device, rng, how)
        ways = [by_stor(stor, device, how), by_dm(device, how)]
        if number % 2:
            ways.reverse()
        take_turns(ways, rng, how, what)
        if number % 20 == 19:
            note(f"{number + 1} of {count} geometries are equal")


@test
def far_away(stor, _devices):
    """sectors past 2^32 have numbers of their own, the same for everybody"""
    rng = random.Random(6)
    with null_blk(size=3 << 20, memory_backed=1, blocksize=512):
        device = Device("/dev/stortest")
        at = (1 << 32) * 512 - 4096
        for sector, large, iv_offset, offset in (
                (512, False, 0, 0), (4096, False, 56, MIB),
                (4096, True, 1 << 34, 2 * MIB)):
            how = {"sector": sector, "large": large, "iv_offset": iv_offset,
                   "payload": rng.randbytes(64), "offset": offset,
                   "length": device.size - offset}
            ways = [by_stor(stor, device, how), by_dm(device, how)]
            if large or sector == 512:
                ways.append(by_stor(
                    stor, device, how,
                    crypto_engine=C["STOR_CRYPTO_ENGINE_BLK_CRYPTO"]))
            before = b""
            for way in (*ways, ways[0], ways[-1]):
                after = rng.randbytes(3 * 4096)

                def work(path, want=before, data=after, how=how):
                    with Disk(path) as disk:
                        if want:
                            check(disk.read(at, len(want)) == want,
                                  f"other bytes: {how}")
                        disk.write(at, data)
                way(work)
                before = after


@test
def told(stor, devices):
    """a volume says how it is encrypted, and its disk's blocks follow"""
    device = devices[0]
    with keys.key(KEY) as name:
        volume = stor.new("one", device, key=name)
        want = {"key": name, "cipher": "aes-xts-plain64", "key-size": 512,
                "crypto-sector": 4096, "iv-offset": 0, "iv-large-sectors": 0,
                "discard": 0, "logical-block-size": 4096}
        equal({key: volume[key] for key in want}, want)
        driver = volume["cipher-driver"]
        check(f"driver       : {driver}\n" in
              pathlib.Path("/proc/crypto").read_text(), f"no {driver}")
        equal(volume["cipher-slow"], int(driver.startswith("xts(")), driver)
        stor.delete(name="one")
        volume = stor.new("one", device, key=name, offset=device.block,
                          crypto_sector=1024, iv_offset=6, iv_large_sectors=1,
                          discard=1, length=MIB)
        want = {"crypto-sector": 1024, "iv-offset": 6, "iv-large-sectors": 1,
                "discard": 1, "logical-block-size": max(1024, device.block)}
        equal({key: volume[key] for key in want}, want)
        stor.delete(name="one")
    with keys.key(KEY[:32]) as name:
        volume = stor.new("one", device, key=name)
        equal(volume["key-size"], 256)
        stor.delete(name="one")
    volume = stor.new("one", device)
    check("cipher" not in volume, f"encrypted without a key: {volume}")
    stor.delete(name="one")


@test
def bad_keys(stor, devices):
    """a key that can not be used is refused, and why is said"""
    device = devices[0]

    def no(number, message, name):
        refused(number, f"key: {message}", stor.new, "one", device, key=name,
                blames="key")

    no(errno.EINVAL, "vm1 is not logon|user|encrypted|trusted:ID", "vm1")
    no(errno.EINVAL, "logon: has nothing after the colon", "logon:")
    no(errno.ENOKEY, "logon:stor:none is in no keyring of yours",
       "logon:stor:none")
    # Another type is another key.
    with keys.key(KEY, "stor:test", "user"):
        no(errno.ENOKEY, "logon:stor:test is in no keyring of yours",
           "logon:stor:test")
    for length in (1, 16, 31, 48, 63, 65, 1000):
        with keys.key(pattern(2, length)) as name:
            no(errno.EINVAL, f"{length} bytes long, 32 or 64 are needed", name)
    for length in (16, 32):
        with keys.key(pattern(3, length) * 2) as name:
            no(errno.EINVAL, "its two halves are equal", name)
    number = keys.add("user", "stor:test", KEY)
    keys.expire(number, 1)
    time.sleep(1.5)
    no(errno.EKEYEXPIRED, "user:stor:test has expired", "user:stor:test")
    keys.forget(number)
    number = keys.add("user", "stor:gone", KEY)
    keys.revoke(number)
    no(errno.EKEYREVOKED, "user:stor:gone was revoked", "user:stor:gone")
    keys.forget(number)
    number = keys.add("user", "stor:shut", KEY)
    keys.hide(number)
    no(errno.EACCES, "user:stor:shut may not be used by you", "user:stor:shut")
    keys.forget(number)
    equal(stor.dump(), [], "volumes")
    with keys.key(KEY, "stor:test", "user") as name:
        stor.new("one", device, key=name)
    # The key is gone, and the volume has it.
    settle()
    with Disk("/dev/stor0") as disk:
        disk.read(0, 4096)
    stor.delete(name="one")


@test
def sealed_key(stor, devices):
    """a key that the kernel has drawn and sealed, which nobody has seen"""
    master = keys.add("user", "stor:master", pattern(8, 32))
    try:
        number = keys.add("encrypted", "stor:sealed",
                          b"new user:stor:master 64")
    except OSError as why:
        keys.forget(master)
        raise Skip(f"no keys of type encrypted: {why}") from None
    volume = stor.new("one", devices[0], key="encrypted:stor:sealed")
    equal(volume["key-size"], 512, "bits")
    keys.forget(number)
    keys.forget(master)
    settle()
    data = pattern(9, 8192)
    with Disk("/dev/stor0") as disk:
        disk.write(0, data)
        equal(disk.read(0, 8192), data, "what was written")
    stor.delete(name="one")
    with Disk(devices[0]) as disk:
        check(disk.read(0, 8192) != data, "plaintext below")


@test
def bad_geometry(stor, devices):
    """what does not fit is refused by the rule that it breaks"""
    device = devices[0]

    def no(number, message, field, **values):
        refused(number, f"{field}: {message}", stor.new, "one", device,
                blames=field, **values)

    for field, value in (("crypto_sector", 512), ("iv_offset", 0),
                         ("iv_large_sectors", 0), ("discard", 0)):
        no(errno.EINVAL, "has a meaning with a key only",
           field.replace("_", "-"), **{field: value})
    with keys.key(KEY) as name:
        for sector in (0, 256, 513, 8192, 0xffffffff):
            no(errno.EINVAL, f"{sector} is none of 512, 1024, 2048 and 4096",
               "crypto-sector", key=name, crypto_sector=sector)
        no(errno.EINVAL, "4 is not a multiple of 8, one crypto sector",
           "iv-offset", key=name, iv_offset=4, crypto_sector=4096)
        no(errno.EINVAL, "4608 is not a multiple of the crypto sector 4096",
           "length", key=name, length=4608, crypto_sector=4096)
        stor.new("one", device, key=name, length=MIB, offset=512,
                 crypto_sector=4096)
        settle()
        refused(errno.EINVAL,
                "length: 4608 is not a multiple of the crypto sector 4096",
                stor.set, "one", length=4608, blames="length")
        equal(stor.set("one", length=2 * MIB)["length"], 2 * MIB, "length")
        stor.delete(name="one")


def made(stor, device, **values):
    """An encrypted volume, whose key is in no keyring any more."""
    with keys.key(KEY) as name:
        stor.new("one", device, key=name, **values)
    settle()


@test
def nothing_plain(stor, devices):
    """what was written is nowhere below, zeros neither"""
    for device in one_of_each(devices):
        ciphertext.nothing_plain(stor, device, functools.partial(made, stor))


@test
def discards(stor, devices):
    """discards are passed on only if that was asked for"""
    for device in one_of_each(devices):
        ciphertext.discards(stor, device, functools.partial(made, stor))


@test
def verified(stor, devices):
    """data stays what it was under load, in all sizes and alignments"""
    for device in one_of_each(devices):
        for sector in (512, 4096):
            made(stor, device, crypto_sector=sector, length=128 * MIB)
            block = max(sector, device.block)
            jobs = {
                "direct": {"direct": 1, "iodepth": 16, "offset": 0},
                "unaligned": {"direct": 1, "iodepth": 4, "offset": "32M",
                              "iomem_align": 512, "ioengine": "io_uring"},
                "cached": {"direct": 0, "ioengine": "psync", "fsync": 32,
                           "offset": "64M"}}
            fio(jobs, **{**VERIFY, "filename": "/dev/stor0", "rw": "randrw",
                         "bsrange": f"{block}-1M", "blockalign": block,
                         "size": "24M", "verify_backlog": 64})
            stor.delete(name="one")


def steady(read):
    """A number, once it has stayed the same for a second."""
    last, since = read(), time.monotonic()
    while time.monotonic() - since < patience(1):
        time.sleep(0.05)
        now = read()
        if now != last:
            last, since = now, time.monotonic()
    return last


@test
def shared(stor, devices):
    """a backing that hangs leaves other volumes their share of the memory"""
    size, cpus = 128 * 1024, sorted(os.sched_getaffinity(0))
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 100
    # 256 tags of each CPU; two halves have to be less, so that it would matter.
    if 2 * half > 220 * size * len(cpus):
        raise Skip("too much memory to use it up")
    with mapped("stortest-hangs", f"0 {256 * MIB // 512} linear {devices[0]} "
                "0") as hangs, \
            null_blk(size=64, irqmode=2,
                     completion_nsec=int(patience(20_000_000))), \
            keys.key(KEY) as key:
        stor.new("one", hangs, key=key)
        stor.new("two", "/dev/stortest", key=key, crypto_sector=4096)
        settle()
        below = pathlib.Path("/sys/block/stortest/inflight")
        hangs.suspend("--nolockfs")
        common = {"direct": 1, "ioengine": "libaio", "thread": 1}
        with contextlib.ExitStack() as stack:
            hanging = Fio({f"cpu{cpu}": {"cpus_allowed": cpu}
                           for cpu in cpus}, **common,
                          filename="/dev/stor0", rw="write", bs=size,
                          iodepth=256, size="64m")
            stack.callback(hanging.kill)
            stack.callback(hangs.resume)
            inflight = "/sys/block/stor0/stor/inflight"
            # Nothing is left for whoever comes.
            wait_until(lambda: number_of(inflight) * size >= half,
                       "writes that hang", 30)
            note(f"{steady(lambda: number_of(inflight))} writes hang")
            working = Fio({"two": {}}, **common, filename="/dev/stor1",
                          rw="randwrite", bs=4096, iodepth=16, size="8m",
                          io_size="4m")
            stack.callback(working.kill)
            most = 0
            while working.running():
                most = max(most, int(below.read_text().split()[1]))
                time.sleep(0.005)
            working.well()
            hangs.resume()
            hanging.well()
        check(most > 8, f"at most {most} writes of 16 at a time")
        stor.delete(name="two")
        stor.delete(name="one")


if __name__ == "__main__":
    main(setup, clean)
