# SPDX-License-Identifier: GPL-2.0
"""What a kernel log must not hold."""

import pathlib
import re

# The one list, which the selftests look at as well.
_LIST = pathlib.Path(__file__).resolve().parents[2] / "selftests/lib/bad-log"
_BAD = re.compile(
    "|".join(
        line
        for line in _LIST.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
)
# A line of the log begins with a time, perhaps with the task or CPU it came from.
_START = re.compile(r"\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")


def _is_bad(line: str) -> bool:
    start = _START.match(line)
    return bool(_BAD.search(line[start.end() :] if start else line))


# What kmemleak suspects before a test has begun is the kernel's own. Whoever sets it aside
# says so in the log (selftests/lib/kmemleak.py).
_LEAKS = re.compile(r"\bkmemleak: \d+ new suspected memory leaks")
_LEAKS_SET_ASIDE = "kmemleak: set aside by stor's selftests"

# Bits of /proc/sys/kernel/tainted: what they mean, for those that fail a run.
_TAINTS = {5: "bad page (B)", 7: "oops (D)", 9: "warning (W)", 14: "soft lockup (L)"}


def bad_lines(text: str) -> list[str]:
    """The lines of a kernel log that fail a run, in their order."""
    lines = text.splitlines()
    known = max((n for n, line in enumerate(lines) if _LEAKS_SET_ASIDE in line), default=0)
    return [
        line
        for n, line in enumerate(lines)
        if _is_bad(line) and not (n < known and _LEAKS.search(line))
    ]


def bad_taints(tainted: int) -> list[str]:
    """What /proc/sys/kernel/tainted says, of that which fails a run."""
    return [name for bit, name in _TAINTS.items() if tainted >> bit & 1]
