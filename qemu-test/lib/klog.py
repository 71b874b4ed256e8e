# SPDX-License-Identifier: GPL-2.0
"""What a kernel log must not hold."""

import re

# A line of the log begins with a time, perhaps with the task or CPU it came from.
_START = r"^(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )?"

_BAD = re.compile(
    "|".join(
        [
            _START + r"-+\[ cut here \]-+",
            _START + r"WARNING: ",
            r"\bBUG: ",
            r"\bkernel BUG at ",
            r"\bOops: ",
            r"\bKASAN: |\bKCSAN: |\bKFENCE: |\bUBSAN: ",
            r"\bTainted: [A-Z ]*W",
            r"\bgeneral protection fault\b",
            r"\bKernel panic - ",
            r"\bINFO: task .* blocked for more than ",
            r"\brcu: INFO: .*stall|\bINFO: rcu.*stall",
            # Lockdep's, of those that do not begin with WARNING or BUG; and that it, or
            # another that watches, has stopped to watch.
            r"\bINFO: (?:possible|inconsistent|suspicious|trying to register non-static) ",
            r"\bpossible (?:circular|recursive|irq) lock",
            r"\bDEBUG_LOCKS_WARN_ON\b",
            r"\bturning off the locking correctness validator\b",
            r"\bODEBUG: |\bODEBUG disabled\b",
            r"\bkmemleak: (?:Cannot allocate a kmemleak_object|Memory pool empty)",
            r"\bkmemleak: Kernel memory leak detector disabled",
            # The slab allocator's.
            r"\bBUG \S+ \(.*\): ",
            r"\brefcount_t: ",
            r"\blist_(?:add|del) corruption",
            r"\bkmemleak: \d+ new suspected memory leaks",
            r"\brust_kernel: panicked at",
        ]
    )
)

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
        if _BAD.search(line) and not (n < known and _LEAKS.search(line))
    ]


def bad_taints(tainted: int) -> list[str]:
    """What /proc/sys/kernel/tainted says, of that which fails a run."""
    return [name for bit, name in _TAINTS.items() if tainted >> bit & 1]
