# SPDX-License-Identifier: GPL-2.0
"""A drive behind the network: NVMe over TCP, of this same machine."""

import contextlib
import os
import pathlib
import socket
import struct

from . import tap
from .lower import Multipath, vacate
from .stor import run, settle

PORT = 44200
TARGET = pathlib.Path("/sys/kernel/config/nvmet")
NQN = "nqn.2026-11.org.example:stortest-tcp"


def _connect():
    """One controller with one I/O queue; gives its folder in sysfs."""
    fd = os.open("/dev/nvme-fabrics", os.O_RDWR)
    try:
        os.write(fd, f"transport=tcp,traddr=127.0.0.1,trsvcid={PORT},"
                 f"nqn={NQN},nr_io_queues=1,{Multipath.HOST}".encode())
        number = int(os.read(fd, 100).split(b",")[0].split(b"=")[1])
    finally:
        os.close(fd)
    return pathlib.Path(f"/sys/class/nvme/nvme{number}")


def _disk(controller):
    """The disk of a controller, once it is there."""
    for path in pathlib.Path("/sys/block").glob("nvme*"):
        with contextlib.suppress(OSError):
            subsystem = (path / "device/subsysnqn").read_text().strip()
            if subsystem == NQN and os.path.exists(f"/dev/{path.name}"):
                return f"/dev/{path.name}"
    tap.check(controller.exists(), "the controller is gone")
    return None


@contextlib.contextmanager
def nvme_tcp(below):
    """Reach a device by NVMe over TCP; gives the path of the disk."""
    for module in ("nvmet-tcp", "nvme-tcp"):
        if run("modprobe", module, check=False).returncode:
            raise tap.Skip(f"no {module}")
    run("ip", "link", "set", "lo", "up")
    subsystem, port = TARGET / "subsystems" / NQN, TARGET / "ports/2"
    namespace, link = subsystem / "namespaces/1", port / "subsystems" / NQN
    subsystem.mkdir()
    try:
        (subsystem / "attr_allow_any_host").write_text("1")
        namespace.mkdir()
        (namespace / "device_path").write_text(str(below))
        (namespace / "enable").write_text("1")
        port.mkdir()
        for name, value in (("adrfam", "ipv4"), ("traddr", "127.0.0.1"),
                            ("trsvcid", PORT), ("trtype", "tcp")):
            (port / f"addr_{name}").write_text(str(value))
        link.symlink_to(subsystem)
        controller = _connect()
        try:
            path = tap.wait_until(lambda: _disk(controller), "the disk", 30)
            settle()
            yield path
        except BaseException:
            vacate()
            raise
        finally:
            settle()
            (controller / "delete_controller").write_text("1")
    finally:
        link.unlink(missing_ok=True)
        for folder in (port, namespace, subsystem):
            if folder.exists():
                folder.rmdir()
        run("modprobe", "-r", "nvme-tcp", check=False)
        run("modprobe", "-r", "nvmet-tcp", check=False)


class Capture:
    """Packets to the target, kept unread in the kernel until they are read.

    What is kept are references to the pages that the sender gave away, not
    copies, as a driver or a retransmission has them.
    """

    ALL, PACKET_OUTGOING, SO_RCVBUFFORCE = 3, 4, 33

    def __init__(self, size):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, size)
        self.sock.bind(("lo", self.ALL))
        self.sock.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def streams(self):
        """What was sent on each connection, in its order, by sender's port."""
        pieces = {}
        while True:
            try:
                frame, (_, _, kind, _, _) = self.sock.recvfrom(1 << 18)
            except BlockingIOError:
                break
            if kind != self.PACKET_OUTGOING or frame[12:14] != b"\x08\0":
                continue
            ip = frame[14:]
            tcp = ip[(ip[0] & 15) * 4:]
            if ip[9] != socket.IPPROTO_TCP:
                continue
            source, target, sequence = struct.unpack_from(">HHI", tcp)
            data = tcp[(tcp[12] >> 4) * 4:]
            if target == PORT and data:
                pieces.setdefault(source, {})[sequence] = data
        # The few megabytes of a test hardly wrap a sequence number.
        lost = struct.unpack("=II", self.sock.getsockopt(
            263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
        tap.equal(lost, 0, "packets that were not kept")
        return {source: b"".join(data for _, data in sorted(found.items()))
                for source, found in pieces.items()}
