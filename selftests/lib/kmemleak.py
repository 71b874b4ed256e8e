# SPDX-License-Identifier: GPL-2.0
"""Memory that the kernel has lost: python3 -m lib.kmemleak baseline|check

What kmemleak suspects at the baseline is set aside: it is the kernel's own. A
check tells of all else, with the module loaded and, where that is possible,
without it, since what only the module still points to is lost with it.

Exit codes as of a selftest: 4 if this kernel has no kmemleak.
"""

import pathlib
import re
import subprocess
import sys
import time

from . import stor

FILE = pathlib.Path("/sys/kernel/debug/kmemleak")
YOUNG = 6  # seconds: younger objects are not told of


def tell(text):
    """For people who read TAP."""
    for line in text.splitlines():
        print(f"# {line}", flush=True)


def scan():
    """All that is suspected after two scans, some time apart.

    The first may find what is just being moved from one place to another.
    """
    for _ in range(2):
        time.sleep(YOUNG)
        FILE.write_text("scan")
    return re.findall(r"^unreferenced object.*\n(?:^[ \t].*\n)*",
                      FILE.read_text(), re.M)


def symbols():
    """The functions of the module, by address; after it has gone, too."""
    text = pathlib.Path("/proc/kallsyms").read_text()
    return sorted((int(address, 16), name) for address, name in
                  re.findall(r"^(\w+) [tT] (\S+)\t\[stor\]$", text, re.M))


def named(report, functions):
    """A report, with the module's functions where it has addresses."""
    def name(match):
        address = int(match[1], 16)
        below = [each for each in functions if each[0] <= address]
        if not below or address > functions[-1][0] + 0x1000:
            return match[0]
        return f"{below[-1][1]}+{address - below[-1][0]:#x} [stor]"
    return re.sub(r"(?<=    )(?:0x)?(ffffffff[0-9a-f]{8})\b", name, report)


def check():
    """0 if nothing is lost, otherwise 1."""
    begin = time.monotonic()
    functions, found = [], []
    if stor.loaded():
        functions = symbols()
        found = scan()
        if stor.run("rmmod", "stor", check=False).returncode == 0:
            found += [report for report in scan() if report.splitlines()[0]
                      not in {old.splitlines()[0] for old in found}]
            stor.load()
        else:
            tell("the module can not be unloaded, so it stays")
    else:
        found = scan()
    for report in found:
        tell(named(report, functions))
    ours = sum("[stor]" in named(report, functions) for report in found)
    tell(f"kmemleak: {len(found)} objects are lost, {ours} of them by stor; "
         f"{time.monotonic() - begin:.0f} s")
    return 1 if found else 0


def main():
    """Do as told."""
    try:
        FILE.read_text()
    except OSError:
        tell("this kernel has no kmemleak, or it is switched off")
        return 4
    if sys.argv[1:] == ["baseline"]:
        before = scan()
        for report in before:
            tell(report)
        tell(f"kmemleak: {len(before)} objects set aside")
        FILE.write_text("clear")
        # For whoever reads the log of a run: the leaks named so far.
        with open("/dev/kmsg", "w", encoding="ascii") as log:
            log.write("kmemleak: set aside by stor's selftests\n")
        return 0
    if sys.argv[1:] == ["check"]:
        return check()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.SubprocessError as error:
        tell(str(error))
        sys.exit(1)
