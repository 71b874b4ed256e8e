#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Many callers at once, and the module while it is in use."""

import errno
import os
import pathlib
import random
import time
import traceback
import uuid

from lib.netlink import Refused
from lib.stor import (Disk, MIB, Stor, clean, load, loaded, number_of, run,
                      settle, setup, unload)
from lib.tap import check, equal, main, note, test, wait_until

PROCESSES = 8
SECONDS = 8


def together(count, function, *args):
    """Run a function in as many processes; gives back what each returned."""
    gate, children = os.pipe(), []
    for number in range(count):
        out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(gate[1])
            text = "failed"
            try:
                stor = Stor()
                os.read(gate[0], 1)
                text = function(stor, number, *args)
            except Exception:
                text = traceback.format_exc()
            os.write(out[1], str(text).encode()[:60000])
            os._exit(0)
        os.close(out[1])
        children.append((pid, out[0]))
    time.sleep(0.5)
    os.close(gate[1])
    os.close(gate[0])
    results = []
    for pid, pipe in children:
        with os.fdopen(pipe) as file:
            results.append(file.read())
        equal(os.waitpid(pid, 0)[1], 0, "status of a process")
    return results


def outcome(function, *args, **values):
    """The error of a call, or 0."""
    try:
        function(*args, **values)
        return "0"
    except Refused as why:
        return errno.errorcode[why.errno]


@test
def one_winner(stor, devices):
    """of 8 who make one volume, one does, and the others get EEXIST"""
    def make(mine, number, what):
        values = {"name": f"vm{number}", "uuid": uuid.UUID(int=number + 1),
                  "index": number, "offset": number * MIB, **what}
        return outcome(mine.new, backing=devices[0], length=MIB, **values)

    for what in ({"name": "same"}, {"uuid": uuid.UUID(int=99)},
                 {"index": 5}):
        results = together(PROCESSES, make, what)
        equal(sorted(results), ["0"] + ["EEXIST"] * (PROCESSES - 1),
              f"results with {what}")
        (left,) = stor.dump()
        stor.delete(index=left["index"])


@test
def one_range(stor, devices):
    """of 8 who want one range, one gets it, and the others EBUSY"""
    def make(mine, number):
        return outcome(mine.new, f"vm{number}", devices[0],
                       offset=(number % 2) * MIB, length=2 * MIB)
    for _ in range(2):
        results = together(PROCESSES, make)
        equal(sorted(results), ["0"] + ["EBUSY"] * (PROCESSES - 1),
              "results")
        (left,) = stor.dump()
        stor.delete(index=left["index"])


@test
def one_deleter(stor, devices):
    """of 8 who delete a volume, one does, the others get EBUSY or ENOENT"""
    def delete(mine, _number):
        return outcome(mine.raw_delete, name="one")
    for _ in range(3):
        stor.new("one", devices[0])
        settle()
        results = sorted(together(PROCESSES, delete))
        equal(results[0], "0", f"results {results}")
        check(set(results[1:]) <= {"EBUSY", "ENOENT"}, f"results {results}")


@test
def lowest(stor, devices):
    """8 who let the module choose get the 8 lowest indexes"""
    def make(mine, number):
        return mine.new(f"vm{number}", devices[0], offset=number * MIB,
                        length=MIB)["index"]
    results = together(PROCESSES, make)
    equal(sorted(map(int, results)), list(range(PROCESSES)), "indexes")
    stor.delete(index=3)
    stor.delete(index=5)
    for want in (3, 5, PROCESSES):
        got = stor.new(f"more{want}", devices[0],
                       offset=(20 + want) * MIB, length=MIB)["index"]
        equal(got, want, "lowest free index")
    stor.clean()


@test
def churn(stor, devices):
    """8 who make, open, list and delete at random for 8 s leave nothing"""
    end = time.monotonic() + SECONDS

    def work(mine, number):
        rng = random.Random(number)
        done = {}
        while time.monotonic() < end:
            name = f"vm{rng.randrange(4)}"
            how = rng.randrange(5)
            if how < 2:
                result = outcome(
                    mine.new, name, rng.choice(devices), length=MIB,
                    offset=rng.randrange(6) * MIB)
            elif how < 4:
                result = outcome(mine.raw_delete, name=name)
            else:
                messages, _ = mine.sock.dump(mine.family, 4)
                for message in messages:
                    disk = dict(message.attrs())[8].rstrip(b"\0").decode()
                    try:
                        with Disk(f"/dev/{disk}", os.O_RDONLY) as opened:
                            os.pread(opened.fd, 4096, 0)
                    except OSError as why:
                        if why.errno not in (errno.ENOENT, errno.ENXIO,
                                             errno.ENODEV):
                            raise
                result = "0"
            done[how // 2, result] = done.get((how // 2, result), 0) + 1
        for how, result in done:
            allowed = {0: {"0", "EEXIST", "EBUSY"},
                       1: {"0", "ENOENT", "EBUSY"}, 2: {"0"}}[how]
            check(result in allowed, f"{result} of {how}")
        return f"done {sum(done.values())} made {done.get((0, '0'), 0)}"

    results = together(PROCESSES, work)
    for result in results:
        check(result.startswith("done "), result)
    note(", ".join(results))
    check(any(int(result.split()[3]) for result in results),
          "no volume was made")
    settle()
    stor.clean()
    equal([path.name for path in pathlib.Path("/sys/block").glob("stor*")],
          [], "disks left")
    for device in devices:
        os.close(os.open(device.path, os.O_RDWR | os.O_EXCL))
    wait_until(lambda: number_of("/sys/module/stor/refcnt") == 0,
               "use count 0")


@test
def in_use(stor, devices):
    """the module stays as long as it has a volume"""
    count = "/sys/module/stor/refcnt"
    wait_until(lambda: number_of(count) == 0, "use count 0")
    stor.new("one", devices[0])
    settle()
    one = number_of(count)
    check(one >= 1, f"use count {one}")
    with Disk("/dev/stor0", os.O_RDONLY):
        check(number_of(count) > one, "an open disk does not count")
    done = run("rmmod", "stor", check=False)
    equal(done.returncode, 1, "exit code of rmmod")
    check("Module stor is in use" in done.stderr, done.stderr)
    equal(stor.get(name="one")["state"], "live", "state")
    stor.delete(name="one")
    wait_until(lambda: number_of(count) == 0, "use count 0")


@test
def unloaded(stor, _devices):
    """without the module there is no family; it comes back with it"""
    try:
        unload()
        equal(loaded(), False, "loaded")
        equal(outcome(stor.sock.family, "stor"), "ENOENT", "family")
        equal(outcome(stor.info), "ENOENT", "command")
    finally:
        load()
    again = Stor()
    equal(len(again.info()), 3, "attributes of INFO_GET")
    stor.family, stor.groups = again.family, again.groups


main(setup, clean)
