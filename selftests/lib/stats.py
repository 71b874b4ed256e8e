# SPDX-License-Identifier: GPL-2.0
"""STAT_GET: what volumes have done, checked for what always holds."""

import struct
import sys
import uuid as uuids

from .netlink import attr
from .stor import C
from .tap import check, equal

BUCKETS, CHUNK = C["STOR_STAT_BUCKETS"], C["STOR_STAT_CHUNK"]


def names(prefix):
    """The names of an enum, by number."""
    return {number: name.removeprefix(prefix).lower()
            for name, number in C.items() if name.startswith(prefix)
            and not name.endswith("_MAX")}


OPS, STAGES = names("STOR_STAT_OP_"), names("STOR_STAT_STAGE_")
STATUSES = names("STOR_STAT_STATUS_")
ATTRS = {name: C["STOR_A_STAT_" + name.upper().replace("-", "_")]
         for name in ("name", "uuid", "index", "per-cpu", "cpu", "time",
                      "op", "started", "done", "bytes", "stage",
                      "first-bucket", "counts", "status", "failed")}


def bounds(bucket):
    """The latencies that a bucket counts, as uapi/stor.yaml has it."""
    if bucket < 128:
        return bucket, bucket + 1
    low = (64 + bucket % 64) << (bucket // 64 - 1)
    high = (65 + bucket % 64) << (bucket // 64 - 1)
    return low, float("inf") if bucket == BUCKETS - 1 else high


class Stat:
    """What a volume, or one CPU of it, has done."""

    def __init__(self):
        self.counters = {}  # by op: started, done, bytes
        self.failed = {}  # by status
        self.histograms = {}  # by op and stage: counts by bucket
        self.worked = {}  # by op and stage: bytes
        self.times = []

    def take(self, values):
        """Add what one message says."""
        if "failed" in values:
            status = STATUSES[values["status"]]
            check(status not in self.failed, f"{status} comes twice")
            check(values["failed"], f"{status} is 0")
            self.failed[status] = values["failed"]
        elif "counts" in values:
            first, counts = values["first-bucket"], values["counts"]
            check(1 <= len(counts) <= CHUNK, f"{len(counts)} counts")
            check(first + len(counts) <= BUCKETS, "buckets past the end")
            check(counts[0] and counts[-1], "a part begins or ends with 0")
            found = self.histograms.setdefault(
                (OPS[values["op"]], STAGES[values["stage"]]), {})
            for bucket, count in enumerate(counts, first):
                check(bucket not in found, f"bucket {bucket} comes twice")
                if count:
                    found[bucket] = count
        elif "stage" in values:
            kind = OPS[values["op"]], STAGES[values["stage"]]
            check(kind not in self.worked, f"{kind} comes twice")
            check(values["bytes"], f"{kind} is 0")
            self.worked[kind] = values["bytes"]
        else:
            op = OPS[values["op"]]
            check(op not in self.counters, f"{op} comes twice")
            self.counters[op] = tuple(values[name] for name in
                                      ("started", "done", "bytes"))
            self.times.append(values["time"])

    def sum(self, op, stage):
        """All that a histogram counts."""
        return sum(self.histograms.get((op, stage), {}).values())

    def add(self, other):
        """Add those of another CPU."""
        for op, values in other.counters.items():
            mine = self.counters.get(op, (0, 0, 0))
            self.counters[op] = tuple(map(sum, zip(mine, values)))
        for status, count in other.failed.items():
            self.failed[status] = self.failed.get(status, 0) + count
        for kind, count in other.worked.items():
            self.worked[kind] = self.worked.get(kind, 0) + count
        for key, counts in other.histograms.items():
            mine = self.histograms.setdefault(key, {})
            for bucket, count in counts.items():
                mine[bucket] = mine.get(bucket, 0) + count


def decode(message):
    """The values of a message, by their names."""
    equal(message.command, C["STOR_CMD_STAT_GET"], "command")
    values = {}
    kinds = {number: name for name, number in ATTRS.items()}
    for kind, payload in message.attrs():
        name = kinds[kind]
        if name == "name":
            values[name] = payload.rstrip(b"\0").decode()
        elif name == "uuid":
            values[name] = uuids.UUID(bytes=payload)
        elif name == "counts":
            equal(len(payload) % 8, 0, "bytes of the counts beside words")
            values[name] = struct.unpack(f"={len(payload) // 8}Q", payload)
        else:
            values[name] = int.from_bytes(payload, sys.byteorder)
    return values


def encode(per_cpu=False, **selector):
    """What is asked for."""
    body = b""
    for name, value in selector.items():
        if name == "index":
            value = struct.pack("=I", value)
        elif name == "uuid":
            value = value.bytes
        else:
            value = value.encode() + b"\0"
        body += attr(ATTRS[name], value)
    return body + (attr(ATTRS["per-cpu"], b"") if per_cpu else b"")


def dump(stor, sock=None, size=1 << 16, **what):
    """STAT_GET: all Stats, by the volume's name and the CPU, in order."""
    sock = sock or stor.sock
    messages, _ = sock.dump(stor.family, C["STOR_CMD_STAT_GET"],
                            encode(**what), size=size)
    found, whose = {}, {}
    for values in map(decode, messages):
        key = values["name"], values.get("cpu")
        whose.setdefault(values["name"], (values["uuid"], values["index"]))
        equal((values["uuid"], values["index"]), whose[values["name"]],
              "uuid and index")
        found.setdefault(key, Stat()).take(values)
    return found


def stat(stor, name="one"):
    """The Stat of one volume, at rest."""
    found = dump(stor, name=name)
    equal(list(found), [(name, None)], "whose statistics come")
    return found[name, None]


def failures(stor, name="one"):
    """By status, how many I/Os of a volume have failed.

    But for those that were not to wait and would have had to: who has asked
    for that tries again, as io_uring does.
    """
    failed = dict(stat(stor, name).failed)
    failed.pop("again", None)
    return failed
