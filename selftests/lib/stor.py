# SPDX-License-Identifier: GPL-2.0
"""Volumes, devices and the module, for tests."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import mmap
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import uuid as uuids

from . import keys, netlink, plaintext, tap

HERE = pathlib.Path(__file__).resolve().parent.parent
C = netlink.constants(os.environ.get("STOR_UAPI", HERE.parent / "uapi/stor.h"))
STATES = {C["STOR_VOLUME_STATE_LIVE"]: "live",
          C["STOR_VOLUME_STATE_FAILED"]: "failed",
          C["STOR_VOLUME_STATE_LOCKED"]: "locked"}
# The names of the attributes of a volume, as in uapi/stor.yaml, by number.
NAMES = {number: name.removeprefix("STOR_A_VOLUME_").lower().replace("_", "-")
         for name, number in C.items()
         if name.startswith("STOR_A_VOLUME_") and not name.endswith("_MAX")}
KINDS = {name: number for number, name in NAMES.items()}
STRINGS = {"name", "backing", "disk", "backing-disk", "key", "cipher",
           "cipher-driver"}
U64 = {"offset", "length", "gate-count", "gate-last", "gate-longest",
       "iv-offset"}
U8 = {"read-only", "cipher-slow", "iv-large-sectors", "discard",
      "crypto-native"}

BLKRRPART, BLKFLSBUF, BLKPG = 0x125F, 0x1261, 0x1269
BLKROGET, BLKSSZGET, BLKGETSIZE64 = 0x125E, 0x1268, 0x80081272
BLKDISCARD, BLKZEROOUT = 0x1277, 0x127F
MIB = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def number_format(name):
    """How an attribute that is a number is packed."""
    return "=Q" if name in U64 else "=B" if name in U8 else "=I"


def encode(values):
    """Attributes of a volume, in the order given, as bytes."""
    out = b""
    for name, value in values.items():
        name = name.replace("_", "-")
        if isinstance(value, uuids.UUID):
            value = value.bytes
        elif isinstance(value, str):
            value = value.encode() + b"\0"
        elif isinstance(value, int):
            value = struct.pack(number_format(name), value)
        out += netlink.attr(KINDS[name], value)
    return out


def decode(message):
    """A volume, of a message."""
    volume = {}
    for kind, payload in message.attrs():
        name = NAMES[kind]
        if name in STRINGS:
            value = payload.rstrip(b"\0").decode()
        elif name == "uuid":
            value = uuids.UUID(bytes=payload)
        else:
            value = struct.unpack(number_format(name), payload)[0]
        volume[name] = STATES[value] if name == "state" else value
    return volume


def like_plain(backing):
    """How a volume is encrypted and does all that a plain one does."""
    try:
        with open(backing, "rb", buffering=0) as file:
            block = struct.unpack("=i", fcntl.ioctl(file, BLKSSZGET,
                                                    bytes(4)))[0]
    except OSError:
        return {}  # for the kernel to refuse
    how = {"key": ENCRYPTED, "crypto_sector": block, "discard": 1}
    # Over another one it can not be so.
    if (os.environ["STOR_TEST_ENCRYPTED"] == "blk-crypto"
            and not re.fullmatch(r"/dev/stor\d+", os.path.realpath(backing))):
        how.update(crypto_engine=C["STOR_CRYPTO_ENGINE_BLK_CRYPTO"],
                   iv_large_sectors=1)
    return how


def encrypted():
    """The key of all volumes, where tests of plain ones are run on others."""
    if not os.environ.get("STOR_TEST_ENCRYPTED"):
        return None
    # Before there are threads, each of which gets the keyring of the first.
    keys.add("logon", "stor:all", random.Random(5).randbytes(64))
    return "logon:stor:all"


ENCRYPTED = encrypted()


class Stor:
    """The family, by raw netlink."""

    def __init__(self):
        self.sock = netlink.Socket()
        self.family, self.groups = self.sock.family(C["STOR_FAMILY_NAME"])

    def call(self, command, body=b"", **how):
        """Send any command."""
        return self.sock.request(self.family, C[f"STOR_CMD_{command}"], body,
                                 **how)

    def info(self):
        """INFO_GET, by the numbers of the attributes."""
        (reply,) = self.call("INFO_GET")
        return dict(reply.attrs())

    def new(self, name, backing, **values):
        """Make a volume."""
        if ENCRYPTED and "key" not in values:
            values = {**like_plain(str(backing)), **values}
        values = {"name": name, "backing": str(backing), **values}
        (reply,) = self.call("VOLUME_NEW", encode(values))
        tap.equal(reply.command, C["STOR_CMD_VOLUME_NEW"], "command")
        volume = decode(reply)
        if "crypto_engine" in values:
            tap.check(values["crypto_engine"] in (
                C["STOR_CRYPTO_ENGINE_AUTO"], volume["crypto-engine"]),
                f"another engine than {values['crypto_engine']}: {volume}")
        return volume

    def get(self, **selector):
        """Show a volume."""
        (reply,) = self.call("VOLUME_GET", encode(selector))
        return decode(reply)

    def set(self, selector, **values):
        """Change a volume; selector is a name, or a dict."""
        if isinstance(selector, str):
            selector = {"name": selector}
        (reply,) = self.call("VOLUME_SET", encode({**selector, **values}))
        tap.equal(reply.command, C["STOR_CMD_VOLUME_SET"], "command")
        return decode(reply)

    def gate(self, **selector):
        """Close the gate of a volume, and open it again."""
        (reply,) = self.call("VOLUME_GATE", encode(selector))
        tap.equal(reply.command, C["STOR_CMD_VOLUME_GATE"], "command")
        return decode(reply)

    def lock(self, name, how=None):
        """Make a volume forget its key; how is hold or fail."""
        values = {} if how is None else {
            "lock": C[f"STOR_VOLUME_LOCK_{how.upper()}"]}
        (reply,) = self.call("VOLUME_LOCK", encode({"name": name, **values}))
        tap.equal(reply.command, C["STOR_CMD_VOLUME_LOCK"], "command")
        return decode(reply)

    def unlock(self, name, **values):
        """Give a volume its key again."""
        (reply,) = self.call("VOLUME_UNLOCK",
                             encode({"name": name, **values}))
        tap.equal(reply.command, C["STOR_CMD_VOLUME_UNLOCK"], "command")
        return decode(reply)

    def raw_delete(self, **selector):
        """Delete a volume now."""
        volume = self.get(**selector) if ENCRYPTED else None
        tap.equal(self.call("VOLUME_DEL", encode(selector)), [], "reply")
        # What is on another volume is seen through its cipher.
        if (volume and "key" in volume
                and not re.match(r"stor\d", volume["backing-disk"])):
            plaintext.look(Disk, volume["backing"], volume["offset"],
                           volume["length"])

    def delete(self, **selector):
        """Delete a volume that udev may still be looking at."""
        settle()
        self.raw_delete(**selector)

    def dump(self):
        """All volumes."""
        messages, interrupted = self.sock.dump(
            self.family, C["STOR_CMD_VOLUME_GET"])
        tap.check(not interrupted, "the dump was interrupted")
        return [decode(message) for message in messages]

    def dump_now(self):
        """The same of a list that changes: what the first part has."""
        messages, _ = self.sock.dump(self.family, C["STOR_CMD_VOLUME_GET"])
        return [decode(message) for message in messages]

    def monitor(self):
        """A socket that gets the events."""
        sock = netlink.Socket()
        sock.join(self.groups[C["STOR_MCGRP_MONITOR"]])
        return sock

    def events(self, sock, count):
        """The next events, each as its name and the volume."""
        found = []
        while len(found) < count:
            for message in sock.recv():
                (name,) = (name for name, number in C.items()
                           if name.startswith("STOR_CMD_")
                           and number == message.command)
                found.append((name.removeprefix("STOR_CMD_VOLUME_"),
                              decode(message)))
        return found

    def clean(self):
        """Delete what is left, and give back the names."""
        names = [volume["name"] for volume in self.dump()]
        plaintext.look_again(Disk)
        # One may stand on another: as often as it takes.
        for _ in names:
            for volume in self.dump():
                if volume["state"] == "locked":
                    # What is held would keep the disk open.
                    self.lock(volume["name"], "fail")
                unmount(f"/dev/{volume['disk']}")
                with contextlib.suppress(netlink.Refused):
                    self.delete(index=volume["index"])
            if not self.dump():
                break
        return names


@contextlib.contextmanager
def volume(stor, backing, name="one", **values):
    """A volume for as long as the body runs; gives the path of its disk.

    Of a body that fails, the failure is told, not what it left the volume in.
    """
    made = stor.new(name, backing, **values)
    settle()
    try:
        yield f"/dev/{made['disk']}"
    except BaseException:
        with contextlib.suppress(netlink.Refused):
            stor.delete(name=name)
        raise
    stor.delete(name=name)


def refused(number, message, function, *args, blames=None, **values):
    """Fail unless the kernel refuses, with this error and message.

    blames is the name of the attribute that the answer has to point at.
    """
    try:
        result = function(*args, **values)
    except netlink.Refused as why:
        tap.equal(tap.error_name(why.errno), tap.error_name(number),
                  f"errno (message {why.message!r})")
        if isinstance(message, re.Pattern):
            tap.check(message.fullmatch(why.message or ""),
                      f"message: got {why.message!r}, want {message.pattern}")
        else:
            tap.equal(why.message, message, "message")
        tap.equal(NAMES.get(why.blamed), blames, "the attribute to blame")
        return
    tap.check(False, f"not refused: {result!r}, want {message!r}")


def run(*command, check=True, data=None, **how):
    """Run a program and give back what it did."""
    done = subprocess.run([str(word) for word in command], input=data,
                          capture_output=True, text=True, check=False,
                          timeout=tap.patience(how.pop("timeout", 240)), **how)
    if check and done.returncode:
        raise tap.Failure(f"{' '.join(map(str, command))}: exit code "
                          f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done


def need(*programs):
    """Skip without these programs."""
    for program in programs:
        if not shutil.which(program):
            raise tap.Skip(f"{program} is not installed")


def settle():
    """Wait until udev has looked at all that is new."""
    if shutil.which("udevadm"):
        run("udevadm", "settle", f"--timeout={tap.patience(30):.0f}",
            check=False)


def unmount(device):
    """Unmount whatever is mounted from a device or its partitions."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if re.fullmatch(device + r"(p\d+)?", line.split()[0]):
            run("umount", line.split()[1], check=False)


# --- The module ------------------------------------------------------------


def loaded():
    """Whether the module is in the kernel."""
    return pathlib.Path("/sys/module/stor").exists()


def module():
    """Arguments for insmod or modprobe, whichever can load the module."""
    path = os.environ.get("STOR_MODULE") or (
        HERE.parent / "build/kmod" / os.uname().release / "stor.ko")
    if os.path.exists(path):
        return ["insmod", str(path)]
    return ["modprobe", "stor"]


def load():
    """Load the module."""
    run(*module())


def unload():
    """Unload it."""
    run("rmmod", "stor")


def ready():
    """The family, with the module loaded if that is possible."""
    if not loaded() and run(*module(), check=False).returncode:
        raise tap.Skip("the module stor is not loaded and can not be")
    stor = Stor()
    if stor.dump():
        raise tap.Skip("there are volumes already")
    return stor


# --- Devices -----------------------------------------------------------------


def number_of(path):
    """What `path` is a directory of in sysfs, a number otherwise."""
    return int(pathlib.Path(path).read_text())


class Device:
    """A block device that the tests may write to."""

    def __init__(self, path):
        self.path = os.path.realpath(str(path))
        self.name = os.path.basename(self.path)
        self.sys = pathlib.Path("/sys/class/block") / self.name
        if not self.sys.exists():
            raise tap.Skip(f"{path} is no block device")
        self.size = number_of(self.sys / "size") * 512
        self.block = number_of(self.sys / "queue/logical_block_size")

    def __str__(self):
        return self.path

    def stat(self):
        """/sys/block/.../stat, by the names of Documentation/block/stat."""
        names = ("read read_merges read_sectors read_ticks "
                 "write write_merges write_sectors write_ticks "
                 "in_flight io_ticks queue_ticks "
                 "discard discard_merges discard_sectors discard_ticks "
                 "flush flush_ticks").split()
        return dict(zip(names, map(int, (self.sys / "stat").read_text()
                                   .split())))


def backings():
    """The devices that the user has named, or those of the lab.

    A test writes to what it is given, so outside the lab nothing is taken
    that was not named.
    """
    named = os.environ.get("STOR_TEST_BACKING", "").split()
    if not named and os.environ.get("STOR_VM") == "1":
        named = sorted(glob.glob("/dev/disk/by-id/nvme-*_stor-nvme?"))
    if not named:
        raise tap.Skip("no device named in STOR_TEST_BACKING; "
                       "all data on it will be lost")
    devices = [Device(path) for path in named]
    for device in devices:
        if device.size < 384 * MIB:
            raise tap.Skip(f"{device} has less than 384 MiB")
    return devices


def one_of_each(devices):
    """For what takes long: one device of each block size."""
    return list({device.block: device for device in devices[::-1]}
                .values())[::-1]


def setup():
    """What most tests are called with: the family and the devices."""
    devices = backings()
    return ready(), devices


def clean(stor, _devices):
    """After each test: no volume may be left."""
    return stor.clean()


def buffer(data):
    """Memory that O_DIRECT can use, with the data in it."""
    memory = mmap.mmap(-1, max(len(data), 1))
    memory[:len(data)] = data
    return memory


class Disk:
    """An open device, for I/O past the page cache."""

    def __init__(self, path, flags=os.O_RDWR | os.O_DIRECT):
        self.fd = os.open(str(path), flags)
        self.upper = re.match(r"/dev/stor\d", str(path))  # a volume

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def read(self, offset, length):
        """Some bytes."""
        memory = mmap.mmap(-1, length)
        tap.equal(os.preadv(self.fd, [memory], offset), length, "bytes read")
        return bytes(memory)

    def write(self, offset, data, flags=0):
        """Write some bytes."""
        if self.upper:
            plaintext.written(data)
        tap.equal(os.pwritev(self.fd, [buffer(data)], offset, flags),
                  len(data), "bytes written")

    def ioctl(self, number, argument=0):
        """Any ioctl."""
        return fcntl.ioctl(self.fd, number, argument)

    def size(self):
        """What BLKGETSIZE64 says."""
        return struct.unpack("=Q", self.ioctl(BLKGETSIZE64, bytes(8)))[0]

    def read_only(self):
        """What BLKROGET says."""
        return struct.unpack("=i", self.ioctl(BLKROGET, bytes(4)))[0]

    def range(self, number, offset, length):
        """BLKDISCARD and its like."""
        return fcntl.ioctl(self.fd, number, struct.pack("=QQ", offset, length))


def error_of(function, *args):
    """The number of the error that a system call ends with, or 0."""
    try:
        function(*args)
        return 0
    except OSError as why:
        return why.errno


def call(function, *args):
    """A system call that Python has no name for."""
    args = [ctypes.c_int64(arg) if isinstance(arg, int) else arg
            for arg in args]
    if LIBC[function](*args):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _blkpg(disk, operation, number, start=0, length=0):
    """BLKPG: struct blkpg_ioctl_arg with a struct blkpg_partition."""
    part = ctypes.create_string_buffer(
        struct.pack("=qqi64s64sxxxx", start, length, number, b"", b""))
    argument = struct.pack("@iiiP", operation, 0, len(part) - 1,
                           ctypes.addressof(part))
    with Disk(disk, os.O_RDONLY) as opened:
        fcntl.ioctl(opened.fd, BLKPG, argument)
    settle()


def add_partition(disk, number, start, length):
    """Tell the kernel, not the disk, of a partition; in bytes."""
    path = f"{disk}{'p' if str(disk)[-1].isdigit() else ''}{number}"
    for _ in range(5):
        # udev has a disk read anew a while after somebody wrote to it, and
        # what is not in its table is gone then.
        settle()
        _blkpg(disk, 1, number, start, length)
        if os.path.exists(path):
            return
    raise tap.Failure(f"{path} does not stay")


def delete_partition(disk, number):
    """The opposite; udev may have had the disk read anew, and it is gone."""
    try:
        _blkpg(disk, 2, number)
    except OSError as why:
        if why.errno != errno.ENXIO:
            raise


def made_of(got, choices, block):
    """Whether each logical block is that of one of the choices.

    A write that fails may have been done in part, and end anywhere between
    two logical blocks.
    """
    return got in choices or all(
        any(got[at:at + block] == one[at:at + block] for one in choices)
        for at in range(0, len(got), block))


def pattern(seed, length):
    """Bytes that nobody else has written."""
    return random.Random(f"{seed}{plaintext.SALT}" if plaintext.SALT
                         else seed).randbytes(length)
