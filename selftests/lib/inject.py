# SPDX-License-Identifier: GPL-2.0
"""Faults that a debug kernel injects when it is asked to.

What is here needs CONFIG_FAULT_INJECTION_DEBUG_FS and its capabilities, see
the kernel's Documentation/fault-injection and block/error-injection.rst.
"""

import collections
import contextlib
import os
import pathlib
import re

from . import tap

DEBUGFS = pathlib.Path("/sys/kernel/debug")
ALLOCATIONS = ("failslab", "fail_page_alloc")
ALL = (1 << 64) - 1
MANY = 1 << 30  # more than there will be, and can be counted down


def need(*capabilities):
    """Skip unless the kernel has these."""
    for name in capabilities:
        if not (DEBUGFS / name).is_dir():
            raise tap.Skip(f"this kernel does not inject faults: no {name} "
                           f"in {DEBUGFS}")
    if not (DEBUGFS / capabilities[0] / "require-start").exists():
        raise tap.Skip("no stacktrace filter for faults in this kernel")


def _symbols():
    """Functions of the kernel in the order of their addresses.

    As address, name and module.
    """
    text = pathlib.Path("/proc/kallsyms").read_text()
    return sorted(
        (int(address, 16), name, module) for address, name, module in
        re.findall(r"^(\w+) [tT] (\S+)(?:\t\[(\w+)\])?$", text, re.M))


def module_text(name="stor"):
    """Where the code of a module begins and ends."""
    found = [address for address, _, module in _symbols() if module == name]
    tap.check(found and min(found), f"no addresses of {name} in kallsyms")
    # Whole pages, which no other module has a part of.
    return min(found) & ~4095, (max(found) | 4095) + 4097


def kmemleak_text():
    """The same of what kmemleak does at each allocation."""
    symbols = _symbols()
    names = {"mem_pool_alloc", "__alloc_object", "__create_object",
             "create_object", "kmemleak_alloc", "kmemleak_alloc_percpu"}
    middle = [address for address, name, module in symbols
              if name == "kmemleak_alloc" and not module]
    if not middle:
        return 0, 0
    # Other files may have functions by these names.
    at = [number for number, (address, name, module) in enumerate(symbols)
          if name in names and not module and
          abs(address - middle[0]) < 32768]
    return symbols[at[0]][0], symbols[at[-1] + 1][0]


class Capability:
    """One of the kernel's ways to fail."""

    def __init__(self, name):
        self.path = DEBUGFS / name

    def set(self, **values):
        """Write its settings; False and True are N and Y."""
        for key, value in values.items():
            if isinstance(value, bool):
                value = "NY"[value]
            (self.path / key.replace("_", "-")).write_text(str(value))

    def reset(self):
        """As it is after boot, but for what concerns which allocations."""
        self.set(probability=0, interval=1, times=1, space=0, verbose=0,
                 task_filter=False, require_start=0, require_end=hex(ALL),
                 reject_start=0, reject_end=0)

    def count(self):
        """How many have been injected since times was MANY."""
        return MANY - int((self.path / "times").read_text())


class Failing:
    """Faults that are switched on."""

    def __init__(self, capabilities):
        self.capabilities = capabilities

    def count(self):
        """How many there have been."""
        return sum(each.count() for each in self.capabilities)


@contextlib.contextmanager
def allocations(probability=0, within=None, without=None, tasks=False,
                waiting=True):
    """Let allocations fail.

    probability: of each, in percent; 0 if only fail-nth is used
    within, without: a range of addresses that has to be, or must not be, in
    the chain of callers
    tasks: only those of tasks that ask for it, see this_task
    waiting: those that may sleep as well
    """
    failing = Failing([Capability(name) for name in ALLOCATIONS])
    try:
        for each in failing.capabilities:
            each.reset()
            each.set(ignore_gfp_wait=not waiting, times=MANY,
                     stacktrace_depth=32, task_filter=tasks)
            if within:
                each.set(require_start=hex(within[0]),
                         require_end=hex(within[1]))
            if without:
                each.set(reject_start=hex(without[0]),
                         reject_end=hex(without[1]))
        failing.capabilities[1].set(min_order=0)
        for each in failing.capabilities:
            each.set(probability=probability)
        yield failing
    finally:
        for each in failing.capabilities:
            each.set(probability=0)
            each.reset()
            each.set(ignore_gfp_wait=True)
        failing.capabilities[1].set(min_order=1)


@contextlib.contextmanager
def reserves(within):
    """Let memory pools give what they have in reserve, and nothing else."""
    need("fail_mempool_alloc")
    capability = Capability("fail_mempool_alloc")
    try:
        capability.reset()
        capability.set(times=MANY, stacktrace_depth=32,
                       require_start=hex(within[0]),
                       require_end=hex(within[1]), probability=100)
        yield Failing([capability])
    finally:
        capability.set(probability=0)
        capability.reset()


@contextlib.contextmanager
def this_task():
    """For allocations(tasks=True): those of this thread, from now on."""
    fd = os.open("/proc/thread-self/make-it-fail", os.O_WRONLY)
    os.pwrite(fd, b"1", 0)
    try:
        yield
    finally:
        os.pwrite(fd, b"0", 0)
        os.close(fd)


class Nth:
    """Lets the nth allocation of this thread fail."""

    def __init__(self):
        self.fd = os.open("/proc/thread-self/fail-nth", os.O_RDWR)

    def close(self):
        """Close it."""
        os.close(self.fd)

    @contextlib.contextmanager
    def fails(self, number):
        """In the body; gives a list, true afterwards if one has failed.

        The body should be little more than a system call, as the
        interpreter, too, may need memory.
        """
        hit = []
        os.pwrite(self.fd, b"%d" % number, 0)
        try:
            yield hit
        finally:
            left = int(os.pread(self.fd, 16, 0))
            os.pwrite(self.fd, b"0", 0)
            if left == 0:
                hit.append(True)


@contextlib.contextmanager
def bios(device, probability=100, interval=1):
    """Let bios to a device fail with EIO (fail_make_request)."""
    capability = Capability("fail_make_request")
    switch = device.sys / "make-it-fail"
    if not switch.exists():
        raise tap.Skip("no make-it-fail for block devices")
    try:
        capability.reset()
        capability.set(times=MANY, interval=interval, probability=probability)
        switch.write_text("1")
        yield Failing([capability])
    finally:
        switch.write_text("0")
        capability.set(probability=0)
        capability.reset()


@contextlib.contextmanager
def lost_answers(disk, milliseconds):
    """Let a driver never hear of the end of an I/O (fail_io_timeout).

    It gives up on it after that time. Gives a function that loses the next
    answer, with the number of those to let through before.
    """
    need("fail_io_timeout")
    capability = Capability("fail_io_timeout")
    folder = pathlib.Path("/sys/block") / disk
    patience = folder / "queue/io_timeout"
    if not (folder / "io-timeout-fail").exists():
        raise tap.Skip(f"answers to {disk} can not be lost")
    before = patience.read_text()

    def lose(after):
        capability.set(probability=0)
        capability.set(space=0, interval=after + 1, times=1)
        capability.set(probability=100)
    try:
        capability.reset()
        patience.write_text(str(milliseconds))
        (folder / "io-timeout-fail").write_text("1")
        yield lose
    finally:
        capability.set(probability=0)
        capability.reset()
        (folder / "io-timeout-fail").write_text("0")
        patience.write_text(before)


class ErrorRules:
    """The block layer's list of errors for parts of a device."""

    def __init__(self, device):
        self.file = DEBUGFS / "block" / device.name / "error_injection"
        if not self.file.exists():
            raise tap.Skip("no error injection of the block layer "
                           "(CONFIG_BLK_ERROR_INJECTION)")

    def __enter__(self):
        self.clear()
        return self

    def __exit__(self, *_):
        self.clear()

    def add(self, operation, status, start, length, chance=1):
        """Every I/O, or one in chance, that touches these bytes fails."""
        self.file.write_text(
            f"add,op={operation},status={status},start={start // 512},"
            f"nr_sectors={length // 512},chance={chance}")

    def clear(self):
        """No errors any more."""
        self.file.write_text("removeall")


def summary(counter):
    """A Counter in words, what is most first."""
    return ", ".join(f"{count} {what}" for what, count in
                     collections.Counter(counter).most_common())
