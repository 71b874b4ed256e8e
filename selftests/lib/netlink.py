# SPDX-License-Identifier: GPL-2.0
"""Generic netlink, byte by byte.

The tests have to send what no proper client sends, so they use none.
"""

import os
import re
import socket
import struct

from . import tap

NETLINK_GENERIC = 16
SOL_NETLINK = 270
ADD_MEMBERSHIP, NO_ENOBUFS, CAP_ACK, EXT_ACK = 1, 5, 10, 11

NLMSG_ERROR, NLMSG_DONE = 2, 3
F_REQUEST, F_MULTI, F_ACK, F_DUMP_INTR, F_DUMP = 1, 2, 4, 0x10, 0x300
F_CAPPED, F_ACK_TLVS = 0x100, 0x200
ERR_MSG, ERR_OFFS, ERR_MISS_TYPE = 1, 2, 5

GENL_ID_CTRL = 16
CTRL_GETFAMILY = 3
CTRL_FAMILY_ID, CTRL_FAMILY_NAME, CTRL_VERSION, CTRL_MAXATTR = 1, 2, 3, 5
CTRL_MCAST_GROUPS, CTRL_GRP_NAME, CTRL_GRP_ID = 7, 1, 2

HEADERS = 20  # of netlink, 16, and of generic netlink, 4


class Refused(Exception):
    """The kernel's answer to a request is an error."""

    def __init__(self, number, message, offset, blamed):
        super().__init__(f"errno {number} ({os.strerror(number)}): {message}")
        self.errno, self.message = number, message
        self.offset, self.blamed = offset, blamed


def constants(path):
    """The #defines and enums of a header, by their names."""
    with open(path, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    found = {}
    for name, value in re.findall(r"#define[ \t]+(\w+)[ \t]+(\S.*)", text):
        found[name] = value.strip('"') if '"' in value else int(value, 0)
    for body in re.findall(r"enum\s*\w*\s*{(.*?)}", text, flags=re.S):
        number = 0
        for entry in filter(None, map(str.strip, body.split(","))):
            name, _, value = map(str.strip, entry.partition("="))
            if value.isdigit():
                number = int(value)
            elif value:
                continue  # a maximum, made of another
            found[name] = number
            number += 1
    return found


def attr(kind, payload, length=None):
    """One attribute, with padding; its length may be a lie."""
    if length is None:
        length = 4 + len(payload)
    return (struct.pack("=HH", length, kind) + payload
            + bytes(-len(payload) % 4))


def attrs(data):
    """The attributes in some bytes, as a list of type and payload."""
    found, at = [], 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found.append((kind & 0x3FFF, data[at + 4:at + length]))
        at += (length + 3) & ~3
    return found


class Message:
    """A message that has come."""

    def __init__(self, data):
        (self.length, self.kind, self.flags, self.seq,
         self.port) = struct.unpack_from("=IHHII", data)
        self.body = data[16:self.length]

    @property
    def command(self):
        """Of generic netlink."""
        return self.body[0]

    def attrs(self):
        """Of generic netlink."""
        return attrs(self.body[4:])


def split(data):
    """The messages in what one recv() gave."""
    found, at = [], 0
    while at + 16 <= len(data):
        message = Message(data[at:])
        if message.length < 16:
            break
        found.append(message)
        at += (message.length + 3) & ~3
    return found


class Socket:
    """A netlink socket."""

    def __init__(self, timeout=20):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                  NETLINK_GENERIC)
        self.sock.bind((0, 0))
        self.sock.settimeout(tap.patience(timeout))
        for option in (EXT_ACK, CAP_ACK):
            self.sock.setsockopt(SOL_NETLINK, option, 1)
        self.seq = 0

    def close(self):
        """Close it."""
        self.sock.close()

    def join(self, group):
        """Listen to a multicast group."""
        self.sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)

    def recv(self, size=1 << 16):
        """The messages of one datagram."""
        return split(self.sock.recv(size))

    def send(self, kind, flags, body):
        """Send one message; gives back all its bytes."""
        self.seq += 1
        data = struct.pack("=IHHII", 16 + len(body), kind, flags, self.seq,
                           0) + body
        self.sock.send(data)
        return data

    def error(self, message, sent):
        """What an NLMSG_ERROR says: None if it says that all is well."""
        number = -struct.unpack_from("=i", message.body)[0]
        if number == 0:
            return None
        text = offset = blamed = None
        if message.flags & F_ACK_TLVS:
            skip = 4 + 16
            if not message.flags & F_CAPPED:
                skip = 4 + struct.unpack_from("=I", message.body, 4)[0]
            for kind, payload in attrs(message.body[(skip + 3) & ~3:]):
                if kind == ERR_MSG:
                    text = payload.rstrip(b"\0").decode()
                elif kind == ERR_OFFS:
                    offset = struct.unpack("=I", payload)[0]
                    if offset + 4 <= len(sent):
                        blamed = struct.unpack_from(
                            "=H", sent, offset + 2)[0] & 0x3FFF
        return Refused(number, text, offset, blamed)

    def answer(self, sent):
        """All that comes to a request until its end, an acknowledgment."""
        found = []
        while True:
            for message in self.recv():
                if message.seq != self.seq:
                    continue
                if message.kind == NLMSG_ERROR:
                    refused = self.error(message, sent)
                    if refused:
                        raise refused
                    return found
                found.append(message)

    def request(self, kind, command, body=b"", flags=F_REQUEST | F_ACK,
                version=1):
        """Ask, and give back the answer."""
        return self.answer(self.send(
            kind, flags, struct.pack("=BBH", command, version, 0) + body))

    def dump(self, kind, command, body=b"", size=1 << 16, pause=None):
        """The messages of a dump, and whether it was interrupted.

        pause is called after each datagram.
        """
        sent = self.send(kind, F_REQUEST | F_DUMP,
                         struct.pack("=BBH", command, 1, 0) + body)
        found, interrupted = [], False
        while True:
            for message in self.recv(size):
                if message.seq != self.seq:
                    continue
                if message.flags & F_DUMP_INTR:
                    interrupted = True
                if message.kind == NLMSG_ERROR:
                    refused = self.error(message, sent)
                    if refused:
                        raise refused
                if message.kind == NLMSG_DONE:
                    number = -struct.unpack_from("=i", message.body)[0]
                    if number:
                        raise Refused(number, None, None, None)
                    return found, interrupted
                found.append(message)
            if pause:
                pause(len(found))

    def family(self, name):
        """Number of a family, and of its groups by name."""
        (reply,) = self.request(GENL_ID_CTRL, CTRL_GETFAMILY,
                                attr(CTRL_FAMILY_NAME, name.encode() + b"\0"))
        found = dict(reply.attrs())
        groups = {}
        for _, group in attrs(found.get(CTRL_MCAST_GROUPS, b"")):
            parts = dict(attrs(group))
            groups[parts[CTRL_GRP_NAME].rstrip(b"\0").decode()] = (
                struct.unpack("=I", parts[CTRL_GRP_ID])[0])
        return struct.unpack("=H", found[CTRL_FAMILY_ID])[0], groups
