# SPDX-License-Identifier: GPL-2.0
"""Secrets for a VM, and searches for them in its memory.

A program in the VM asks by the port stor.dump (`vm run --dump`), a line for each question:

    key LABEL BYTES     make a key of AES-XTS
    marker LABEL BYTES  make a piece of data
    search              look for all secrets in the memory of the VM and on its drives
    text BYTES          look for them in what follows the line

The answer is a line of JSON. Of a secret it is the complement, in hexadecimal digits: what
is on its way to the VM, and stays in buffers there, is not what is searched for. The search
itself is done out here, and the VM never gets to know what for.

Of a search the answer says what was found, by label, place (memory, drives or text) and kind
(see patterns.py): how many different patterns there are, how many of them were found, and how
often in all. So it does as well where nothing was found.
"""

import hashlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import typing

import patterns

SECRET_MAX = 255  # bytes, by the file that search.c reads
HERE = pathlib.Path(__file__).resolve().parent
Places = dict[str, list[int]]  # open files, by what they are


class Monitor:
    """QEMU's own protocol (QMP)."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines = sock.makefile("rwb")

    def _message(self) -> dict[str, typing.Any]:
        line = self.lines.readline()
        if not line:
            raise EOFError("QEMU has ended")
        message: dict[str, typing.Any] = json.loads(line)
        return message

    def greet(self) -> None:
        """To be done first."""
        self._message()
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: object) -> None:
        """Have a command carried out."""
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        self.lines.flush()
        while True:
            message = self._message()
            if "error" in message:
                raise OSError(f"QEMU: {command}: {message['error']['desc']}")
            if "return" in message:
                return


def build(folder: pathlib.Path) -> pathlib.Path:
    """Compile the program that searches."""
    program = folder / "search"
    command = ["gcc-14", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program)]
    subprocess.run(command + [str(HERE / "search.c")], check=True)
    return program


def secret(label: str, length: int) -> bytes:
    """The same in every run, and nothing that the VM could know by itself."""
    return hashlib.shake_256(f"stor, a secret: {label}".encode()).digest(length)


class Search:
    """What to search for, and how."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.program = build(folder)
        # Without a name: the VM sees the same files, and is not to come upon it.
        self.file = os.memfd_create("patterns")
        self.patterns: list[patterns.Pattern] = []

    def add(self, found: list[patterns.Pattern]) -> None:
        """Search for these as well."""
        self.patterns += [one for one in found if one not in self.patterns]
        file = b"".join(bytes([len(one.data)]) + one.data for one in self.patterns)
        os.pwrite(self.file, file, 0)

    def run(self, places: Places) -> dict[str, dict[str, dict[str, list[int]]]]:
        """What is found where."""
        result: dict[str, dict[str, dict[str, list[int]]]] = {}
        for place, fds in places.items():
            for one in self.patterns:
                kinds = result.setdefault(one.secret, {}).setdefault(place, {})
                kinds.setdefault(one.kind, [0, 0, 0])[0] += 1
            fds = [self.file, *fds]
            command = [str(self.program), *(f"/proc/self/fd/{fd}" for fd in fds)]
            out = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, pass_fds=fds
            ).stdout
            for line in out.splitlines():
                number, count = (int(word) for word in line.split()[:2])
                one = self.patterns[number]
                counts = result[one.secret][place][one.kind]
                counts[1] += 1
                counts[2] += count
        return result


class Server:
    """Answers the questions of one VM, in a thread of its own."""

    def __init__(self, folder: pathlib.Path, dump: int, drives: list[int]) -> None:
        self.search = Search(folder)
        self.dump, self.drives = dump, drives
        self.port, self.qemu_port = socket.socketpair()
        control, self.qemu_control = socket.socketpair()
        self.monitor = Monitor(control)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def fds(self) -> list[int]:
        """What QEMU has to inherit."""
        return [self.qemu_port.fileno(), self.qemu_control.fileno(), self.dump]

    def qemu_options(self) -> list[str]:
        """What to tell it."""
        port, control = self.qemu_port.fileno(), self.qemu_control.fileno()
        return [
            "-chardev",
            f"socket,id=stor-dump,fd={port}",
            "-device",
            "virtserialport,bus=stor-ports.0,name=stor.dump,chardev=stor-dump",
            "-chardev",
            f"socket,id=stor-control,fd={control}",
            "-mon",
            "chardev=stor-control,mode=control",
        ]

    def start(self) -> None:
        """QEMU runs."""
        self.qemu_port.close()
        self.qemu_control.close()
        self.thread.start()

    def _serve(self) -> None:
        try:
            self.monitor.greet()
            lines = self.port.makefile("rwb")
            for line in lines:
                lines.write(json.dumps(self._answer(line.decode().split(), lines)).encode() + b"\n")
                lines.flush()
        except (EOFError, ConnectionError):
            pass  # the VM has ended
        except Exception as why:  # who waits for an answer is ended at the limit
            print(f"error: --dump: {why}", file=sys.stderr, flush=True)
            self.port.close()

    def _answer(self, words: list[str], lines: io.BufferedRWPair) -> object:
        if words[:1] in (["key"], ["marker"]) and len(words) == 3:
            made = secret(words[1], min(int(words[2]), SECRET_MAX))
            of = patterns.of_xts_key if words[0] == "key" else patterns.of_marker
            self.search.add(of(words[1], made))
            return bytes(255 - byte for byte in made).hex()
        if words == ["search"]:
            return self._search()
        if words[:1] == ["text"] and len(words) == 2:
            text = os.memfd_create("text")
            try:
                os.pwrite(text, lines.read(int(words[1])), 0)
                return self.search.run({"text": [text]})
            finally:
                os.close(text)
        return f"no question: {' '.join(words)}"

    def _search(self) -> object:
        self.monitor.run("stop")
        self.monitor.run(
            "dump-guest-memory", paging=False, protocol=f"file:/proc/self/fd/{self.dump}"
        )
        self.monitor.run("cont")
        try:
            return self.search.run({"memory": [self.dump], "drives": self.drives})
        finally:
            os.truncate(self.dump, 0)
