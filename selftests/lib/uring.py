# SPDX-License-Identifier: GPL-2.0
"""io_uring: I/Os that a test puts together itself, all under one plug."""

import ctypes
import mmap
import os
import struct

from .stor import LIBC
from .tap import Skip, equal

SETUP, ENTER = 425, 426
IOPOLL, SINGLE_MMAP, GETEVENTS = 1, 1, 1
SQ_RING, SQES = 0, 0x10000000
READ, WRITE = 22, 23


def _call(*args):
    done = LIBC.syscall(*args)
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


def address(memory):
    """Where writable memory is."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Ring:
    """A ring; with `polled`, whoever waits for an I/O polls the device."""

    def __init__(self, entries=32, polled=False):
        params = ctypes.create_string_buffer(struct.pack(
            "=III", 0, 0, IOPOLL if polled else 0), 120)
        try:
            self.fd = _call(SETUP, entries, params)
        except OSError as why:
            raise Skip(f"no io_uring: {why}") from None
        (sq_entries, cq_entries, _, _, _, features) = struct.unpack_from(
            "=6I", params)
        if not features & SINGLE_MMAP:
            raise Skip("an io_uring of old")
        sq_off = struct.unpack_from("=7I", params, 40)
        cq_off = struct.unpack_from("=6I", params, 80)
        self._sq_tail, self._mask, self._array = sq_off[1], sq_off[2], sq_off[6]
        self._cq_head, self._cq_tail, self._cqes = (cq_off[0], cq_off[1],
                                                    cq_off[5])
        self._cq_entries = cq_entries
        self._ring = mmap.mmap(self.fd, max(
            self._array + sq_entries * 4, self._cqes + cq_entries * 16),
            offset=SQ_RING)
        self._entries = mmap.mmap(self.fd, sq_entries * 64, offset=SQES)
        self._most = sq_entries

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ring.close()
        self._entries.close()
        os.close(self.fd)

    def _get(self, at):
        return struct.unpack_from("=I", self._ring, at)[0]

    def run(self, ios):
        """Submit all at once and wait for all; what each ended with.

        An I/O is opcode, descriptor, offset, address, length, and flags as
        preadv2() takes them.
        """
        assert len(ios) <= self._most
        mask, tail = self._get(self._mask), self._get(self._sq_tail)
        for number, (opcode, fd, offset, where, length, flags) in enumerate(
                ios):
            slot = (tail + number) & mask
            struct.pack_into("=BBHiQQIIQQQQ", self._entries, slot * 64, opcode,
                             0, 0, fd, offset, where, length, flags, number,
                             0, 0, 0)
            struct.pack_into("=I", self._ring, self._array + slot * 4, slot)
        struct.pack_into("=I", self._ring, self._sq_tail, tail + len(ios))
        done = _call(ENTER, self.fd, len(ios), len(ios), GETEVENTS, None, 0)
        equal(done, len(ios), "I/Os that were submitted")
        results = [None] * len(ios)
        while None in results:
            head, tail = self._get(self._cq_head), self._get(self._cq_tail)
            if head == tail:
                _call(ENTER, self.fd, 0, 1, GETEVENTS, None, 0)
            for at in range(head, tail):
                which, result, _ = struct.unpack_from(
                    "=QiI", self._ring,
                    self._cqes + at % self._cq_entries * 16)
                results[which] = result
            struct.pack_into("=I", self._ring, self._cq_head, tail)
        return results
