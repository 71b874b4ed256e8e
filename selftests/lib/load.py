# SPDX-License-Identifier: GPL-2.0
"""I/O of every kind by several threads that know what has to be on the disk.

An I/O may fail. A block that a failed write, discard or the like has touched
may then hold what it held or what was to be there; all others, and all that
has been acknowledged since, is compared.
"""

import collections
import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import random
import struct
import threading
import time

from . import plaintext, stor, tap

BLOCK = 4096
ZEROES = bytes(BLOCK)
# What I/O may end with; anything else is no I/O error.
ERRORS = {errno.EIO, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.ENODATA,
          errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOLINK, errno.EOPNOTSUPP,
          errno.EBADE, errno.EILSEQ, errno.ENODEV, errno.ENOBUFS}
KINDS = ("read", "write", "flush", "discard", "zeroes", "batch")

IO_SETUP, IO_DESTROY, IO_GETEVENTS, IO_SUBMIT = 206, 207, 208, 209


class Batch:
    """Many I/Os in one io_submit(2): what is adjacent gets merged."""

    def __init__(self, most):
        self.context = ctypes.c_ulong(0)
        self.most = most
        self._call(IO_SETUP, most, ctypes.byref(self.context))

    @staticmethod
    def _call(*args):
        done = stor.LIBC.syscall(*args)
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return done

    def close(self):
        """Close it."""
        self._call(IO_DESTROY, self.context)

    def run(self, fd, ios, faulty):
        """Submit (write, offset, memory) of each; the error of each.

        None stands for one that was not submitted. faulty is the context
        of the system call.
        """
        blocks, pointers = [], (ctypes.c_void_p * len(ios))()
        for number, (write, offset, memory) in enumerate(ios):
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            blocks.append(ctypes.create_string_buffer(struct.pack(
                "=QIIHhIQQqQII", number, 0, 0, int(write), 0, fd, address,
                len(memory), offset, 0, 0, 0), 64))
            pointers[number] = ctypes.addressof(blocks[-1])
        try:
            with faulty():
                count = self._call(IO_SUBMIT, self.context, len(ios),
                                   pointers)
        except OSError as why:
            return [None if why.errno in (errno.EAGAIN, errno.ENOMEM)
                    else why.errno] * len(ios)
        events = ctypes.create_string_buffer(32 * count)
        got = self._call(IO_GETEVENTS, self.context, count, count, events,
                         None)
        tap.equal(got, count, "I/Os that have ended")
        ends = [None] * len(ios)
        for number in range(count):
            which, _, result, _ = struct.unpack_from("=QQqq", events,
                                                     number * 32)
            ends[which] = -result if result < 0 else 0
            if result >= 0:
                tap.equal(result, len(ios[which][2]), "bytes of an I/O")
        return ends


class Region:
    """A part of a disk that one thread works on, and what is on it."""

    def __init__(self, path, start, blocks, seed, excuse=None):
        """excuse(offset, length) says whether an I/O there may fail."""
        self.path, self.start, self.blocks = path, start, blocks
        self.logical = stor.Device(path).block
        self.random = random.Random(f"{seed} {start}{plaintext.SALT}")
        self.excuse = excuse or (lambda offset, length: True)
        # Of each block what it may hold; None if that is not known.
        self.may = [None] * blocks
        self.ends = collections.Counter()
        self.wrong = None
        self.doing = None
        self.faulty = contextlib.nullcontext  # the context of system calls

    def expect(self, what, at, count, number):
        """Count how an I/O has ended; complain where it must not."""
        self.ends[f"{what} {errno.errorcode[number] if number else 'done'}"
                  ] += 1
        if not number:
            return
        tap.check(number in ERRORS, f"{what} of block {at}: "
                                    f"{errno.errorcode[number]}")
        tap.check(self.excuse(self.start + at * BLOCK, count * BLOCK),
                  f"{what} of blocks {at} to {at + count - 1} failed with "
                  f"{errno.errorcode[number]}, and met no fault")

    def compare(self, at, data):
        """Hold what was read against what may be there."""
        for number in range(len(data) // BLOCK):
            may = self.may[at + number]
            piece = data[number * BLOCK:(number + 1) * BLOCK]
            # A block that was written in part only holds some of each.
            tap.check(may is None or stor.made_of(piece, may, self.logical),
                      f"block {at + number} of the region at {self.start} "
                      f"of {self.path} has neither old nor new data")

    def written(self, at, pieces, number):
        """Blocks have been written, or not, or nobody knows."""
        for offset, piece in enumerate(pieces):
            if number == 0:
                self.may[at + offset] = [piece]
            elif self.may[at + offset] is not None:
                self.may[at + offset].append(piece)

    def content(self, count):
        """New data for some blocks."""
        pieces = [self.random.randbytes(64) * (BLOCK // 64)
                  for _ in range(count)]
        for piece in pieces:
            plaintext.written(piece[:64])
        return pieces

    def _call(self, function, *args):
        with self.faulty():
            return stor.error_of(function, *args)

    def _transfer(self, function, disk, memory, where):
        """preadv or pwritev: number of the error, and bytes.

        It may be short, when there was no memory for a part of the buffer.
        """
        try:
            with self.faulty():
                length = function(disk.fd, [memory], where)
        except OSError as why:
            return why.errno, 0
        tap.check(length and length % BLOCK == 0, f"{length} bytes done")
        if length < len(memory):
            self.ends["short"] += 1
        return 0, length

    def step(self, disk, batch):
        """One I/O, or one batch."""
        kind = self.random.choice(KINDS)
        count = self.random.choice((1, 2, 8, 32))
        at = self.random.randrange(self.blocks - count + 1)
        where = self.start + at * BLOCK
        self.doing = f"{kind} of {count} blocks at {where}"
        if kind == "read":
            memory = mmap.mmap(-1, count * BLOCK)
            number, length = self._transfer(os.preadv, disk, memory, where)
            self.expect(kind, at, count, number)
            if not number:
                self.compare(at, memory[:length])
        elif kind == "write":
            pieces = self.content(count)
            memory = stor.buffer(b"".join(pieces))
            number, length = self._transfer(os.pwritev, disk, memory, where)
            # What a short write has not got to is as it was.
            self.written(at, pieces if number else pieces[:length // BLOCK],
                         number)
            self.expect(kind, at, count, number)
        elif kind == "flush":
            number = self._call(os.fsync, disk.fd)
            self.expect(kind, 0, self.blocks, number)
        elif kind in ("discard", "zeroes"):
            code = stor.BLKDISCARD if kind == "discard" else stor.BLKZEROOUT
            number = self._call(disk.range, code, where, count * BLOCK)
            self.written(at, [ZEROES] * count, number)
            if kind == "discard":  # what a discarded block holds is open
                self.may[at:at + count] = [None] * count
            self.expect(kind, at, count, number)
        else:
            self.batch(disk, batch, at, count)
        self.doing = None

    def batch(self, disk, batch, at, count):
        """Adjacent single blocks, all at once."""
        write = self.random.random() < 0.6
        pieces = self.content(count)
        memories = [stor.buffer(piece if write else ZEROES)
                    for piece in pieces]
        ios = [(write, self.start + (at + number) * BLOCK, memory)
               for number, memory in enumerate(memories)]
        ends = batch.run(disk.fd, ios, self.faulty)
        for number, end in enumerate(ends):
            if end is None:
                self.ends["not submitted"] += 1
                continue
            what = "batched write" if write else "batched read"
            if write:
                self.written(at + number, [pieces[number]], end)
            elif end == 0:
                self.compare(at + number, bytes(memories[number]))
            # A merged request is one: what meets a fault in it is all of it.
            self.ends[f"{what} {errno.errorcode[end] if end else 'done'}"] += 1
            tap.check(not end or self.excuse(
                self.start + at * BLOCK, count * BLOCK),
                f"{what} of block {at + number} failed with "
                f"{errno.errorcode.get(end)}, and met no fault")

    def work(self, steps):
        """What the thread does."""
        try:
            batch = Batch(32)
            with stor.Disk(self.path) as disk:
                for _ in range(steps):
                    self.step(disk, batch)
            batch.close()
        except Exception as why:  # of a thread nobody else would see it
            self.wrong = f"{type(why).__name__}: {why} ({self.doing})"

    def verify(self):
        """When no more faults come: read it all."""
        with stor.Disk(self.path) as disk:
            at = 0
            while at < self.blocks:
                count = min(32, self.blocks - at)
                data = disk.read(self.start + at * BLOCK, count * BLOCK)
                self.compare(at, data)
                # What was in doubt is known now.
                for number in range(count):
                    self.may[at + number] = [
                        data[number * BLOCK:(number + 1) * BLOCK]]
                at += count


def together(regions, steps, limit):
    """Work on all regions at once; fail if one hangs or went wrong.

    Gives a function that has to be called to wait for the end.
    """
    threads = [threading.Thread(target=region.work, args=(steps,),
                                daemon=True) for region in regions]
    for thread in threads:
        thread.start()

    def wait():
        end = time.monotonic() + tap.patience(limit)
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        hung = [region.doing for region, thread in zip(regions, threads)
                if thread.is_alive()]
        if hung:
            for stack in pathlib.Path("/proc/self/task").glob("*/stack"):
                tap.note(stack.read_text())
        tap.check(not hung, f"not ended within {limit} s: {hung}")
        for region in regions:
            tap.check(not region.wrong, region.wrong)
    return wait


def outcome(regions):
    """How all I/Os have ended, as a Counter."""
    return sum((region.ends for region in regions), collections.Counter())
