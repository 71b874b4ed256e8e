# SPDX-License-Identifier: GPL-2.0
"""From measurements to results: rows, their spread, tables, comparisons."""

import json
import pathlib
import typing

import plan
from repeats import AGREE, settle

Row = dict[str, typing.Any]
Key = tuple[str, str, tuple[str, int, int, bool]]  # lower, device, workload


class Measured(typing.NamedTuple):
    """One row as it was measured."""

    figure: float
    spread: float  # see settle()
    repeats: int


def key_of(row: Row) -> Key:
    """What tells a row from all others."""
    return (row["lower"], row["device"], (row["rw"], row["bs"], row["depth"], row["poll"]))


def order(key: Key) -> tuple[int, int, int]:
    """Where a row stands in the results: as in the plan."""
    works = [work.key() for work in plan.WORKLOADS]
    return (plan.LOWERS.index(key[0]), plan.DEVICES.index(key[1]), works.index(key[2]))


def name_of(key: Key) -> str:
    """A row's name for people."""
    lower, device, work = key
    name = {w.key(): w.name() for w in plan.WORKLOADS}.get(work, str(work))
    return f"{device} on {lower}, {name}"


def measured(lines: typing.Iterable[str]) -> tuple[dict[Key, Measured], dict[Key, str]]:
    """The rows of measure.py's output; and those left out, with the reason."""
    rows: dict[Key, Measured] = {}
    skipped: dict[Key, str] = {}
    for line in lines:
        row = json.loads(line)
        if "skipped" in row:
            skipped[key_of(row)] = row["skipped"]
            continue
        try:
            rows[key_of(row)] = Measured(*settle(row["repeats"]), len(row["repeats"]))
        except ValueError as error:
            raise ValueError(f"{name_of(key_of(row))}: {error}") from error
    return dict(sorted(rows.items(), key=lambda item: order(item[0]))), skipped


def floors(rows: dict[Key, Measured]) -> dict[Key, float]:
    """The figures of the floors, where those that they are made of were measured."""
    out = {}
    for floor, cipher in zip(plan.FLOORS, plan.CIPHERS):
        for (lower, device, work), row in rows.items():
            plain = rows.get((lower, "stor", work))
            if device == cipher and plain is not None:
                out[lower, floor, work] = plain.figure + row.figure
    return out


def results(rows: dict[Key, Measured]) -> list[Row]:
    """The rows of results.json."""
    out = []
    figures = {key: row.figure for key, row in rows.items()} | floors(rows)
    for (lower, device, work), figure in figures.items():
        below = 0.0  # nothing is below the cipher
        if device not in plan.CIPHERS:
            raw = rows.get((lower, plan.RAW, work))
            if raw is None:
                raise ValueError(f"{name_of((lower, device, work))}: no such row of {plan.RAW}")
            below = raw.figure
        out.append({
            "device": device, "lower": lower, "rw": work[0], "bs": work[1], "depth": work[2],
            "poll": work[3], "insn_per_io": round(figure, 1),
            "added": round(figure - below, 1),
        })
    return out


def disagreements(rows: dict[Key, Measured]) -> list[str]:
    """A sentence for each row whose repeats do not agree."""
    return [
        f"{name_of(key)}: of {row.repeats} repeats the closest differ by {row.spread:.1%}"
        for key, row in rows.items()
        if row.spread > AGREE
    ]


def ratio(row: Row, reference: Row | None) -> str:
    """What a device adds, as a multiple of what the reference adds, if that adds anything."""
    if reference is None or reference["added"] <= 0 or row["added"] <= 0:
        return "-"
    return f"{row['added'] / reference['added']:.2f}x"


def part(found: dict[Key, Row], lower: str, devices: typing.Sequence[str],
         reference: str) -> list[str]:
    """The lines of a table that holds some devices against one of them."""
    names = [d for d in devices if any(k[:2] == (lower, d) for k in found)]
    works = [w for w in plan.WORKLOADS
             if (lower, plan.RAW, w.key()) in found and plan.does(devices[0], w)]
    if reference not in names or not works:
        return []
    out = [f"{lower:28}{plan.RAW:>8}" + "".join(f"{name:>20}" for name in names)]
    for work in works:
        raw = found[lower, plan.RAW, work.key()]
        line = f"{work.name():28}{raw['insn_per_io']:8.0f}"
        base = found.get((lower, reference, work.key()))
        for name in names:
            row = found.get((lower, name, work.key()))
            cell = "-"
            if row is not None:
                cell = f"{row['added']:+.0f}"
                if name != reference:
                    cell += f" {ratio(row, base):>7}"
            line += f"{cell:>20}"
        out.append(line)
    return [*out, ""]


def table(rows: list[Row]) -> str:
    """A table for people: a line for each workload, columns for each device."""
    found = {key_of(row): row for row in rows}
    out = []
    for devices, reference in ((plan.PLAIN[1:], plan.REFERENCE),
                               (plan.ENCRYPTED, plan.ENCRYPTED_REFERENCE),
                               *(((cipher, floor, volume), floor) for cipher, (floor, volume)
                                 in zip(plan.CIPHERS, plan.FLOORS.items()))):
        lines = [line for lower in plan.LOWERS for line in part(found, lower, devices, reference)]
        if lines:
            out += [*lines, f"x: a multiple of what {reference} adds.", ""]
    out.append("Instructions per I/O: of the raw device, and what each device adds to them.")
    return "\n".join(out) + "\n"


def load(path: pathlib.Path) -> list[Row]:
    """A results.json, checked as far as is needed here."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise ValueError(f"{path}: not an array of rows")
    return rows


def compare(old: list[Row], new: list[Row]) -> tuple[str, list[str]]:
    """A table of two results side by side; and the names of rows that differ."""
    before, after = ({key_of(row): row for row in rows} for rows in (old, new))
    out, differ = [], []
    for key in sorted(before.keys() | after.keys(), key=order):
        if key not in before or key not in after:
            out.append(f"{name_of(key):58} only in the {'old' if key in before else 'new'}")
            continue
        one, two = (rows[key]["insn_per_io"] for rows in (before, after))
        change = two / one - 1
        out.append(f"{name_of(key):58}{one:10.0f}{two:10.0f}{two - one:+8.0f} {change:+7.2%}")
        if abs(change) > AGREE:
            differ.append(name_of(key))
    return "\n".join(out) + "\n", differ
