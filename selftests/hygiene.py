#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Where keys and data of an encrypted volume leave a trace: nowhere.

The lab searches the memory of the whole VM (lib/dump.py). Its kernel clears
memory when it is taken, and not when it is freed: what stor does not wipe
stays, and is found. So do what programs had that are needed to bring a key
in; therefore free memory is cleared once, before stor gets to know the keys.

The tests are steps of one story, each from where the last one has ended.
"""

import base64
import contextlib
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
import dump  # noqa: E402
import netlink  # noqa: E402
from blktrace import TRACING  # noqa: E402
from stor import (HERE, MIB, Disk, backings, ready, run, settle,  # noqa: E402
                  unload)
from tap import check, equal, main, note, test, wait_until  # noqa: E402

# By its label: length, type.
KEYS = {"short": (32, "user"), "long": (64, "logon")}
# Away from where udev looks for file systems, which would have copies.
AT = 32 * MIB
MARKER = 128
WRITES = 10000
SIZES = [4096, 8192, 65536, 131072]

# What was said and shown while the keys were in use.
told = []


def storadm(*words):
    """Run the tool, remember what it says."""
    done = run("storadm", *words)
    told.append(f"{done.args}\n{done.stdout}{done.stderr}".encode())
    return done.stdout


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


def setup():
    """The lab, the family, and the devices."""
    lab = dump.Lab()
    devices = backings()
    stor = ready()
    stor.sock.sock = Listening(stor.sock.sock)
    (TRACING / "events/stor/enable").write_text("1")
    return lab, stor, devices


def name(label):
    """Of a key, as a volume takes it."""
    return f"{KEYS[label][1]}:stor:{label}"


def keys_gone():
    """Whether the kernel has forgotten all keys that were removed.

    It does so some time later; the keys of root that it still has, whether
    anybody can see them or not, are in /proc/key-users.
    """
    if any(f"stor:{label}" in pathlib.Path("/proc/keys").read_text()
           for label in KEYS):
        return False
    visible = sum(line.split()[5] == "0" for line in
                  pathlib.Path("/proc/keys").read_text().splitlines())
    for line in pathlib.Path("/proc/key-users").read_text().splitlines():
        uid, _, counts, _, _ = line.split()
        if uid == "0:":
            return int(counts.split("/")[0]) == visible
    return False


def ciphers():
    """How many use each implementation of AES-XTS."""
    found = {}
    for block in pathlib.Path("/proc/crypto").read_text().split("\n\n"):
        values = dict(map(str.strip, line.split(":", 1))
                      for line in block.splitlines() if ":" in line)
        if values.get("name") == "xts(aes)":
            found[values["driver"]] = int(values["refcnt"])
    return found


@test
def added(lab, _stor, _devices):
    """a key that was added is in its keyring, and nowhere else"""
    for label, (length, kind) in KEYS.items():
        told.append(dump.give(
            lab.key(label, length), "storadm", "key", "add", f"stor:{label}",
            "--type", kind).encode())
    # What brought them in may have left some of them where it is not cleared.
    for _ in range(3):
        dump.scrub()
        found = lab.search().tell("added")
        if all(found.times(label, "whole") == 1
               and found.counts(label)["rounds"] == 0 for label in KEYS):
            break
    for label, (length, _) in KEYS.items():
        equal(found.counts(label), {"whole": 1, "pieces": length // 8,
                                    "rounds": 0, "text": 0}, label)
        equal(found.times(label, "pieces"), length // 8, label)
        found.none(label, "drives")


@test
def used(lab, stor, devices):
    """while a volume has it, its round keys are found"""
    before = ciphers()
    for label, device in zip(KEYS, devices):
        storadm("volume", "create", label, "--backing", device, "--key",
                name(label))
    settle()
    check(sum(ciphers().values()) == sum(before.values()) + len(KEYS),
          f"ciphers in use: {before}, then {ciphers()}")
    for number in range(len(KEYS)):
        with Disk(f"/dev/stor{number}") as disk:
            for at in range(0, 4 * MIB, MIB):
                disk.write(at, bytes(MIB))
                equal(disk.read(at, MIB), bytes(MIB), "what was written")
    found = lab.search().tell("used")
    for label in KEYS:
        for kind in "pieces", "rounds":
            check(found.counts(label)[kind], f"{label}: no {kind}")
        equal(found.times(label, "whole"), 1, f"{label}: not only in a keyring")
        equal(found.counts(label)["text"], 0, f"{label}: in writing")
        found.none(label, "drives")
    # Volumes that are refused, and gone, leave no more than those.
    for _ in range(8):
        for label, device in zip(KEYS, devices):
            with contextlib.suppress(netlink.Refused):
                stor.new("twice", device, key=name(label))
                stor.delete(name="twice")


def contents(folder, most=1 << 20):
    """What all files below a folder say."""
    for path in sorted(pathlib.Path(folder).rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                with open(path, "rb") as file:
                    yield f"\n{path}: ".encode() + file.read(most)


@test
def not_told(lab, stor, _devices):
    """nothing that can be read has a byte of it"""
    told.append(repr(stor.dump()).encode())
    for words in (["volume", "list"], ["volume", "show", "long"],
                  ["key", "list"], ["info"], ["stat"]):
        storadm(*words)
        storadm("--json", *words)
    places = {
        "sysfs": ["/sys/block/stor0/", "/sys/block/stor1/",
                  "/sys/module/stor/", "/sys/kernel/debug/block/stor0",
                  "/sys/kernel/debug/block/stor1"],
        "files": ["/run", "/tmp", "/root", "/var", "/etc/storadm"],
    }
    texts = {place: b"".join(part for folder in folders
                             for part in contents(folder))
             for place, folders in places.items()}
    texts["the kernel log"] = run("dmesg").stdout.encode()
    texts["tracepoints"] = (TRACING / "trace").read_bytes()
    texts["what the tool and netlink said"] = b"\n".join(told)
    texts["/proc"] = b"".join(
        path.read_bytes() for kind in ("cmdline", "environ")
        for path in pathlib.Path("/proc").glob(f"[0-9]*/{kind}")
        if path.exists()) + b"".join(
        pathlib.Path(f"/proc/{file}").read_bytes()
        for file in ("keys", "key-users", "crypto", "kallsyms"))
    check(b"stor_lower_submit" in texts["tracepoints"], "no tracepoints")
    for what, text in texts.items():
        note(f"{what}: {len(text)} bytes")
        check(len(text) > 100, f"{what}: nothing to search")
        found = lab.text(text)
        for label in KEYS:
            found.none(label)


@test
def removed(lab, _stor, _devices):
    """a key that left the keyring is with its volume only"""
    for label in KEYS:
        storadm("key", "remove", name(label))
    wait_until(keys_gone, "the kernel forgets the keys")
    found = lab.search().tell("removed")
    for label in KEYS:
        equal(found.counts(label)["whole"], 0, f"{label}: as a whole")
        for kind in "pieces", "rounds":
            check(found.counts(label)[kind], f"{label}: no {kind}")


@test
def deleted(lab, _stor, _devices):
    """of a deleted volume nothing of its key is left"""
    before = sum(ciphers().values())
    for label in KEYS:
        settle()
        storadm("volume", "delete", label)
    wait_until(lambda: sum(ciphers().values()) == before - len(KEYS),
               "the volumes end")
    found = lab.search().tell("deleted")
    for label in KEYS:
        found.none(label)


if __name__ == "__main__":
    main(setup)
