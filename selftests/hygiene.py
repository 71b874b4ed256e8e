#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Where keys and data of an encrypted volume leave a trace: nowhere.

The lab searches the memory of the whole VM (lib/dump.py). Its kernel clears
memory when it is taken, and not when it is freed: what stor does not wipe
stays, and is found. So do what programs had that are needed to bring a key
in; therefore free memory is cleared once, before stor gets to know the keys.

What was freed is soon taken again, and cleared then. Each CPU takes first what
was freed on it; so a command that has to leave nothing behind is run on a CPU
of its own, which has nothing to do from then on.

The tests are steps of one story, each from where the last one has ended.
"""

import base64
import collections
import contextlib
import errno
import itertools
import mmap
import os
import pathlib
import re
import time

from lib import dump
from lib.blktrace import TRACING
from lib.stor import (Disk, MIB, backings, load, ready, refused, run, settle,
                      unload)
from lib.tap import Skip, check, equal, main, note, test, wait_until

# By its label: length, type.
KEYS = {"short": (32, "user"), "long": (64, "logon")}
HANDED = {"handed": (64, "logon")}  # for who encrypts below
PIECE = 8  # of keys is searched for, in bytes
# Away from where udev looks for file systems, which would have copies.
AT = 32 * MIB
CACHED = 2 * MIB
MARKER, MARKERS = 128, 10000
# Of writes, and how far from the beginning of a page their memory is.
SIZES = [4096, 8192, 65536, 131072]
SHIFTS = [0, 512, 2048]

# What was said and shown while the keys were in use.
told = []
begin = time.time()


def storadm(*words):
    """Run the tool, remember what it says."""
    done = run("storadm", *words)
    told.append(f"{done.args}\n{done.stdout}{done.stderr}".encode())
    return done.stdout


Story = collections.namedtuple("Story", "lab stor devices unseen")


class Listening:
    """A socket; all that comes is remembered."""

    def __init__(self, sock):
        self.sock = sock

    def recv(self, size):
        """The bytes of one datagram."""
        data = self.sock.recv(size)
        told.append(data)
        return data

    def __getattr__(self, name):
        return getattr(self.sock, name)


@contextlib.contextmanager
def apart():
    """Be on a CPU on which nothing else is done."""
    os.sched_setaffinity(0, [os.cpu_count() - 1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, [0])


def setup():
    """The lab, the family, and the devices."""
    lab = dump.Lab()
    if os.cpu_count() < 2:
        raise Skip("two CPUs are needed")
    os.sched_setaffinity(0, [0])
    devices = backings()
    stor = ready()
    stor.sock.sock = Listening(stor.sock.sock)
    (TRACING / "events/stor/enable").write_text("1")
    return (Story(lab, stor, devices, unseen()),)


def name(label):
    """Of a key, as a volume takes it."""
    return f"{(KEYS | HANDED)[label][1]}:stor:{label}"


def unseen():
    """How many keys of root's the kernel has that nobody can see.

    Some are its own; others were removed, and are wiped some time later.
    """
    seen = sum(line.split()[5] == "0" for line in
               pathlib.Path("/proc/keys").read_text().splitlines())
    (count,) = re.findall(r"^\s*0: *\d+ (\d+)/", pathlib.Path(
        "/proc/key-users").read_text(), flags=re.M)
    return int(count) - seen


def remove(label, usual):
    """Remove a key from its keyring, and wait until it is wiped."""
    storadm("key", "remove", name(label))

    def gone():
        return (f"stor:{label}:" not in pathlib.Path("/proc/keys").read_text()
                and unseen() == usual)
    wait_until(gone, f"the kernel forgets the key; {usual} are its own, and "
               f"{unseen()} are not seen", 60)


def ciphers():
    """How many use each implementation of AES-XTS."""
    found = {}
    for block in pathlib.Path("/proc/crypto").read_text().split("\n\n"):
        values = dict(map(str.strip, line.split(":", 1))
                      for line in block.splitlines() if ":" in line)
        if values.get("name") == "xts(aes)":
            found[values["driver"]] = int(values["refcnt"])
    return found


def refuse_last(story, label, device, there):
    """Have a volume refused when its cipher has been made.

    Of all that has to do with a key this does least after the key was freed.
    """
    at = story.stor.get(name=there)["offset"]
    refused(errno.EBUSY, f"offset: {at} overlaps volume {there}",
            story.stor.new, "other", device, blames="offset", key=name(label),
            offset=at, length=MIB)


@test
def added(story):
    """a key that was added is in its keyring, and nowhere else"""
    add(story, KEYS)


def add(story, keys):
    """Put keys into keyrings; what has brought them in has gone then."""
    for label, (length, kind) in keys.items():
        told.append(dump.give(
            story.lab.key(label, length), "storadm", "key", "add",
            f"stor:{label}", "--type", kind).encode())
    # That may have left some of them where it is not cleared.
    for _ in range(5):
        dump.scrub()
        found = story.lab.search().tell("added", *keys)
        if all(found.times(label, "pieces") == length // PIECE
               for label, (length, _) in keys.items()):
            break
    for label, (length, _) in keys.items():
        equal(found.counts(label),
              {"whole": 1, "pieces": length // PIECE, "rounds": 0, "swapped": 0,
               "text": 0}, label)
        equal(found.times(label, "pieces"), length // PIECE, label)
        equal(found.times(label, "whole"), 1, label)
        found.none(label, "drives")


@test
def used(story):
    """while a volume has it, its round keys are found"""
    before = ciphers()
    for label, device in zip(KEYS, story.devices):
        storadm("volume", "create", label, "--backing", device, "--length",
                "128MiB", "--key", name(label))
    storadm("volume", "create", "plain", "--backing", story.devices[1],
            "--offset", "256MiB")
    settle()
    check(sum(ciphers().values()) == sum(before.values()) + len(KEYS),
          f"ciphers in use: {before}, then {ciphers()}")
    for number in range(len(KEYS)):
        with Disk(f"/dev/stor{number}") as disk:
            for at in range(0, 4 * MIB, MIB):
                disk.write(at, bytes(MIB))
                equal(disk.read(at, MIB), bytes(MIB), "what was written")
    with apart():
        for label, device in zip(KEYS, story.devices):
            story.stor.new("other", device, key=name(label), length=MIB,
                           offset=128 * MIB)
            story.stor.delete(name="other")
        for label, device in zip(KEYS, story.devices):
            refuse_last(story, label, device, label)
    found = story.lab.search().tell("used", *KEYS)
    for label, (length, _) in KEYS.items():
        in_cipher_only(found, label, length // PIECE)
        equal(found.times(label, "whole"), 1, f"{label}: in a keyring")


def in_cipher_only(found, label, other=0):
    """Fail unless a key is in memory as one cipher has it, and no more.

    Its pieces may be somewhere else so many times in all. What is for
    decryption ends with the round keys that encryption begins with, and the
    other way round: each is there twice, in both halves of the key.
    """
    twice = 2 * 16 // PIECE
    for kind, more in ("pieces", other), ("rounds", 0):
        equal(found.missing(label, kind), 0, f"{label}: missing {kind}")
        equal(found.times(label, kind),
              found.counts(label)[kind] + twice + more, f"{label}: {kind}")
    for kind in "swapped", "text":
        equal(found.counts(label)[kind], 0, f"{label}: {kind}")
    found.none(label, "drives")


def read(paths):
    """What files say, those that can be read."""
    text = []
    for path in paths:
        # A process may end, and a file of sysfs have nothing to say.
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                with open(path, "rb") as file:
                    text.append(f"\n{path}: ".encode() + file.read(1 << 20))
    return b"".join(text)


def below(*folders, since=0):
    """Files, that have changed since then."""
    for folder in folders:
        for path in pathlib.Path(folder).rglob("*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime >= since:
                    yield path


@test
def not_told(story):
    """nothing that can be read has a byte of it"""
    told.append(repr(story.stor.dump()).encode())
    calls = run("strace", "-f", "-e", "trace=open,openat,creat", "storadm",
                "key", "add", "stor:other", "--random", "512").stderr
    storadm("key", "remove", "logon:stor:other")
    check("O_RDONLY" in calls, f"no calls: {calls}")
    check(not re.search("O_WRONLY|O_RDWR|O_CREAT|creat", calls),
          f"the tool writes files: {calls}")
    for words in (["volume", "list"], ["volume", "show", "long"],
                  ["key", "list"], ["info"], ["stat"]):
        storadm(*words)
        storadm("--json", *words)
    proc = pathlib.Path("/proc")
    texts = {
        "the kernel log": run("dmesg").stdout.encode(),
        "tracepoints": (TRACING / "trace").read_bytes(),
        "what the tool and netlink said": b"\n".join(told),
        "sysfs and debugfs": read(below(
            "/sys/module/stor", *(f"/sys/{place}/stor{number}"
                                  for place in ("block", "kernel/debug/block")
                                  for number in range(len(KEYS))))),
        "processes": read([*proc.glob("[0-9]*/cmdline"),
                           *proc.glob("[0-9]*/environ")]),
        "procfs": read([proc / "keys", proc / "key-users", proc / "crypto"]),
        "files": read(below("/run", "/tmp", "/root", "/dev/shm", "/var/tmp",
                            since=begin)),
    }
    (TRACING / "events/stor/enable").write_text("0")
    check(b"stor_lower_submit" in texts["tracepoints"], "no tracepoints")
    for what, text in texts.items():
        note(f"{what}: {len(text)} bytes")
        check(len(text) > 100, f"{what}: nothing to search")
        found = story.lab.text(text)
        for label in KEYS:
            found.none(label)


@test
def removed(story):
    """a key that left its keyring is with its volume only"""
    remove("short", story.unseen)
    found = story.lab.search().tell("removed", "short")
    in_cipher_only(found, "short")
    equal(found.times("short", "whole"), 0, "the key in one piece")


@test
def locked(story):
    """a locked volume has forgotten its key, while its disk stays"""
    before = sum(ciphers().values())
    with apart():
        storadm("volume", "lock", "short")
    equal(sum(ciphers().values()), before - 1, "ciphers in use")
    equal(story.stor.get(name="short")["state"], "locked", "state")
    story.lab.search().tell("locked", "short").none("short")


@test
def deleted(story):
    """of a deleted volume, and a removed key, nothing is left"""
    before = sum(ciphers().values())
    settle()
    with apart():
        for label in KEYS:
            storadm("volume", "delete", label)
        refuse_last(story, "long", story.devices[1], "plain")
    # One was locked before.
    wait_until(lambda: sum(ciphers().values()) == before - len(KEYS) + 1,
               "the volumes end", 60)
    remove("long", story.unseen)
    found = story.lab.search().tell("deleted", *KEYS)
    storadm("volume", "delete", "plain")
    for label in KEYS:
        found.none(label)


@test
def handed_on(story):
    """so it is where the kernel encrypts in the place of hardware"""
    add(story, HANDED)
    (label,) = HANDED
    storadm("volume", "create", label, "--backing", story.devices[0],
            "--length", "128MiB", "--key", name(label), "--sector-size", "512",
            "--crypto-engine", "blk-crypto")
    try:
        remove(label, story.unseen)
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, bytes(MIB))
            equal(disk.read(0, MIB), bytes(MIB), "what was written")
        found = story.lab.search().tell("handed on", label)
        for kind in "whole", "rounds":
            equal(found.missing(label, kind), 0, f"missing {kind}")
        found.none(label, "drives")
        with apart():
            storadm("volume", "lock", label)
        story.lab.search().tell("handed on, locked", label).none(label)
    finally:
        with apart():
            storadm("volume", "delete", label)
    story.lab.search().tell("handed on, deleted", label).none(label)


def fill(memory, marker):
    """Fill memory with markers, without a copy elsewhere."""
    view = memoryview(memory)
    done = MARKER
    view[:done] = memoryview(marker)[:done]
    while done < len(view):
        length = min(done, len(view) - done)
        view[done:done + length] = view[:length]
        done += length


def wipe(*memories):
    """Overwrite memory where it is, and registers as they were used for it."""
    other = mmap.mmap(-1, mmap.PAGESIZE)
    other[:] = bytes(range(256)) * (mmap.PAGESIZE // 256)
    for memory in memories:
        fill(memory, other)
        check(memoryview(memory)[:MARKER] == memoryview(other)[:MARKER],
              "not overwritten")


def write_all(disk, memory, at):
    """Write markers in all sizes, from all places in a page; where to go on."""
    end = at + MARKERS * MARKER
    for size, shift in itertools.cycle(itertools.product(SIZES, SHIFTS)):
        if at >= end:
            return at
        data = memoryview(memory)[shift:shift + size]
        equal(os.pwritev(disk.fd, [data], at), size, "bytes written")
        at += size


@test
def cached(story):
    """a marker that is written through the page cache is on no drive"""
    storadm("key", "add", "stor:marked", "--random", "512")
    storadm("volume", "create", "marked", "--backing", story.devices[0],
            "--key", "logon:stor:marked")
    storadm("key", "remove", "logon:stor:marked")
    settle()
    marker = story.lab.marker("marker", MARKER)
    memory = mmap.mmap(-1, CACHED)
    fill(memory, marker)
    with open("/dev/stor0", "r+b", buffering=0) as disk:
        equal(os.pwrite(disk.fileno(), memory, AT), CACHED, "bytes written")
        os.fsync(disk.fileno())
        found = story.lab.search().tell("cached", "marker")
        # What the page cache drops stays in free memory, and would hide what
        # stor leaves there.
        wipe(marker, memory)
        equal(os.pwrite(disk.fileno(), memory, AT), CACHED, "bytes written")
        os.fsync(disk.fileno())
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    # Once in the memory of whoever writes and once in the page cache.
    equal(found.times("marker", "whole"), 2 * CACHED // MARKER + 1,
          "markers in memory")
    found.none("marker", "drives")


@test
def written(story):
    """one that is written 10000 times leaves none in memory, nor on a drive"""
    marker = story.lab.marker("marker", MARKER)
    memory, back = (mmap.mmap(-1, max(SIZES) + max(SHIFTS)) for _ in range(2))
    fill(memory, marker)
    with apart(), Disk("/dev/stor0") as disk:
        end = write_all(disk, memory, AT)
        for at in range(AT, end, max(SIZES)):
            data = memoryview(back)[:min(max(SIZES), end - at)]
            equal(os.preadv(disk.fd, [data], at), len(data), "bytes read")
            check(data == memoryview(memory)[:len(data)], "other bytes")
        # At the end of all, what has just been used was used for a marker.
        write_all(disk, memory, AT)
        wipe(marker, memory, back)
        found = story.lab.search().tell("written", "marker")
    found.none("marker")


@test
def unloaded(story):
    """nor when the module has freed all its memory"""
    storadm("volume", "delete", "marked")
    unload()
    try:
        story.lab.search().tell("unloaded", "marker").none("marker")
    finally:
        load()


@test
def searched(story):
    """had there been something, the search would have found it"""
    # From here on this process has a secret.
    turned = bytes.fromhex(story.lab.key("control", 64))
    key = bytes(255 - byte for byte in turned)
    for text, kind in ((key, "whole"), (key[8:16], "pieces"),
                       (b"key: " + key.hex(" ").encode(), "text"),
                       (key.hex().upper().encode(), "text"),
                       (b'{"key": "' + base64.b64encode(key), "text")):
        found = story.lab.text(b"some text " + text + b" more of it")
        check(found.counts("control", "text")[kind], f"{kind}: not found")
    found = story.lab.text(b"some text " + turned)
    found.none("control")
    with Disk(story.devices[-1]) as disk:
        disk.write(disk.size() - 4096, key + bytes(4096 - len(key)))
    found = story.lab.search().tell("control", "control")
    for place in "memory", "drives":
        check(found.counts("control", place)["whole"], f"{place}: not found")


if __name__ == "__main__":
    main(setup)
