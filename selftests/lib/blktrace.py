# SPDX-License-Identifier: GPL-2.0
"""What happens on its way, by tracepoints; what a disk is asked for."""

import contextlib
import os
import pathlib
import re

from . import tap

TRACING = pathlib.Path("/sys/kernel/tracing")
EVENT = re.compile(r"block_rq_issue: (\d+),(\d+) (\w+) (\d+) \(.*?\) "
                   r"(\d+) \+ (\d+)")
# udev looks at a disk whenever somebody who has written to it closes it.
BYSTANDER = re.compile(r"\[\(?(?:systemd-)?udev")


@contextlib.contextmanager
def trace(events, pattern):
    """Switch tracepoints on, a folder in events/, while the body runs.

    Gives a function that switches them off, and returns the matches in the
    lines that match; without what udev did.
    """
    if not (TRACING / "events" / events).exists():
        raise tap.Skip(f"no tracefs, or no tracepoints {events}")
    instance = TRACING / f"instances/stor-selftest-{os.getpid()}"
    instance.mkdir()
    try:
        switch = instance / "events" / events / "enable"
        (instance / "buffer_size_kb").write_text("8192")
        switch.write_text("1")

        def collect():
            switch.write_text("0")
            lines = (instance / "trace").read_text().splitlines()
            matches = [pattern.search(line) for line in lines
                       if not BYSTANDER.search(line)]
            return [match for match in matches if match]
        yield collect
        switch.write_text("0")
    finally:
        instance.rmdir()


@contextlib.contextmanager
def requests(*devices):
    """Collect the requests of devices while the body runs.

    Gives a function that returns them, as (device name, operation, sector,
    sectors); the operation is what blktrace calls rwbs, without the letters
    that only say why (S: somebody waits, M: metadata, A: read ahead).
    """
    names = {os.stat(device.path).st_rdev: device.name for device in devices}
    with trace("block/block_rq_issue", EVENT) as collect:
        yield lambda: [
            (names[number], re.sub("[SMA]", "", match[3]), int(match[5]),
             int(match[6]))
            for match in collect()
            for number in [os.makedev(int(match[1]), int(match[2]))]
            if number in names]
