# SPDX-License-Identifier: GPL-2.0
"""What may hang: done by a process of its own, which a test can give up on."""

import contextlib
import os
import pathlib
import signal
import time
import traceback

from . import tap


class Watched:
    """A function that runs in a process of its own."""

    def __init__(self, function, *args):
        self.what = function.__name__
        self._pipe, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._pipe)
                function(*args)
                code = 0
            except tap.Failure as why:
                os.write(write, str(why).encode()[:4000])
            except BaseException:
                os.write(write, traceback.format_exc().encode()[-4000:])
            finally:
                os._exit(code)
        os.close(write)
        self.status = None

    def ended(self):
        """Whether it has."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def sleeps(self):
        """Whether it waits in the kernel, as for I/O."""
        if self.ended():
            return False
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return text.rpartition(") ")[2][0] == "D"

    def _stacks(self):
        for path in pathlib.Path(f"/proc/{self.pid}/task").glob("*/stack"):
            with contextlib.suppress(OSError):
                tap.note(f"{path}:\n{path.read_text()}")

    def wait(self, seconds):
        """Fail if it has failed, or has not ended within so many seconds."""
        seconds = tap.patience(seconds)
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                self._stacks()
                raise tap.Failure(f"{self.what} has not ended within "
                                  f"{seconds:.0f} s")
            time.sleep(0.02)
        with os.fdopen(self._pipe) as file:
            text = file.read()
        tap.check(self.status == 0, f"{self.what}: {text or self.status}")

    def reap(self, seconds=5):
        """Kill it if it still runs, and wait a little until it is gone.

        What can not be killed may end once others have cleaned up.
        """
        if self.ended():
            return
        os.kill(self.pid, signal.SIGKILL)
        try:
            tap.wait_until(self.ended, f"the end of {self.what}", seconds)
        except tap.Failure as why:
            tap.note(why)


@contextlib.contextmanager
def watched(function, *args):
    """A Watched that does not outlive the body."""
    process = Watched(function, *args)
    try:
        yield process
    finally:
        process.reap()


def within(seconds, function, *args):
    """Do something in a process; fail if that takes longer."""
    with watched(function, *args) as process:
        process.wait(seconds)
