# SPDX-License-Identifier: GPL-2.0
"""Secrets, and searches for them in this machine's memory, by the lab.

Where a VM was started with --dump, qemu-test/lib/dump.py answers.
"""

import json
import mmap
import os
import pathlib
import subprocess
import sys

from . import tap

PORT = "/dev/virtio-ports/stor.dump"
PROCESSES = 40

# Reads the complement of a secret, writes the secret.
TURN = """import sys
sys.stdout.buffer.write(bytes(255 - byte for byte in
                              bytes.fromhex(sys.argv[1])))"""

# Takes memory until little is left; the kernel clears what it gives. Each CPU
# has some that another one does not get.
SCRUB = """import itertools, mmap, os
def free():
    for line in open("/proc/meminfo"):
        if line.startswith("MemFree:"):
            return int(line.split()[1]) << 10
taken = []
size = 4 << 20
for cpu in itertools.cycle(sorted(os.sched_getaffinity(0))):
    os.sched_setaffinity(0, [cpu])
    while size and free() < (12 << 20) + size:
        size >>= 1
    if size < 1 << 16:
        break
    taken.append(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE
                           | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
"""


class Lab:
    """The host's side."""

    def __init__(self):
        if not os.path.exists(PORT):
            raise tap.Skip("memory can be searched only in a VM of the lab, "
                           "started with --dump")
        self.port = open(PORT, "r+b", buffering=0)

    def ask(self, question, data=b""):
        """Ask, and wait for the answer."""
        data = memoryview(f"{question}\n".encode() + data)
        while data:
            data = data[self.port.write(data):]
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self.port.read(1 << 16)
        answer = json.loads(answer)
        tap.check(not isinstance(answer, str) or " " not in answer, answer)
        return answer

    def key(self, label, length):
        """The complement of a key, in hexadecimal digits."""
        return self.ask(f"key {label} {length}")

    def marker(self, label, length):
        """A marker, in memory of its own, of which no copy is made."""
        page = mmap.mmap(-1, max(length, mmap.PAGESIZE))
        turned = bytes.fromhex(self.ask(f"marker {label} {length}"))
        for at, byte in enumerate(turned):
            page[at] = 255 - byte
        return page

    def search(self):
        """What is found in memory, and on the drives.

        The machine is stopped meanwhile. One run did not end after that; udev
        was at work when it was stopped, and may have waited for the root file
        system, which is outside. Not proved; there was no such run since.
        """
        tap.wait_until(lambda: not os.path.exists("/run/udev/queue"),
                       "the end of udev's work", 30)
        return Found(self.ask("search"))

    def text(self, data):
        """What is found in some bytes."""
        return Found(self.ask(f"text {len(data)}", data))


class Found:
    """What was found."""

    def __init__(self, by_label):
        self.by_label = by_label

    def counts(self, label, place="memory"):
        """How many different patterns were found, by their kinds."""
        return {kind: counts[1]
                for kind, counts in self.by_label[label][place].items()}

    def times(self, label, kind, place="memory"):
        """How often, in all."""
        return self.by_label[label][place][kind][2]

    def missing(self, label, kind, place="memory"):
        """How many patterns of a kind were not found."""
        there, found, _ = self.by_label[label][place][kind]
        return there - found

    def tell(self, what, *labels):
        """A line for each place: found patterns of all, times."""
        for label in labels:
            for place, kinds in self.by_label[label].items():
                tap.note(f"{what}: {label} in {place}: " + ", ".join(
                    f"{kind} {found}/{there}" + (f" ({times} times)"
                                                 if found else "")
                    for kind, (there, found, times) in kinds.items()))
        return self

    def none(self, label, *places):
        """Fail if anything of a secret was found."""
        for place in places or self.by_label[label]:
            tap.equal(sum(self.counts(label, place).values()), 0,
                      f"patterns of {label} in {place}")


def give(turned, *command):
    """Run a program that gets a secret, of which this one has the complement.

    What has had it has ended afterwards; its memory is free, not clear.
    """
    with subprocess.Popen([sys.executable, "-c", TURN, turned],
                          stdout=subprocess.PIPE) as source:
        done = subprocess.run(command, stdin=source.stdout, check=False,
                              capture_output=True, text=True)
    tap.equal(done.returncode, 0, f"{' '.join(command)}: {done.stderr}")
    return done.stdout + done.stderr


def churn():
    """Have many processes at once, and end them.

    What a process had in registers stays where the kernel has put it when it
    ran another one, and on its stack; both are only ever used for the next
    process, and not cleared.
    """
    for process in [subprocess.Popen(["sleep", "1"])
                    for _ in range(PROCESSES)]:
        process.wait()


def scrub():
    """Have the kernel clear most of what is free."""
    churn()
    least = pathlib.Path("/proc/sys/vm/min_free_kbytes")
    usual = least.read_text()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    pathlib.Path("/proc/sys/vm/compact_memory").write_text("1")
    least.write_text("1024")
    try:
        subprocess.run([sys.executable, "-c", SCRUB], check=True)
    finally:
        least.write_text(usual)
