# SPDX-License-Identifier: GPL-2.0
"""TAP version 13, as kselftest wants it."""

import collections
import errno
import os
import pathlib
import re
import sys
import threading
import time
import traceback

SKIP = 4  # exit code of a program that could not test anything

# What the kernel log must not get while a test runs.
BAD_LOG = re.compile("|".join(
    line for line in pathlib.Path(__file__).with_name("bad-log")
    .read_text(encoding="utf-8").splitlines() if line and line[0] != "#"))

_tests = []


class Skip(Exception):
    """This machine lacks what the test needs."""


class Failure(Exception):
    """A value is not what it has to be."""


def test(function):
    """Make a function a test; its docstring is its description."""
    _tests.append(function)
    return function


def note(text):
    """Tell something beside the results."""
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def check(condition, text):
    """Fail with a text unless the condition holds."""
    if not condition:
        raise Failure(text)


def equal(got, want, what="value"):
    """Fail unless both are the same."""
    if got != want:
        raise Failure(f"{what}: got {got!r}, want {want!r}")


def error_name(number):
    """EINVAL, of 22."""
    return errno.errorcode.get(number, str(number))


def patience(seconds):
    """How long to wait for what takes that long at most on a usual machine.

    STOR_TEST_PATIENCE says how many times as slow this one may be.
    """
    return seconds * float(os.environ.get("STOR_TEST_PATIENCE") or 1)


def in_thread(function, *args):
    """Start something; gives a function that waits for what it returned.

    Its attribute sleeps() tells whether it waits in the kernel, as for I/O.
    """
    result = []

    def work():
        try:
            result.append(function(*args))
        except Exception as why:
            result.append(why)
    thread = threading.Thread(target=work)
    thread.start()

    def join():
        thread.join(patience(60))
        check(result, f"{function.__name__} has not ended")
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def state():
        # Field 3 of /proc/PID/stat; the name before it may be anything.
        path = f"/proc/self/task/{thread.native_id}/stat"
        with open(path, encoding="utf-8") as file:
            return file.read().rpartition(") ")[2][0]
    join.sleeps = lambda: thread.is_alive() and state() == "D"
    return join


def wait_until(condition, what, seconds=10):
    """Wait for a condition, and give back what it returned."""
    seconds = patience(seconds)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.05)


class KernelLog:
    """What the kernel says from now on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)

    def lines(self):
        """What has come since the last call."""
        found = []
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:
                found.append("(lines of the kernel log were overwritten)")
                continue
            found.append(record.partition(";")[2].splitlines()[0])


def _run(function, context):
    """Run one test; gives back ok, and the reason of a skip."""
    try:
        function(*context)
        return True, None
    except Skip as why:
        return True, str(why)
    except Failure as why:
        frame = traceback.extract_tb(sys.exc_info()[2])[-2]
        note(f"{why}\n    at {os.path.basename(frame.filename)}:"
             f"{frame.lineno}: {frame.line}")
    except Exception:  # whatever it is, the next test wants to run
        note(traceback.format_exc())
    return False, None


def main(setup=None, cleanup=None):
    """Run all tests, and exit.

    setup gives what each test is called with; a Skip from it skips the whole
    program. cleanup, called with the same after each test, gives what the
    test has left behind. STOR_TEST_ONLY, a regular expression, chooses among
    the tests by the names of their functions.
    """
    only = re.compile(os.environ.get("STOR_TEST_ONLY", ""))
    _tests[:] = [function for function in _tests
                 if only.search(function.__name__)]
    sys.stdout.reconfigure(line_buffering=True)
    print("TAP version 13")
    if os.geteuid() != 0:
        print("1..0 # SKIP root is needed")
        sys.exit(SKIP)
    try:
        context = setup() if setup else ()
    except Skip as why:
        print(f"1..0 # SKIP {why}")
        sys.exit(SKIP)
    log = KernelLog()
    print(f"1..{len(_tests)}")
    count = collections.Counter()
    for number, function in enumerate(_tests, 1):
        begin = time.monotonic()
        ok, skipped = _run(function, context)
        left = None
        try:
            left = cleanup(*context) if cleanup else None
        except Exception:
            note(traceback.format_exc())
            ok, skipped = False, None
        if left and not skipped:
            note(f"left behind: {left}")
            ok = False
        bad = [line for line in log.lines() if BAD_LOG.search(line)]
        if bad:
            note("\n".join(["in the kernel log:"] + bad))
            ok = False
        seconds = time.monotonic() - begin
        text = f"{number} {(function.__doc__ or '').splitlines()[0]}"
        if ok and skipped:
            print(f"ok {text} # SKIP {skipped}")
            count["skip"] += 1
        else:
            note(f"{seconds:.1f} s")
            print(("ok " if ok else "not ok ") + text)
            count["pass" if ok else "fail"] += 1
    print(f"# Totals: pass:{count['pass']} fail:{count['fail']} "
          f"skip:{count['skip']}")
    if count["fail"]:
        sys.exit(1)
    sys.exit(0 if count["pass"] else SKIP)
