#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Make the report of a bench: report.py results DIR | compare OLD NEW

results: read DIR/*.jsonl as measure.py wrote them; write results.json, table.txt and
added.svg there, and the table to stdout. The exit code is 1 when repeats of a row differ
too much. compare: hold one results.json against another; 1 when a row differs too much.
"""

import json
import pathlib
import sys

import chart
import plan
import repeats
import results


def make(where: pathlib.Path) -> int:
    """From measurements to files."""
    lines = [line for file in sorted(where.glob("measured-*.jsonl"))
             for line in file.read_text(encoding="utf-8").splitlines()]
    measured, skipped = results.measured(lines)
    rows = results.results(measured)
    # One row a line, for diff(1) and for people.
    text = ",\n".join("  " + json.dumps(row) for row in rows)
    (where / "results.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
    table = results.table(rows)
    (where / "table.txt").write_text(table, encoding="utf-8")
    (where / "added.svg").write_text(chart.chart(rows), encoding="utf-8")
    print(table)
    for (lower, name, work), why in sorted(skipped.items()):
        if work == plan.WORKLOADS[0].key() or "poll" in why and work[:3] == ("randread", 4096, 1):
            print(f"Left out: {name} on {lower}: {why}")
    worst = max(measured, key=lambda key: measured[key].spread)
    again = sum(1 for row in measured.values() if row.repeats > 2)
    print(f"\n{len(measured)} rows, each measured at least twice ({again} more often, as something "
          f"disturbed them).\nRepeats agree within {measured[worst].spread:.2%}; the widest is "
          f"{results.name_of(worst)}.")
    bad = results.disagreements(measured)
    for sentence in bad:
        print(f"error: {sentence}, more than {repeats.AGREE:.0%}", file=sys.stderr)
    return 1 if bad else 0


def compare(old: pathlib.Path, new: pathlib.Path) -> int:
    """Two results side by side."""
    table, differ = results.compare(results.load(old), results.load(new))
    print(table)
    if differ:
        print(f"{len(differ)} rows differ by more than {repeats.AGREE:.0%}:", *differ, sep="\n  ")
        return 1
    print(f"All rows that both have agree within {repeats.AGREE:.0%}.")
    return 0


def main() -> int:
    """Do what is asked for."""
    paths = [pathlib.Path(word) for word in sys.argv[2:]]
    try:
        return make(*paths) if sys.argv[1] == "results" else compare(*paths)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
