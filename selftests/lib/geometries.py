# SPDX-License-Identifier: GPL-2.0
"""Ways to lay an encrypted volume on a device, as dm-crypt has them too."""

import os

from . import keys
from .lower import mapped
from .stor import Disk, MIB, settle
from .tap import check, equal


def geometry(rng, device):
    """Any way to lay a volume on a device."""
    sector = rng.choice([512, 1024, 2048, 4096])
    unit = max(sector, device.block)
    length = rng.randrange(1, 64) * unit * 8
    # dm-crypt wants a start that is a multiple of its sectors.
    start = rng.randrange(0, (device.size - length) // unit)
    return {"sector": sector, "large": rng.random() < 0.5,
            "payload": rng.randbytes(rng.choice([32, 64])),
            "iv_offset": rng.randrange(0, 1 << rng.choice([4, 32, 48]))
            * (sector // 512),
            "offset": start * unit, "length": length, "unit": unit}


def dm_crypt(device, how):
    """The table of dm-crypt for the same."""
    options = [f"sector_size:{how['sector']}"]
    if how["large"]:
        options.append("iv_large_sectors")
    return (f"0 {how['length'] // 512} crypt aes-xts-plain64 "
            f"{how['payload'].hex()} {how['iv_offset']} {device} "
            f"{how['offset'] // 512} {len(options)} {' '.join(options)}")


def fill(device, rng, how):
    """Something else than zeros where the volume is to be."""
    with Disk(device) as disk:
        for at in range(0, how["length"], MIB):
            length = min(MIB, how["length"] - at)
            disk.write(how["offset"] + at, rng.randbytes(length))


def read_all(path, want):
    """Whatever is there, into an array."""
    with Disk(path) as disk:
        for at in range(0, len(want), MIB):
            length = min(MIB, len(want) - at)
            want[at:at + length] = disk.read(at, length)


def pieces(rng, how, count):
    """Random I/O within a volume: where, and how long."""
    units = how["length"] // how["unit"]
    for _ in range(count):
        most = min(units, MIB // how["unit"])
        length = min(most, rng.choice([1, 1, 2, 8, rng.randrange(1, most + 1)]))
        yield (rng.randrange(0, units - length + 1) * how["unit"],
               length * how["unit"])


def scatter(path, rng, want, how):
    """Write at random, several writes that can be merged among them."""
    with Disk(path) as disk:
        for at, length in pieces(rng, how, 10):
            want[at:at + length] = data = rng.randbytes(length)
            disk.write(at, data)
    # By the page cache, what lies side by side goes down as one request.
    with open(path, "r+b", buffering=0) as cached:
        for at, length in pieces(rng, how, 10):
            want[at:at + length] = data = rng.randbytes(length)
            cached.seek(at)
            equal(cached.write(data), length, "bytes written")
        os.fsync(cached.fileno())


def compare(path, want, what):
    """Fail unless a disk has these bytes, past the page cache."""
    with Disk(path) as disk:
        for at in range(0, len(want), MIB):
            length = min(MIB, len(want) - at)
            check(disk.read(at, length) == want[at:at + length],
                  f"{what}: other bytes in the MiB at {at}")


def by_stor(stor, device, how, **values):
    """A way to the data: does something with a volume's disk, at its path."""
    def way(work):
        with keys.key(how["payload"]) as name:
            stor.new("one", device, key=name, crypto_sector=how["sector"],
                     iv_offset=how["iv_offset"],
                     iv_large_sectors=int(how["large"]),
                     offset=how["offset"], length=how["length"], **values)
        settle()
        work("/dev/stor0")
        stor.delete(name="one")
    return way


def by_dm(device, how):
    """The same by dm-crypt."""
    def way(work):
        with mapped("stortest", dm_crypt(device, how)) as crypt:
            work(crypt.path)
    return way


def take_turns(ways, rng, how, what):
    """Fail unless what one has written is what the next one reads."""
    want = bytearray(how["length"])

    def write(path):
        scatter(path, rng, want, how)

    def read_then_write(path):
        compare(path, want, what)
        write(path)

    def read_before_write(path):
        read_all(path, want)
        write(path)

    ways[0](read_before_write)
    for way in ways[1:]:
        way(read_then_write)
    ways[0](lambda path: compare(path, want, what))
