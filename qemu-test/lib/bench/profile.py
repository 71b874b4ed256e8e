#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of one I/O go, by function: profile.py DIR

DIR/blocks is from the plugin (icount.c): the address of a block of code, and how many
instructions were executed in it. DIR/measured.json is from measure.py: the figure of the
same run by the clock, and the functions of the kernel. Writes DIR/table.txt, and stdout.
"""

import bisect
import collections
import json
import pathlib
import re
import sys
import typing

# By the module of a function, else by its name: the first that matches.
GROUPS = (
    ("stor", r"^\[stor\]"),
    ("device mapper", r"^\[dm_|^(dm_|__map_bio|clone_endio|linear_map|multipath_|alloc_io|alloc_tio)"),
    ("null_blk", r"^\[null_blk\]"),
    ("nvme", r"nvme"),
    ("io_uring", r"^(io_|__io_|__do_sys_io_uring|__se_sys_io_uring|__x64_sys_io_uring|tctx_)"),
    ("time", r"ktime|read_tsc|clock|tick_|hrtimer|timekeeping|pvclock"),
    ("block layer", r"^_?_?_?(blk|bio|submit_bio|bdev|blkdev|part_|sbitmap|update_io_ticks|disk_|"
                    r"rq_|elv_|wbt_|rq_qos|should_fail|bvec|iov_iter|direct|flush_busy|dispatch)"),
    ("memory", r"kmem|slab|mempool|^_?_?(kmalloc|kfree|alloc_|free_|memset|memcpy|get_user_pages|"
               r"gup|pin_user|unpin|try_grab|folio|follow_page|page_)|__srcu|mod_node"),
    ("entry", r"entry|syscall|^asm_|irqentry|exit_to_user|rethunk|x86_indirect|do_syscall"),
    ("locks, RCU", r"spin|mutex|rcu|preempt|lock"),
    ("scheduler", r"sched|switch|wake|runqueue|task|queue_work|worker|dequeue|enqueue|update_|pick_"),
)
USER = 1  # the address that stands for all code of programs


def group_of(name: str, module: str) -> str:
    """The part of the system that a function belongs to."""
    if name == "programs (fio)":
        return "programs"
    for group, pattern in GROUPS:
        if re.search(pattern, f"[{module}]" if module else name):
            return group
    return f"[{module}]" if module else "other"


class Symbols:
    """The functions of a kernel, by address."""

    def __init__(self, symbols: list[list[typing.Any]]) -> None:
        self.all = sorted((s[0], s[1], s[2].strip("[]") if len(s) > 2 else "") for s in symbols)
        self.starts = [s[0] for s in self.all]

    def at(self, address: int) -> tuple[str, str]:
        """Name and module of the function there."""
        if address == USER:
            return "programs (fio)", ""
        at = bisect.bisect_right(self.starts, address) - 1
        if at < 0:
            return f"{address:#x}", ""
        return demangle(self.all[at][1]), self.all[at][2]


def demangle(name: str) -> str:
    """A Rust name in short: the last two words of its path."""
    if not name.startswith("_R"):
        return name
    words, rest = [], name
    while match := re.search(r"(?<![0-9])([1-9][0-9]?)_?(?=[A-Za-z_])", rest):
        length = int(match[1])
        word = rest[match.end() : match.end() + length]
        if len(word) == length and re.fullmatch(r"\w+", word):
            words.append(word)
            rest = rest[match.end() + length :]
        else:
            rest = rest[match.end() :]
    return "::".join(words[-2:]) if words else name


def table(blocks: dict[int, int], measured: dict[str, typing.Any]) -> str:
    """The profile for people."""
    symbols = Symbols(measured["symbols"])
    ios = measured["ios"]
    functions: dict[tuple[str, str], float] = collections.defaultdict(float)
    for address, count in blocks.items():
        functions[symbols.at(address)] += count / ios
    groups: dict[str, float] = collections.defaultdict(float)
    for (name, module), count in functions.items():
        groups[group_of(name, module)] += count
    total, clock = sum(functions.values()), measured["repeats"][0]
    out = [
        f"{measured['device']} on {measured['lower']}: {measured['rw']} {measured['bs']} depth "
        f"{measured['depth']}{' polled' if measured['poll'] else ''}; instructions per I/O, of "
        f"{ios:.0f} I/Os",
        f"in all {total:.0f}; by the clock of the VM {clock:.0f} ({total / clock - 1:+.2%})",
        "",
    ]
    out += [f"{count:9.1f} {count / total:6.1%}  {name}"
            for name, count in sorted(groups.items(), key=lambda item: -item[1])]
    out.append("")
    for (name, module), count in sorted(functions.items(), key=lambda item: -item[1]):
        if count < 0.5:
            break
        group = group_of(name, module)
        where = f" [{module}]" if module else ""
        out.append(f"{count:9.1f} {count / total:6.1%}  {group:14} {name}{where}")
    rest = sum(count for count in functions.values() if count < 0.5)
    out.append(f"{rest:9.1f} {rest / total:6.1%}  functions of less than half an instruction each")
    return "\n".join(out) + "\n"


def main() -> None:
    """Read, tell, write."""
    where = pathlib.Path(sys.argv[1])
    pairs = [line.split() for line in (where / "blocks").read_text().splitlines()]
    blocks = {int(address, 16): int(count) for address, count in pairs}
    measured = json.loads((where / "measured.json").read_text())
    text = table(blocks, measured)
    (where / "table.txt").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
