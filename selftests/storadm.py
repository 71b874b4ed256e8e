#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The tool storadm against the module: exit codes, words, JSON, events."""

import os
import re
import signal
import subprocess
import time
import uuid

from lib import keys
from lib.stor import Disk, MIB, load, pattern, settle, unload
from lib.tap import Skip, check, equal, main, patience, test
from lib.tool import cleanup, ready

UUID = "00112233-4455-6677-8899-aabbccddeeff"
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def tool_key(key):
    """the tool's key for an attribute: times have their unit in it"""
    unit = "_ns" if key in ("gate-last", "gate-longest") else ""
    return key.replace("-", "_") + unit


@test
def life(stor, devices, tool):
    """create, list, show and delete, through a pipe: data and no more"""
    device = devices[0]
    tool.says(0, "/dev/stor0\n", "", "volume", "create", "one",
              "--backing", device, "--length", "1M", "--uuid", UUID)
    tool.says(0, "/dev/stor7\n", "", "volume", "create", "two",
              "--backing", device, "--offset", "1MiB", "--length", "2048K",
              "--index", "7")
    two = stor.get(name="two")
    equal((two["offset"], two["length"]), (MIB, 2 * MIB), "extent")
    never = "off\t0\t0\t0"
    tool.says(0, f"one\t/dev/stor0\t{MIB}\tlive\t0\t{UUID}\t{device}\t{never}\n"
              f"two\t/dev/stor7\t{2 * MIB}\tlive\t{MIB}\t{two['uuid']}\t"
              f"{device}\t{never}\n", "", "volume", "list")
    shown = [tool.run("volume", "show", *args).stdout
             for args in (("one",), ("--index", 0), ("--uuid", UUID))]
    equal(len(set(shown)), 1, "what three selectors show")
    volume = dict(line.split("\t") for line in shown[0].splitlines())
    want = stor.get(name="one")
    for key, value in want.items():
        if key == "read-only":
            value = "on" if value else "off"
        equal(volume[tool_key(key)], str(value), key)
    settle()
    tool.says(0, "", "", "volume", "delete", "one")
    tool.says(0, "", "", "volume", "delete", "--index", 7)
    tool.says(0, "", "", "volume", "list")
    equal(stor.dump(), [], "volumes")


@test
def documents(stor, devices, tool):
    """--json: each document fits the schema and says what the module says"""
    made = tool.json(0, "volume", "create", "one", "--backing", devices[0],
                     "--length", "1M", "--uuid", UUID)["volume"]
    want = stor.get(name="one")
    for key, value in want.items():
        value = str(value) if isinstance(value, uuid.UUID) else value
        equal(made[tool_key(key)], value, key)
    equal(tool.json(0, "volume", "list"),
          {"schema_version": 1, "volumes": [made], "interrupted": False})
    equal(tool.json(0, "volume", "show", "one")["volume"], made)
    info = tool.json(0, "info")["info"]
    equal((info["abi_version"], info["features"]),
          (1, ["volume", "gate", "stat", "encryption", "lock",
               "crypto-engine"]))
    error = tool.json(1, "volume", "create", "one", "--backing",
                      devices[0])["error"]
    equal(error, {"message": "cannot create volume one: name: volume one "
                  "exists (EEXIST)", "errno": "EEXIST", "attribute": "name"})
    settle()
    equal(tool.json(0, "volume", "delete", "one")["deleted"],
          {"name": "one", "uuid": None, "index": None})
    equal(tool.json(0, "volume", "list")["volumes"], [])
    if not tool.validator:
        raise Skip("no schema, or no python3-jsonschema, to hold it against")


def locks(tool, name, key):
    """Lock volume one, which is encrypted with that key, and unlock it."""
    shown = ("volume", "show", "one")
    for option, lock in ((), "hold"), (("--fail",), "fail"), (("--hold",),
                                                              "hold"):
        tool.says(0, "", "", "volume", "lock", "one", *option)
        got = tool.json(0, *shown)["volume"]
        equal((got["state"], got["lock"]), ("locked", lock), "state")
        tool.says(1, "", "storadm: cannot unlock volume one: key: "
                  f"{name} is in no keyring of yours (ENOKEY)\n",
                  "volume", "unlock", "one")
    other = "logon:stor:elsewhere"
    tool.says(0, f"{other}\n", "", "key", "add", "stor:elsewhere", "--hex",
              data=key.hex())
    made = tool.json(0, "volume", "unlock", "one", "--key", other)["volume"]
    equal((made["state"], made["lock"], made["key"]), ("live", None, other),
          "state")
    tool.says(0, "", "", "key", "remove", other)


@test
def encryption(stor, devices, tool):
    """a key comes in by a pipe, makes a volume, and goes; nobody sees it"""
    device, name = devices[0], "logon:stor:tool"
    key = pattern(9, 64)
    add = ("key", "add", "stor:tool")
    for data, why in (("00", "key: 1 bytes long, 32 or 64 are needed"),
                      ("00" * 64, "key: its two halves are equal"),
                      ("0x", "key: there is something else than "
                       "hexadecimal digits")):
        tool.says(1, "", f"storadm: cannot add key {name}: {why}\n",
                  *add, "--hex", data=data)
    tool.says(2, "", "storadm: key: logon:tool has no prefix that ends in a "
              "colon, as logon:stor:vm1 has\n", "key", "add", "tool",
              data=key.hex())
    tool.says(1, "", f"storadm: cannot remove key {name}: it is in no "
              "keyring of yours\n", "key", "remove", name)
    tool.says(1, "", f"storadm: cannot create volume one: key: {name} is in "
              "no keyring of yours (ENOKEY)\n", "volume", "create", "one",
              "--backing", device, "--key", name)
    tool.says(0, f"{name}\n", "", *add, "--hex", data=key.hex() + "\n")
    # One that is given takes the place of the other, one that is drawn does not.
    tool.says(0, f"{name}\n", "", "key", "add", name, "--file", "-", "--hex",
              data=key.hex())
    tool.says(1, "", f"storadm: cannot add key {name}: it exists, and would "
              "be lost; remove it first\n", *add, "--random", "512")
    check(f"{name}\t0\n" in tool.run("key", "list").stdout, "not listed")
    equal([found for found in tool.json(0, "key", "list")["keys"]
           if found["name"] == name], [{"name": name, "uid": 0}])
    made = tool.json(0, "volume", "create", "one", "--backing", device,
                     "--key", name, "--sector-size", "4K", "--iv-offset", "8",
                     "--iv-large-sectors", "--allow-discards",
                     "--length", "1M")["volume"]
    want = {"key": name, "cipher": "aes-xts-plain64", "key_size": 512,
            "crypto_sector": 4096, "iv_offset": 8, "iv_large_sectors": True,
            "discard": True, "crypto_engine": "software",
            "crypto_native": None}
    equal({part: made[part] for part in want}, want)
    tool.says(0, "", "", "key", "remove", name)
    check(name not in tool.run("key", "list").stdout, "still listed")
    settle()
    data = pattern(10, 8192)
    with Disk("/dev/stor0") as disk:
        disk.write(4096, data)
    locks(tool, name, key)
    stor.delete(name="one")
    # It was this key: what another volume with it reads is the same.
    with keys.key(key, "stor:other") as other:
        stor.new("two", device, key=other, crypto_sector=4096, iv_offset=8,
                 iv_large_sectors=1, length=MIB)
    settle()
    with Disk("/dev/stor0") as disk:
        equal(disk.read(4096, 8192), data, "what was written")
    stor.delete(name="two")
    tool.says(0, f"{name}\n", "", *add, "--hex", data=key.hex())
    made = tool.json(0, "volume", "create", "one", "--backing", device,
                     "--key", name, "--sector-size", "4K", "--iv-offset", "8",
                     "--iv-large-sectors", "--crypto-engine", "blk-crypto",
                     "--length", "1M")["volume"]
    want = {"cipher_driver": None, "cipher_slow": None,
            "crypto_engine": "blk-crypto", "crypto_native": False}
    equal({part: made[part] for part in want}, want)
    tool.says(0, "", "", "key", "remove", name)
    settle()
    with Disk("/dev/stor0") as disk:
        equal(disk.read(4096, 8192), data, "what was written")
    stor.delete(name="one")
    for bits in (256, 512):
        tool.says(0, f"{name}\n", "", *add, "--random", bits)
        volume = tool.json(0, "volume", "create", "one", "--backing", device,
                           "--key", name)["volume"]
        equal(volume["key_size"], bits, "key size")
        tool.says(0, "", "", "key", "remove", name)
        stor.delete(name="one")


@test
def refused(stor, devices, tool):
    """exit code 1, and the module's own words, if the module refuses"""
    device = devices[0]
    stor.new("one", device, length=MIB)
    for args, what in (
            (("create", "one", "--backing", device),
             "create volume one: name: volume one exists (EEXIST)"),
            (("create", "two", "--backing", device),
             "create volume two: offset: 0 overlaps volume one (EBUSY)"),
            (("create", "two", "--backing", device, "--offset", "1"),
             "create volume two: offset: 1 is not a multiple of the logical "
             f"block size {device.block} (EINVAL)"),
            (("create", "two", "--backing", "/dev/null"),
             "create volume two: backing: /dev/null is not a block device "
             "(ENOTBLK)"),
            (("create", "two", "--backing", "/dev/none"),
             "create volume two: backing: /dev/none does not exist (ENOENT)"),
            (("delete", "two"),
             "delete volume two: name: no volume two (ENOENT)"),
            (("show", "two"),
             "show volume two: name: no volume two (ENOENT)")):
        tool.says(1, "", f"storadm: cannot {what}\n", "volume", *args)
    settle()
    with Disk("/dev/stor0", os.O_RDONLY):
        tool.says(1, "", "storadm: cannot delete volume one: stor0 of volume "
                  "one is open (EBUSY)\n", "volume", "delete", "one")
    stor.delete(name="one")


@test
def usage(_stor, devices, tool):
    """exit code 2, with help on stderr, if it is used wrongly"""
    for args in ((), ("nonsense",), ("--nonsense",), ("volume",),
                 ("volume", "create"), ("volume", "create", "one"),
                 ("volume", "create", "one", "--backing"),
                 ("volume", "create", "one", "two", "--backing", devices[0]),
                 ("volume", "create", "one", "--backing", devices[0],
                  "--offset", "1X"),
                 ("volume", "create", "one", "--backing", devices[0],
                  "--length", "-1"),
                 ("volume", "create", "one", "--backing", devices[0],
                  "--length", "99999999999999999999"),
                 ("volume", "create", "one", "--backing", devices[0],
                  "--uuid", "00112233"),
                 ("volume", "create", "one", "--backing", devices[0],
                  "--index", "x"),
                 ("volume", "delete"), ("volume", "show"),
                 ("volume", "delete", "one", "--index", "0"),
                 ("info", "one"), ("monitor", "one")):
        done = tool.run(*args)
        equal((done.returncode, done.stdout), (2, ""),
              f"exit code and stdout of {args}")
        check(done.stderr, f"nothing said about {args}")
    for args in (("--help",), ("--version",), ("volume", "--help"),
                 ("volume", "create", "--help")):
        done = tool.run(*args)
        equal((done.returncode, done.stderr), (0, ""),
              f"exit code and stderr of {args}")
        check(done.stdout, f"nothing said about {args}")


@test
def ordinary_user(stor, devices, tool):
    """an ordinary user may look, and is told why not more"""
    stor.new("one", devices[0], length=MIB)
    why = ("CAP_SYS_ADMIN in the initial user namespace is needed (EPERM)\n")
    how = {"prefix": AS_NOBODY}
    tool.says(1, "", f"storadm: cannot create volume two: {why}", "volume",
              "create", "two", "--backing", devices[0], **how)
    tool.says(1, "", f"storadm: cannot delete volume one: {why}", "volume",
              "delete", "one", **how)
    equal(tool.json(0, "volume", "list", **how)["volumes"][0]["name"], "one")
    equal(tool.json(0, "volume", "show", "one", **how)["volume"]["index"], 0)
    equal(tool.json(0, "info", **how)["info"]["abi_version"], 1)
    stor.delete(name="one")


class Monitor:
    """storadm monitor, running."""

    def __init__(self, tool, *args, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, tool.path, *args, "monitor", "--initial"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # it listens

    def lines(self, count):
        """What it says next."""
        return [self.process.stdout.readline() for _ in range(count)]

    def end(self, number=signal.SIGTERM):
        """End it, and give back what it said last and its exit code."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=patience(20))
        return self.process.returncode, out, err


@test
def monitor(stor, devices, tool):
    """monitor tells of what is made and deleted, and ends when told to"""
    stor.new("first", devices[0], length=MIB)
    plain = Monitor(tool)
    as_json = Monitor(tool, "--json", prefix=AS_NOBODY)
    two = stor.new("two", devices[0], offset=MIB, length=MIB)
    stor.delete(name="two")
    stor.delete(name="first")
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    lines = plain.lines(3)
    for line, (event, name, disk) in zip(
            lines, (("volume-add", "two", "stor1"),
                    ("volume-del", "two", "stor1"),
                    ("volume-del", "first", "stor0"))):
        check(re.fullmatch(f"{when}\t{event}\t{name}\t/dev/{disk}\n", line),
              f"line {line!r}")
    events = [tool.document(line) for line in as_json.lines(3)]
    equal([(event["event"], event["volume"]["name"]) for event in events],
          [("volume-add", "two"), ("volume-del", "two"),
           ("volume-del", "first")], "events")
    equal(events[0]["volume"]["uuid"], str(two["uuid"]), "uuid")
    check(re.fullmatch(when, events[0]["time"]), events[0]["time"])
    equal(plain.end(), (0, "", ""), "end by SIGTERM")
    equal(as_json.end(signal.SIGINT), (0, "", ""), "end by SIGINT")


@test
def pipe_closed(stor, devices, tool):
    """a reader that closes the pipe ends it quietly"""
    stor.new("one", devices[0])
    process = subprocess.Popen([tool.path, "monitor", "--initial"],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    equal((process.wait(timeout=patience(20)), process.stderr.read()), (0, ""),
          "exit code and stderr of monitor")
    stor.delete(name="one")


@test
def not_loaded(stor, _devices, tool):
    """exit code 3 without the module; monitor ends when it goes"""
    process = subprocess.Popen([tool.path, "monitor"],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    unload()
    try:
        out, err = process.communicate(timeout=patience(20))
        equal((process.returncode, out, err),
              (3, "", "storadm: the stor module was unloaded\n"), "monitor")
        why = "the stor module is not loaded (modprobe stor or insmod stor.ko)"
        for args in (("info",), ("monitor",), ("volume", "list"),
                     ("volume", "show", "one"), ("volume", "delete", "one"),
                     ("volume", "create", "one", "--backing", "/dev/null")):
            tool.says(3, "", f"storadm: {why}\n", *args)
        equal(tool.json(3, "volume", "list")["error"],
              {"message": why, "errno": None, "attribute": None})
        # Wrong usage is wrong with and without it.
        equal(tool.run("nonsense").returncode, 2, "exit code")
    finally:
        load()
    equal(tool.run("info").returncode, 0, "exit code")
    stor.family, stor.groups = stor.sock.family("stor")


@test
def elsewhere(_stor, _devices, tool):
    """exit code 3, with the reason, in another network namespace"""
    tool.says(3, "", "storadm: the stor module is loaded, but cannot be "
              "reached from this network namespace\n", "info",
              prefix=("unshare", "--net"))


main(ready, cleanup)
