#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Boot a VM with virtme-ng, run one command in it, give back its output and exit code.

Runs in the root file system, started by `vm`, which explains the options. The guest
has the same root file system (virtiofs), so all that both need is passed by files:
/.lab/job holds the command and its settings. What comes back travels by virtio
ports, one each for stdout, stderr and the exit code; the console goes to the log.

Nothing needs tidying up: `lab` runs this in namespaces that end with it, and the
drives are files without a name.
"""

import argparse
import collections
import os
import pathlib
import re
import secrets
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
import tty
import typing

import dump
import klog

EXIT_LOG = 70  # the kernel log has what it must not have
EXIT_HUNG = 124  # as timeout(1)
EXIT_LAB = 125  # the VM did not get as far as the command, or died

# An emulated CPU may miss an instruction that another one is just changing, which kernels
# do a lot while they boot. Such a VM is booted again, this often in all.
BOOTS = 3
SILENCE = 90  # seconds without a word on the console, before the guest's own script runs

JOB = pathlib.Path("/.lab/job")
# Emulating wide vectors costs more than they save; libc does without.
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-ERMS"
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def fail(message: str) -> None:
    """End with a message: the request cannot be carried out."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_LAB)


def note(message: str) -> None:
    """A line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


def size(text: str) -> int:
    """Bytes, of something like 4G."""
    match = re.fullmatch(r"([0-9]+)([KMGT]?)", text)
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 512M or 4G")
    return int(match[1]) * UNITS[match[2]]


class Drive(typing.NamedTuple):
    """An NVMe drive to be emulated."""

    nbytes: int
    lbads: int = 9  # log2 of the block size
    null: bool = False  # keeps nothing


def drive(text: str) -> Drive:
    """A drive, of something like 1G,lbads=12 or 1G,null."""
    match = re.fullmatch(r"([^,]*)(?:,lbads=(9|12))?(,null)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not SIZE[,lbads=9|12][,null]")
    nbytes = size(match[1])
    if nbytes % (1 << 20):
        raise argparse.ArgumentTypeError(f"{match[1]} is not a multiple of 1M")
    return Drive(nbytes, int(match[2] or 9), bool(match[3]))


def positive(text: str) -> int:
    """A whole number of at least one."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 1")
    return int(text)


def options() -> argparse.Namespace:
    """What `vm` passed on, checked."""
    parser = argparse.ArgumentParser(prog="vm run", usage=argparse.SUPPRESS)
    parser.add_argument("--release", required=True)
    parser.add_argument("--accel", choices=["kvm", "tcg"], required=True)
    parser.add_argument("--module", default="")
    parser.add_argument("--log", type=pathlib.Path, required=True)
    parser.add_argument("--nvme", type=drive, action="append")
    parser.add_argument("--cpus", type=positive)
    parser.add_argument("--memory", type=size, default=size("2G"))
    parser.add_argument("--icount", action="store_true")
    parser.add_argument("--kopt", action="append", default=[])
    parser.add_argument("--plugin", default="")
    parser.add_argument("--dump", action="store_true")
    parser.add_argument("--timeout", type=positive, default=600)
    parser.add_argument("--tty", action="store_true")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    args.nvme = args.nvme or [drive("4G"), drive("512M")]
    if args.icount and (args.cpus or 1) > 1:
        parser.error("--icount counts the instructions of one CPU; leave --cpus out or say 1")
    if args.memory < 256 << 20:
        parser.error("--memory: the guest needs 256M at least")
    if args.plugin and not (args.icount or args.accel == "tcg"):
        parser.error("--plugin: QEMU has plugins for emulated CPUs only; say --icount")
    if args.plugin and not pathlib.Path(args.plugin.split(",")[0]).is_file():
        parser.error(f"--plugin: no file {args.plugin.split(',')[0]} here")
    args.cpus = args.cpus or (1 if args.icount else 2)
    return args


def make_drive(nbytes: int) -> int:
    """A sparse file without a name, on disk: nobody has to remove it."""
    try:
        fd = os.open("/.lab/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:  # not every file system can
        name = f"/.lab/tmp/drive-{secrets.token_hex(8)}"
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.unlink(name)
    os.truncate(fd, nbytes)
    return fd


def qemu_options(args: argparse.Namespace, ports: dict[str, int], drives: list[int]) -> list[str]:
    """What QEMU is to be told beyond what virtme-ng tells it."""
    cpu = "max,la57=off,svm=off"  # what nothing here uses and emulation pays for
    opts = ["-smp", str(args.cpus), "-nodefaults", "-machine", "q35,sata=off"]
    if args.icount:
        opts += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", cpu]
    elif args.accel == "tcg":
        opts += ["-accel", "tcg,thread=multi", "-cpu", cpu]
    opts += ["-device", "virtio-serial-pci,id=stor-ports"]
    for name, fd in ports.items():
        opts += ["-chardev", f"file,id=stor-{name},path=/proc/self/fd/{fd}"]
        opts += ["-device", f"virtserialport,bus=stor-ports.0,name=stor.{name},chardev=stor-{name}"]
    if args.plugin:
        opts += ["-plugin", args.plugin]
    for n, (fd, wanted) in enumerate(zip(drives, args.nvme)):
        # What is written need not survive the host, so QEMU need not wait for its disk.
        where = f"file=/proc/self/fd/{fd},format=raw,discard=unmap,detect-zeroes=off"
        if wanted.null:
            where = f"driver=null-co,size={wanted.nbytes},read-zeroes=on"
        lbads = wanted.lbads
        opts += [
            "-drive",
            f"{where},id=drive{n},if=none,cache=unsafe",
            "-device",
            f"nvme,id=nvme{n},serial=stor-nvme{n}",
            "-device",
            f"nvme-ns,drive=drive{n},bus=nvme{n},"
            f"logical_block_size={1 << lbads},physical_block_size={1 << lbads}",
        ]
    return opts


def dump_server(args: argparse.Namespace, drives: list[int]) -> dump.Server | None:
    """Who answers questions about the VM's memory, if the VM may ask."""
    if not args.dump:
        return None
    # What fds stand for is read until the end.
    return dump.Server(JOB, make_drive(0), [os.dup(fd) for fd in drives])


def virtme_command(args: argparse.Namespace, qemu_opts: list[str]) -> list[str]:
    """The command line that boots the VM."""
    kopts = [
        "modprobe.blacklist=i6300esb",  # virtme-ng adds one; no use for it
        "virtme_root_mods=1",  # the modules are where they belong
        "loglevel=7",
        "printk.devkmsg=on",  # no rate limit on what tests write there
        "oops=panic",  # a broken kernel ends the run instead of hanging it
    ]
    if args.accel == "tcg" or args.icount:
        # A busy host makes an emulated CPU look stuck.
        kopts += ["rcupdate.rcu_cpu_stall_timeout=120", "watchdog_thresh=60"]
        kopts += [f"GLIBC_TUNABLES={TUNABLES}"]
        # The root file system's data is put into the guest's memory by a process that the
        # emulator does not see write, and what it has translated of that memory stays: a page
        # of one program would run as the one that was there before. Clearing pages when they
        # are taken, as the stock kernel does by itself, is seen.
        kopts += ["init_on_alloc=1"]
    kopts += args.kopt
    command = ["virtme-run", "--kimg", f"/usr/lib/modules/{args.release}/vmlinuz"]
    command += ["--mods", "none", "--rw", "--memory", f"{args.memory >> 20}M"]
    command += ["--disable-microvm", "--show-boot-console"]
    if args.accel == "tcg" or args.icount:
        command += ["--disable-kvm"]
    for opt in kopts:
        command += ["--kopt", opt]
    command += ["--script-sh", f"exec bash {JOB}/guest.sh"]
    return command + ["--qemu-opts"] + qemu_opts


def adapt_root() -> None:
    """Make the root file system quick to boot; what is written here ends with the run."""
    # virtme-ng looks for virtiofsd on the PATH first. Nobody else writes to what it
    # shares, so the guest may keep all that it has seen.
    wrapper = pathlib.Path("/usr/local/bin/virtiofsd")
    wrapper.write_text('#!/bin/sh\nexec /usr/libexec/virtiofsd --cache always "$@"\n')
    wrapper.chmod(0o755)
    # Debian's is in the package of an init system, of which there is none.
    poweroff = pathlib.Path("/usr/sbin/poweroff")
    poweroff.write_text("#!/bin/sh\nsync\necho o >/proc/sysrq-trigger\nsleep 30\n")
    poweroff.chmod(0o755)
    # virtme-init runs it when it is there; it makes nothing that is needed here.
    pathlib.Path("/usr/bin/systemd-tmpfiles").unlink(missing_ok=True)


def write_job(args: argparse.Namespace, token: str) -> None:
    """What guest.sh reads, and guest.sh itself: who edits it now edits the next run's."""
    JOB.mkdir(exist_ok=True)
    shutil.copy(pathlib.Path(__file__).with_name("guest.sh"), JOB)
    terminal = ""
    if args.tty:
        columns, rows = shutil.get_terminal_size()
        terminal = f"rows {rows} cols {columns}"
    settings = {
        "STOR_REPO": os.environ["STOR_REPO"],
        "TOKEN": token,
        "DRIVES": len(args.nvme),
        "MODULE": args.module,
        "TTY": terminal,
        "TUNABLES": TUNABLES if args.accel == "tcg" or args.icount else "",
        "TERM_NAME": os.environ.get("TERM", "dumb"),
    }
    lines = [f"{key}={shlex.quote(str(value))}\n" for key, value in settings.items()]
    (JOB / "settings").write_text("".join(lines))
    (JOB / "argv").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in args.command))


class Stream:
    """One of the command's streams on its way out; its end is marked by the token.

    A thread of its own writes, so that a slow reader never stops the VM.
    """

    def __init__(self, token: bytes, target: int) -> None:
        self.token, self.target = token, target
        self.held, self.ended = b"", False
        self.queue: collections.deque[bytes] = collections.deque()
        self.ready = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def feed(self, data: bytes) -> None:
        """Pass on all of it but what may be the beginning of the token."""
        data = self.held + data
        head, found, _ = data.partition(self.token)
        if found:
            self.ended, self.held = True, b""
        else:
            keep = next(
                (n for n in range(len(self.token) - 1, 0, -1) if data.endswith(self.token[:n])), 0
            )
            head, self.held = data[: len(data) - keep], data[len(data) - keep :]
        if head and not (self.ended and not found):
            self._put(head)

    def _put(self, data: bytes) -> None:
        self.queue.append(data)
        self.ready.release()

    def close(self) -> None:
        """Wait until everything is written."""
        self._put(self.held)
        self._put(b"")
        self.queue.append(b"")
        self.ready.release()
        self.thread.join()

    def _write(self) -> None:
        try:
            while True:
                self.ready.acquire()
                data = self.queue.popleft()
                if not data and not self.queue:
                    return
                while data:
                    data = data[os.write(self.target, data) :]
        except OSError:  # nobody reads it any more
            pass


class Vm:
    """A running VM, and what has come from it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.token = f"stor-{secrets.token_hex(16)}"
        adapt_root()
        write_job(args, self.token)
        pipes = {name: os.pipe() for name in ("out", "err", "rc", "console")}
        drives = [make_drive(drive.nbytes) for drive in args.nvme]
        ports = {name: pipes[name][1] for name in ("out", "err", "rc")}
        qemu_opts = qemu_options(args, ports, drives)
        fds = list(ports.values()) + drives
        dumps = dump_server(args, drives)
        if dumps:
            qemu_opts += dumps.qemu_options()
            fds += dumps.fds()
        command = virtme_command(args, qemu_opts)
        self.streams = {
            "out": Stream(self.token.encode(), 1),
            "err": Stream(self.token.encode(), 2),
        }
        self.rc = b""
        self.console = b""
        self.heard = time.monotonic()  # when the console last said something
        self.log = args.log.open("ab", buffering=0)
        self.log.write(f"# {shlex.join(command)}\n".encode())
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if args.tty else subprocess.DEVNULL,
            stdout=pipes["console"][1],
            stderr=pipes["console"][1],
            pass_fds=fds,
            start_new_session=True,
        )
        if dumps:
            dumps.start()
        self.selector = selectors.DefaultSelector()
        for name, (reader, writer) in pipes.items():
            os.close(writer)
            os.set_blocking(reader, False)
            self.selector.register(reader, selectors.EVENT_READ, name)
        if args.tty:
            self.selector.register(0, selectors.EVENT_READ, "typed")
        for fd in drives:
            os.close(fd)

    def complete(self) -> bool:
        """Whether everything that the guest had to say has arrived."""
        return (
            all(stream.ended for stream in self.streams.values())
            and self.rc.endswith(b"\n")
            and f"stor-lab: end {self.token}".encode() in self.console[-8192:]
        )

    def begun(self) -> bool:
        """Whether the kernel has booted: the guest's own script runs."""
        return f"stor-lab: begin {self.token}".encode() in self.console

    def _take(self, name: str, data: bytes) -> None:
        if name == "console":
            self.console += data
            self.heard = time.monotonic()
            self.log.write(data)
        elif name == "rc":
            self.rc += data
        elif name == "typed":
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()
        else:
            self.streams[name].feed(data)

    def _poll(self, seconds: float) -> bool:
        """Take what is there, or wait for it; False when nothing came."""
        came = False
        for key, _ in self.selector.select(seconds):
            data = os.read(key.fd, 1 << 16)
            if data:
                self._take(key.data, data)
                came = True
            else:
                self.selector.unregister(key.fd)
        return came

    def run(self, deadline: float) -> str:
        """Run to the end; says how it ended: complete, died, hung, or stillborn."""
        begun = False
        while not self.complete():
            begun = begun or self.begun()
            if time.monotonic() > deadline:
                return "hung"
            if not begun and time.monotonic() > self.heard + SILENCE:
                return "stillborn"
            if self.process.poll() is not None:
                while self._poll(0.1):
                    pass
                if self.complete():
                    return "complete"
                return "died" if self.begun() else "stillborn"
            self._poll(0.2)
        return "complete"

    def end(self) -> None:
        """Stop whatever still runs, and write what is left to write."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in self.streams.values():
            stream.close()
        self.log.close()


def verdict(vm: Vm, how: str) -> int:
    """The exit code of the run, with the reason on stderr where it is the lab's own."""
    log = vm.args.log
    text = vm.console.decode(errors="replace").replace("\r", "")
    code = EXIT_LAB
    if how == "complete":
        code, tainted = (int(word) for word in vm.rc.split())
        bad = klog.bad_lines(text) or [f"tainted: {t}" for t in klog.bad_taints(tainted)]
    else:
        bad = klog.bad_lines(text)
    if how == "hung":
        note(f"error: the VM was ended at its limit of {vm.args.timeout} s (--timeout)")
        code = EXIT_HUNG
    elif how == "died":
        note("error: the VM ended before the command did")
    elif how == "stillborn":
        note("error: the VM's kernel did not boot")
    if how != "complete":
        note("       The last lines of its console:")
        for line in text.splitlines()[-25:]:
            note(f"    | {line}")
    if bad:
        note("error: the kernel log has what it must not have:")
        for line in bad[:20]:
            note(f"    | {line}")
        if len(bad) > 20:
            note(f"    | ... and {len(bad) - 20} lines more")
        code = EXIT_LOG if how == "complete" else code
    if code != 0:
        note(f"       The whole kernel log: {log}")
    return code


def main() -> int:
    """Run, tell, and give back the exit code."""
    args = options()
    saved = None
    if args.tty:
        saved = termios.tcgetattr(0)
        tty.setraw(0)
    try:
        deadline = time.monotonic() + args.timeout
        for boot in range(1, BOOTS + 1):
            vm = Vm(args)
            how = vm.run(deadline)
            vm.end()
            if how != "stillborn" or args.accel == "kvm" or boot == BOOTS:
                break
            note("==> the emulated VM got stuck while it booted; once more")
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSAFLUSH, saved)
    return verdict(vm, how)


if __name__ == "__main__":
    sys.exit(main())
