#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of one I/O go, by function: profile.py DIR

DIR/blocks.N is from the plugin (icount.c): the address of a block of code, and how many
instructions were executed in it. Line N of DIR/measured.jsonl is from measure.py: the
figure of the same run by the clock, and the functions of the kernel. The first is the
raw device, the second, if there is one, the device above it. Writes DIR/table.txt.
"""

import bisect
import collections
import json
import pathlib
import re
import subprocess
import sys
import typing

# By the module of a function, else by its name: the first that matches.
GROUPS = (
    ("stor", r"^\[stor\]"),
    ("device mapper", r"^\[dm_|^(dm_|__map_bio|clone_endio|linear_map|multipath_|alloc_[it]io)"),
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
    ("scheduler", r"sched|switch|wake|runqueue|task|queue_work|worker|dequeue|enqueue|update_"),
)
USER = 1  # the address that stands for all code of programs
PROGRAMS = "programs (fio)"


def group_of(name: str, module: str) -> str:
    """The part of the system that a function belongs to."""
    if name == PROGRAMS:
        return "programs"
    for group, pattern in GROUPS:
        if re.search(pattern, f"[{module}]" if module else name):
            return group
    return f"[{module}]" if module else "other"


Function = tuple[str, str]  # name and module
Measured = dict[str, typing.Any]


def demangle(names: list[str]) -> dict[str, str]:
    """Rust's names as a person would write them, without the hashes of crates."""
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                         check=True).stdout
    return dict(zip(names, (re.sub(r"\[[0-9a-f]+\]", "", line) for line in out.splitlines())))


def functions(blocks: dict[int, int], measured: Measured) -> dict[Function, float]:
    """Instructions per I/O of each function."""
    symbols = sorted((s[0], s[1], s[2].strip("[]") if len(s) > 2 else "")
                     for s in measured["symbols"])
    starts = [symbol[0] for symbol in symbols]
    found: dict[Function, float] = collections.defaultdict(float)
    for address, count in blocks.items():
        at = bisect.bisect_right(starts, address) - 1
        name, module = symbols[at][1:] if at >= 0 else (f"{address:#x}", "")
        if address == USER:
            name, module = PROGRAMS, ""
        found[name, module] += count / measured["ios"]
    names = demangle([name for name, _ in found if name.startswith("_R")])
    return {(names.get(name, name), module): count for (name, module), count in found.items()}


def grouped(found: dict[Function, float]) -> dict[str, float]:
    """The same by the part of the system."""
    groups: dict[str, float] = collections.defaultdict(float)
    for (name, module), count in found.items():
        groups[group_of(name, module)] += count
    return groups


def lines(columns: list[dict[typing.Any, float]], label: typing.Callable[[typing.Any], str]
          ) -> list[str]:
    """A line for each key: the figure of each column, and what the last has over the first."""
    out, rest = [], [0.0] * len(columns)
    added = {key: columns[-1].get(key, 0) - columns[0].get(key, 0)
             for column in columns for key in column}
    # By what is added; where there is nothing to hold it against, by the figure itself.
    rank = added if len(columns) > 1 else columns[0]
    for key in sorted(added, key=lambda k: (-rank[k], -columns[-1].get(k, 0), k)):
        cells = [column.get(key, 0) for column in columns]
        if max(cells) < 0.5:
            rest = [total + cell for total, cell in zip(rest, cells)]
            continue
        out.append(line(cells, label(key)))
    if any(rest):
        out.append(line(rest, "functions of less than half an instruction each"))
    return out


def line(cells: list[float], words: str) -> str:
    """One line of a table."""
    figures = "".join(f"{cell:10.1f}" for cell in cells)
    return figures + (f"{cells[-1] - cells[0]:+10.1f}" if len(cells) > 1 else "") + f"  {words}"


def table(profiles: list[tuple[dict[int, int], Measured]]) -> str:
    """The profile for people."""
    last = profiles[-1][1]
    columns = [functions(blocks, measured) for blocks, measured in profiles]
    out = [f"{last['device']} on {last['lower']}: {last['rw']}, {last['bs']} bytes, depth "
           f"{last['depth']}{', polled' if last['poll'] else ''}; instructions per I/O"]
    for (_, measured), column in zip(profiles, columns):
        total, clock = sum(column.values()), measured["repeats"][0]
        out.append(f"{measured['device']}: {total:.0f} of {measured['ios']:.0f} I/Os; by the "
                   f"clock of the VM {clock:.0f} ({total / clock - 1:+.2%})")
    head = "".join(f"{measured['device'][:9]:>10}" for _, measured in profiles)
    head += f"{'added':>10}" if len(profiles) > 1 else ""
    out += ["", head]
    out += lines([grouped(column) for column in columns], str)
    out += [line([sum(column.values()) for column in columns], "all"), "", head]
    out += lines(columns, lambda key: f"{group_of(*key):14} {key[0]}"
                 + (f" [{key[1]}]" if key[1] else ""))
    return "\n".join(out) + "\n"


def main() -> None:
    """Read, tell, write."""
    where = pathlib.Path(sys.argv[1])
    profiles = []
    for n, text in enumerate((where / "measured.jsonl").read_text().splitlines(), 1):
        pairs = [words.split() for words in (where / f"blocks.{n}").read_text().splitlines()]
        profiles.append(({int(address, 16): int(count) for address, count in pairs},
                         json.loads(text)))
    text = table(profiles)
    (where / "table.txt").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
