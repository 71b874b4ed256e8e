# SPDX-License-Identifier: GPL-2.0
"""Run one program of the selftests: python3 -m lib.program LIMIT PROGRAM

It gets LIMIT seconds, and all that it started ends with it. What it leaves
behind is taken away, so that it is no matter for the next one, and is its
failure. In the lab a skip is one as well, unless expected-skips has it.

The exit code is the program's, 124 if it was ended at its limit, and 1 if it
passed in all else.
"""

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from . import tidy
from .tap import SKIP, patience

TIMEOUT = 124  # as timeout(1)
PR_SET_CHILD_SUBREAPER = 36
EXPECTED = pathlib.Path(__file__).resolve().parents[1] / "expected-skips"
SKIPPED = re.compile(r"ok (?P<test>\d+ .*?) # SKIP ?(?P<why>.*)")
WHOLE = re.compile(r"1\.\.0 # SKIP ?(?P<why>.*)")


def kernel_kind():
    """debug or stock, as qemu-test/kernels calls them."""
    return "debug" if os.uname().release.endswith("-debug") else "stock"


def expected(program):
    """Expressions for the skips that may be, for this kernel and program."""
    found = []
    for line in EXPECTED.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            kernel, name, expression = line.split(None, 2)
            if name == program and kernel in ("any", kernel_kind()):
                found.append(re.compile(expression))
    return found


class Judge:
    """Looks at the skips among a program's lines."""

    def __init__(self, program):
        self.may = expected(program) if os.environ.get("STOR_VM") == "1" else None
        self.unexpected = 0

    def _expected(self, text):
        if self.may is None or any(each.search(text) for each in self.may):
            return True
        self.unexpected += 1
        return False

    def line(self, text):
        """The line, or another one if it tells of a skip that must not be."""
        if match := SKIPPED.fullmatch(text):
            if not self._expected(f"{match['test']}: {match['why']}"):
                return f"not ok {match['test']} # a skip not expected: {match['why']}"
        elif match := WHOLE.fullmatch(text):
            if not self._expected(f"all: {match['why']}"):
                return f"1..1\nnot ok 1 all: a skip not expected: {match['why']}"
        return text


def tell(text):
    """A line of our own."""
    print(f"# {text}", flush=True)


def output(stream, judge):
    """Pass on what the program says."""
    for line in stream:
        print(judge.line(line.rstrip("\n")), flush=True)


def supervised(limit, program, env):
    """Run it to its end, or to the limit."""
    judge = Judge(pathlib.Path(program).stem)
    # Of all that it starts, whoever loses its parent becomes our child.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # pylint: disable-next=consider-using-with
    child = subprocess.Popen([program], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace")
    # What it started may hold the pipe open for longer than it lives.
    reader = threading.Thread(target=output, args=(child.stdout, judge), daemon=True)
    reader.start()
    try:
        code = child.wait(limit)
        if code < 0:
            tell(f"{program} was ended by {signal.Signals(-code).name}")
            code = 1
    except subprocess.TimeoutExpired:
        tell(f"{program} has not ended within {limit:g} s")
        code = TIMEOUT
    # A child that was told to end may just be doing so.
    lived = tidy.end_all(0 if code == TIMEOUT else patience(3), patience(20))
    reader.join(patience(20))
    if lived and code != TIMEOUT:
        tell(f"left running: {', '.join(lived)}")
        code = code if code not in (0, SKIP) else 1
    if judge.unexpected and code in (0, SKIP):
        code = 1
    return code


def main():
    """Do as told."""
    limit, program = float(sys.argv[1]), sys.argv[2]
    env = dict(os.environ)
    # Is for the program, whose volumes are looked at when they go; not for us.
    os.environ.pop("STOR_TEST_ENCRYPTED", None)
    before = tidy.Before()
    code = supervised(limit, program, env)
    told, stay = before.restore()
    if told:
        tell(f"left behind: {', '.join(told)}")
        code = code if code not in (0, SKIP) else 1
    if stay:
        tell(f"can not be taken away: {', '.join(stay)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
