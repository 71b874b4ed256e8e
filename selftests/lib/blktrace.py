# SPDX-License-Identifier: GPL-2.0
"""What a disk is asked for, by the tracepoint block_rq_issue."""

import contextlib
import os
import pathlib
import re

import tap

TRACING = pathlib.Path("/sys/kernel/tracing")
EVENT = re.compile(r"block_rq_issue: (\d+),(\d+) (\w+) (\d+) \(.*?\) "
                   r"(\d+) \+ (\d+)")
# udev looks at a disk whenever somebody who has written to it closes it.
BYSTANDER = re.compile(r"\[\(?(?:systemd-)?udev")


@contextlib.contextmanager
def requests(*devices):
    """Collect the requests of devices while the body runs.

    Gives a function that returns them, as (device name, operation, sector,
    sectors); the operation is what blktrace calls rwbs, without the letters
    that only say why (S: somebody waits, M: metadata, A: read ahead).
    """
    if not (TRACING / "events/block/block_rq_issue").exists():
        raise tap.Skip("no tracefs, or no tracepoints of the block layer")
    names = {os.stat(device.path).st_rdev: device.name for device in devices}
    instance = TRACING / f"instances/stor-selftest-{os.getpid()}"
    instance.mkdir()
    try:
        switch = instance / "events/block/block_rq_issue/enable"
        switch.write_text("1")

        def collect():
            switch.write_text("0")
            found = []
            for line in (instance / "trace").read_text().splitlines():
                match = EVENT.search(line)
                if not match or BYSTANDER.search(line):
                    continue
                name = names.get(os.makedev(int(match[1]), int(match[2])))
                if name:
                    found.append((name, re.sub("[SMA]", "", match[3]),
                                  int(match[5]), int(match[6])))
            return found
        yield collect
        switch.write_text("0")
    finally:
        instance.rmdir()
