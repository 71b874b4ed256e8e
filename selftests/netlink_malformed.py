#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Messages that no client would send, and what the module does about them."""

import errno
import os
import pathlib
import random
import struct

from lib import keys
from lib.netlink import (F_ACK, F_DUMP, F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
                         Refused, attr)
from lib.stor import C, KINDS, MIB, clean, encode, refused, settle, setup
from lib.tap import check, equal, main, note, test

MESSAGES = int(os.environ.get("STOR_TEST_MESSAGES", "4000"))
SEED = int(os.environ.get("STOR_TEST_SEED", "20261123"))
NESTED = 0x8000
BYTES = {"index": 4, "offset": 8, "length": 8, "uuid": 16, "read-only": 1,
         "crypto-sector": 4, "iv-offset": 8, "iv-large-sectors": 1,
         "discard": 1, "lock": 4, "crypto-engine": 4}
LIMITS = {"name": 255, "backing": 1023, "key": 511}
COMMANDS = {"VOLUME_NEW": ("name", "uuid", "index", "backing", "offset",
                           "length", "read-only", "key", "crypto-sector",
                           "iv-offset", "iv-large-sectors", "discard",
                           "crypto-engine"),
            "VOLUME_SET": ("name", "uuid", "index", "length", "read-only"),
            "VOLUME_GATE": ("name", "uuid", "index"),
            "VOLUME_DEL": ("name", "uuid", "index"),
            "VOLUME_LOCK": ("name", "uuid", "index", "lock"),
            "VOLUME_UNLOCK": ("name", "uuid", "index", "key"),
            "VOLUME_GET": ("name", "uuid", "index")}


def core(number, blames, function, *args):
    """Fail unless the core of netlink refuses, whose words may change."""
    try:
        function(*args)
    except Refused as why:
        equal((why.errno, why.blamed), (number, blames),
              f"errno and attribute to blame ({why.message})")
        check(why.message, "no message")
        return
    check(False, "not refused")


def good(name, devices):
    """A payload that fits the attribute."""
    return {"name": b"a\0", "backing": devices[0].path.encode() + b"\0",
            "uuid": b"u" * 16, "key": b"user:a\0"}.get(name, bytes(BYTES.get(name, 0)))


@test
def lengths(stor, devices):
    """attributes of each wrong length"""
    for command, names in COMMANDS.items():
        for name in names:
            kind = KINDS[name]
            size = BYTES.get(name)
            if size:
                wrong = [good(name, devices)[:n] for n in range(size)]
                wrong += [bytes(size + 1), bytes(size + 4), bytes(4096)]
            else:
                limit = LIMITS[name]
                wrong = [b"", b"a", b"abc", b"a" * limit,
                         b"a" * (limit + 1) + b"\0", b"a" * 8192]
            for payload in wrong:
                core(errno.ERANGE if name == "uuid" else errno.EINVAL, kind,
                     stor.call, command, attr(kind, payload))


@test
def lies(stor, _devices):
    """attributes whose header says another length than they have"""
    for length in (0, 1, 2, 3):
        # Shorter than a header: trailing bytes that are no attribute.
        body = attr(KINDS["name"], b"a\0", length=length)
        for command in COMMANDS:
            core(errno.EINVAL, None, stor.call, command, body)
    for length in (7, 9, 64, 4096, 65535):
        body = encode({"index": 0}) + attr(KINDS["name"], b"a\0",
                                           length=length)
        for command in COMMANDS:
            try:
                stor.call(command, body)
                check(False, f"{command} with length {length} not refused")
            except Refused as why:
                equal(why.errno, errno.EINVAL, f"errno ({why.message})")


@test
def repeated(stor, devices):
    """an attribute that is given twice"""
    for command, names in COMMANDS.items():
        for name in names:
            kind = KINDS[name]
            one = attr(kind, good(name, devices))
            refused(errno.EINVAL,
                    f"attribute type {kind} is given more than once",
                    stor.call, command, one + one, blames=name)
            # With something between them, and with the flag of a nest.
            other = "index" if name != "index" else "name"
            refused(errno.EINVAL,
                    f"attribute type {kind} is given more than once",
                    stor.call, command,
                    one + attr(KINDS[other], good(other, devices)) + one,
                    blames=name)


@test
def nested(stor, devices):
    """a nest where none belongs, flags in the type, a nest without end"""
    for command, names in COMMANDS.items():
        for name in names:
            kind = KINDS[name]
            inner = attr(1, b"a\0")
            for _ in range(20):
                inner = attr(1 | NESTED, inner)
            core(errno.EINVAL, kind, stor.call, command,
                 attr(kind | NESTED, inner))
            core(errno.EINVAL, kind, stor.call, command,
                 attr(kind | NESTED, good(name, devices)))


@test
def unknown(stor, _devices):
    """attributes that are unknown, or that only a reply has"""
    known = max(KINDS.values())
    for command, names in COMMANDS.items():
        wrong = set(KINDS.values()) - {KINDS[name] for name in names}
        for kind in sorted(wrong | {0, known + 1, 99, 0x3FFF}):
            try:
                stor.call(command, attr(kind, bytes(4)))
                check(False, f"{command} took attribute type {kind}")
            except Refused as why:
                equal((why.errno, why.blamed), (errno.EINVAL, kind),
                      f"errno and attribute to blame ({why.message})")
                check(why.message, "no message")
    for kind in (0, 1, 2, 99):
        core(errno.EINVAL, kind, stor.call, "INFO_GET", attr(kind, b"a\0"))
        core(errno.EINVAL, kind, stor.sock.dump, stor.family,
             C["STOR_CMD_VOLUME_GET"], attr(kind, b"a\0"))


@test
def commands(stor, _devices):
    """commands that are unknown, that are events, or can not be dumped"""
    known = {C[f"STOR_CMD_{name}"] for name in (*COMMANDS, "INFO_GET")}
    for command in set(range(256)) - known - {C["STOR_CMD_STAT_GET"]}:
        for flags in (F_REQUEST | F_ACK, F_REQUEST | F_DUMP):
            sent = stor.sock.send(stor.family, flags,
                                  struct.pack("=BBH", command, 1, 0))
            try:
                stor.sock.answer(sent)
                check(False, f"command {command} not refused")
            except Refused as why:
                equal(why.errno, errno.EOPNOTSUPP, f"errno of {command}")
    # Statistics are dumped only.
    try:
        stor.call("STAT_GET", encode({"index": 0}))
        check(False, "STAT_GET without a dump was not refused")
    except Refused as why:
        equal(why.errno, errno.EOPNOTSUPP, "errno of STAT_GET")
    for name in ("INFO_GET", "VOLUME_NEW", "VOLUME_SET", "VOLUME_GATE",
                 "VOLUME_DEL"):
        try:
            stor.sock.dump(stor.family, C[f"STOR_CMD_{name}"])
            check(False, f"{name} could be dumped")
        except Refused as why:
            equal(why.errno, errno.EOPNOTSUPP, f"errno of {name}")


@test
def headers(stor, _devices):
    """messages that end before their headers do"""
    for body in (b"", b"\1", b"\1\1", b"\1\1\0"):
        sent = stor.sock.send(stor.family, F_REQUEST | F_ACK, body)
        try:
            stor.sock.answer(sent)
            check(False, f"{len(body)} bytes not refused")
        except Refused as why:
            equal(why.errno, errno.EINVAL, "errno")
    equal(len(stor.info()), 3)


def mutate(rng, bodies):
    """One of some good messages, with some of it made bad."""
    command, body = rng.choice(bodies)
    body = bytearray(body)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        how = rng.randrange(8)
        at = rng.randrange(len(body)) if body else 0
        if how == 0 and body:
            body[at] ^= 1 << rng.randrange(8)
        elif how == 1 and body:
            body[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif how == 2:
            del body[at:]
        elif how == 3:
            del body[at & ~3:(at & ~3) + 4]
        elif how == 4:
            body[at & ~3:at & ~3] = body[:rng.randrange(64)]
        elif how == 5:
            body += rng.randbytes(rng.randrange(40))
        elif how == 6:
            kind = (rng.randrange(max(KINDS.values()) + 2) |
                    rng.choice((0, 0, NESTED, 0x4000)))
            body += attr(kind, rng.randbytes(rng.choice((0, 1, 4, 8, 16))))
        elif len(body) >= 4:
            struct.pack_into("=H", body, at & ~3 & (len(body) - 4),
                             rng.randrange(65536))
    if rng.random() < 0.05:
        command = rng.randrange(16)
    return command, bytes(body)


@test
def fuzz(stor, devices):
    """mutated messages: each is answered, and what comes of them is sound"""
    keys.add("user", "stor:fuzz", random.Random(1).randbytes(32))
    rng = random.Random(SEED)
    bodies = [(C["STOR_CMD_INFO_GET"], b"")]
    for at, device in enumerate(devices):
        start = {"name": f"fuzz{at}", "backing": device.path}
        bodies += [
            (C["STOR_CMD_VOLUME_NEW"], encode({
                **start, "offset": at * MIB, "length": MIB})),
            (C["STOR_CMD_VOLUME_NEW"], encode({
                "uuid": rng.randbytes(16), "index": 40 + at, **start,
                "offset": 8 * MIB, "length": device.block})),
            (C["STOR_CMD_VOLUME_NEW"], encode({
                **start, "offset": 9 * MIB, "length": MIB,
                "key": "user:stor:fuzz", "crypto-sector": 512,
                "iv-offset": 8, "iv-large-sectors": 1, "discard": 1,
                "crypto-engine": C["STOR_CRYPTO_ENGINE_SOFTWARE"]}))]
        for selector in ({"name": f"fuzz{at}"}, {"index": at}):
            bodies += [(C["STOR_CMD_VOLUME_GET"], encode(selector)),
                       (C["STOR_CMD_VOLUME_DEL"], encode(selector))]
    count = {}
    made = 0
    for number in range(MESSAGES):
        command, body = mutate(rng, bodies)
        flags = F_REQUEST | (F_DUMP if rng.random() < 0.05 else F_ACK)
        stor.sock.send(stor.family, flags,
                       struct.pack("=BBH", command, 1, 0) + body)
        # Whatever it was, there is an end to the answer.
        result = None
        while result is None:
            for message in stor.sock.recv():
                if message.seq != stor.sock.seq:
                    continue
                if message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    result = -struct.unpack_from("=i", message.body)[0]
        name = errno.errorcode.get(result, str(result))
        count[name] = count.get(name, 0) + 1
        made += command == C["STOR_CMD_VOLUME_NEW"] and result == 0
        if number % 500 == 499:
            sound(stor, devices)
            stor.clean()
    note(f"seed {SEED}, {made} volumes made; "
         + ", ".join(f"{v} {k}" for k, v in sorted(count.items())))
    stor.clean()
    equal(stor.dump(), [], "volumes left")
    settle()
    for device in devices:
        os.close(os.open(device.path, os.O_RDWR | os.O_EXCL))
    check(made > MESSAGES // 100, "too few volumes were made to tell")
    # Of all that can be asked for here, nothing else can be the answer.
    odd = set(count) - {"0", "EINVAL", "ENOENT", "EEXIST", "ERANGE", "EBUSY",
                        "ENOSPC", "EOVERFLOW", "ENOTSUP", "ENOTBLK",
                        "EACCES", "ENXIO", "ENOKEY", "EALREADY"}
    equal(odd, set(), "odd errors")


def sound(stor, devices):
    """Fail unless what the volumes are keeps to the rules."""
    volumes = stor.dump()
    indexes = [volume["index"] for volume in volumes]
    equal(indexes, sorted(set(indexes)), "indexes")
    equal(len({volume["name"] for volume in volumes}), len(volumes), "names")
    equal(len({volume["uuid"] for volume in volumes}), len(volumes), "UUIDs")
    for device in devices:
        end = 0
        for volume in sorted(
                (v for v in volumes if v["backing-disk"] == device.name),
                key=lambda v: v["offset"]):
            check(volume["offset"] >= end, "volumes overlap")
            end = volume["offset"] + volume["length"]
        check(end <= device.size, "a volume is beyond the end")
    disks = {path.name for path in pathlib.Path("/sys/block").glob("stor*")}
    equal(disks, {volume["disk"] for volume in volumes}, "disks")


main(setup, clean)
