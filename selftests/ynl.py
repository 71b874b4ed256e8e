#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The kernel's own netlink client drives the family from its spec alone."""

import errno
import glob
import importlib.util
import json
import os
import pathlib
import sys
import uuid

from lib.stor import C, HERE, MIB, clean, run, settle, setup
from lib.tap import Skip, check, equal, main, test

UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
SPEC = HERE.parent / "uapi/stor.yaml"
TREES = [os.environ.get("STOR_KERNEL_TREE", ""),
         f"/lib/modules/{os.uname().release}/build",
         f"/lib/modules/{os.uname().release}/source",
         *glob.glob("/usr/src/linux-*")]


def package(name, folder):
    """Import a package from anywhere; its own name is taken by our lib."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Ynl:
    """The client, from a kernel tree."""

    def __init__(self):
        for tree in filter(None, TREES):
            self.folder = pathlib.Path(tree) / "tools/net/ynl/pyynl"
            schema = pathlib.Path(tree, "Documentation/netlink/genetlink.yaml")
            if (self.folder / "lib/ynl.py").exists() and schema.exists():
                break
        else:
            raise Skip("no kernel tree with tools/net/ynl; "
                       "name one in STOR_KERNEL_TREE")
        if not SPEC.exists():
            raise Skip(f"no {SPEC}")
        self.schema = str(schema)
        try:
            self.lib = package("pyynl_lib", self.folder / "lib")
        except ImportError as why:
            raise Skip(f"YNL lacks something: {why}") from why

    def family(self):
        """A client for the family; its spec is held against the schema."""
        return self.lib.YnlFamily(str(SPEC), self.schema)

    def cli(self, *args):
        """The command line client."""
        return run(sys.executable, self.folder / "cli.py", "--spec", SPEC,
                   "--schema", self.schema, "--output-json", *args)


def ready():
    """What each test is called with."""
    return (*setup(), Ynl())


def cleanup(stor, devices, _ynl):
    """No volume may be left."""
    return clean(stor, devices)


@test
def info(_stor, _devices, ynl):
    """info-get, and flags by their names"""
    with ynl.family() as family:
        found = family.do("info-get", {})
        equal(sorted(found), ["abi-version", "features", "module-version"])
        equal(found["abi-version"], C["STOR_ABI_VERSION"])
        equal(set(found["features"]),
              {"volume", "gate", "stat", "encryption", "lock",
               "crypto-engine"}, "features")


@test
def life(stor, devices, ynl):
    """volume-new, -get, the dump and -del, and the events of it all"""
    device = devices[0]
    with ynl.family() as family, ynl.family() as listener:
        listener.ntf_subscribe("monitor")
        want = family.do("volume-new", {
            "name": "one", "backing": device.path, "offset": MIB,
            "length": MIB, "index": 9, "uuid": UUID.bytes})
        equal((want["state"], want["uuid"], want["disk"], want["offset"],
               want["length"], want["backing-disk"]),
              ("live", str(UUID), "stor9", MIB, MIB, device.name), "volume")
        equal(len(want), 19, "attributes")
        two = family.do("volume-new", {"name": "two", "offset": 2 * MIB,
                                       "backing": device.path})
        equal(two["index"], 0, "index")
        for selector in ({"name": "one"}, {"index": 9},
                         {"uuid": UUID.bytes}):
            equal(family.do("volume-get", selector), want, str(selector))
        equal(family.dump("volume-get", {}), [two, want], "dump")
        settle()
        equal(family.do("volume-del", {"name": "one"}), None, "reply")
        family.do("volume-del", {"index": 0})
        equal(family.dump("volume-get", {}), [], "dump")
        events = []
        for event in listener.poll_ntf(duration=10):
            events.append((event["name"], event["msg"]))
            if len(events) == 4:
                break
        equal(events, [("volume-add-ntf", want), ("volume-add-ntf", two),
                       ("volume-del-ntf", want), ("volume-del-ntf", two)],
              "events")
    equal(stor.dump(), [], "volumes")


@test
def changes(stor, devices, ynl):
    """volume-set, volume-gate and stat-get, and the event of a change"""
    stor.new("one", devices[0], length=MIB)
    with ynl.family() as family, ynl.family() as listener:
        listener.ntf_subscribe("monitor")
        made = family.do("volume-get", {"name": "one"})
        bigger = family.do("volume-set", {"name": "one", "length": 2 * MIB})
        equal((bigger["length"], bigger["gate-count"]), (2 * MIB, 1), "set")
        equal(bigger["gate-last"], bigger["gate-longest"], "gate")
        gated = family.do("volume-gate", {"index": made["index"]})
        equal((gated["length"], gated["gate-count"]), (2 * MIB, 2), "gate")
        event = next(listener.poll_ntf(duration=10))
        equal((event["name"], event["msg"]), ("volume-set-ntf", bigger),
              "event")
        settle()
        stats = family.dump("stat-get", {"name": "one"})
        equal([part["op"] for part in stats if "started" in part],
              ["read", "write", "flush", "discard"], "ops")
        for part in stats:
            equal(part["name"], "one", "name")
        equal({part["stage"] for part in stats if "stage" in part},
              {"total", "lower"}, "stages")
    stor.delete(name="one")


@test
def refusals(_stor, devices, ynl):
    """the client names the attribute that a refusal points at"""
    with ynl.family() as family:
        for values, number, message, attribute in (
                ({"name": "a/b", "backing": devices[0].path},
                 errno.EINVAL, "name: '/' at character 2, "
                 "only A-Z a-z 0-9 . _ - are allowed", ".name"),
                ({"name": "one", "backing": "/dev/no-such"}, errno.ENOENT,
                 "backing: /dev/no-such does not exist", ".backing"),
                ({"name": "one", "backing": devices[0].path, "length": 3},
                 errno.EINVAL, "length: 3 is not a multiple of the logical "
                 f"block size {devices[0].block}", ".length")):
            try:
                family.do("volume-new", values)
                check(False, f"{values} not refused")
            except ynl.lib.NlError as why:
                extack = why.nl_msg.extack
                equal((why.error, extack["msg"], extack.get("bad-attr")),
                      (number, message, attribute), "refusal")


@test
def policy(_stor, _devices, ynl):
    """the kernel's policy is what the spec says"""
    with ynl.family() as family:
        for command in ("volume-new", "volume-set", "volume-gate",
                        "volume-del", "volume-get"):
            want = family.ops[command].yaml["do"]["request"]["attributes"]
            found = family.get_policy(command, "do")
            equal(sorted(found.keys()), sorted(want), f"{command} takes")
            equal(found["name"].type, "nul-string", "type of name")
            equal(found["uuid"].type, "binary", "type of uuid")
            equal((found["uuid"].min_length, found["uuid"].max_length),
                  (16, 16), "length of uuid")


@test
def command_line(stor, devices, ynl):
    """the command line client"""
    made = stor.new("one", devices[0])
    (seen,) = json.loads(ynl.cli("--dump", "volume-get").stdout)
    equal(seen, {**made, "uuid": str(made["uuid"])}, "volume")
    stor.delete(name="one")


main(ready, cleanup)
