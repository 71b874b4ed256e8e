# SPDX-License-Identifier: GPL-2.0
"""What encrypted volumes were given to write must not be found on their backings.

Of use where STOR_TEST_ENCRYPTED has tests of plain volumes run on encrypted
ones: they themselves do not look below.
"""

import os
import re
import struct

from . import tap

MODE = os.environ.get("STOR_TEST_ENCRYPTED", "")
# What tells the data of such a run from that of others on the same drives.
SALT = f" {MODE}" if MODE else ""
SECTOR, LONG = 512, 16
CHUNK, MOST = 1 << 20, 64 << 20
# How fio checks what it reads. Its struct verify_header has magic, kind, length,
# and more; kinds 5 and 6 are crc32c, of runs without encryption.
VERIFY = "xxhash" if MODE else "crc32c"
HEADER = re.compile(rb"\xca\xac[^\x05\x06]\x00(?=....)", re.S)

_written = set()
_later = []


def written(data):
    """Remember what was written: how each sector begins."""
    if not MODE:
        return
    for at in range(0, len(data), SECTOR):
        begin = bytes(data[at:at + LONG])
        if len(set(begin)) > LONG // 4:  # others have zeros as well
            _written.add(begin)


def _found(data):
    """Offsets of sectors that are plain."""
    whole = len(data) // SECTOR * SECTOR
    begins = [begin for begin, in struct.iter_unpack(
        f"{LONG}s{SECTOR - LONG}x", data[:whole])]
    if not _written.isdisjoint(begins):
        return [at * SECTOR for at, begin in enumerate(begins)
                if begin in _written]
    return [match.start() for match in HEADER.finditer(data)
            if match.start() % SECTOR == 0 and struct.unpack_from(
                "=I", data, match.start() + 4)[0] in range(
                    SECTOR, CHUNK + 1, SECTOR)]


def _scan(disk, path, start, length):
    for at in range(start, start + min(length, MOST), CHUNK):
        try:
            data = disk.read(at, min(CHUNK, start + length - at))
        except OSError:  # a bad block
            continue
        found = [at + each for each in _found(data)]
        tap.check(not found, f"{path}: plaintext at {found[:8]}")


def look(disk_of, path, start, length):
    """Fail if there is something of it; later, if the backing is not there.

    disk_of opens a device.
    """
    try:
        disk = disk_of(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        _later.append((path, start, length))
        return
    with disk:
        _scan(disk, path, start, length)


def look_again(disk_of):
    """Look at backings that have come back; forget about others."""
    waiting, _later[:] = _later[:], []
    for each in waiting:
        look(disk_of, *each)
    _later.clear()
