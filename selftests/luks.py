#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""LUKS2 containers: what cryptsetup makes storadm opens, and back again."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import select
import subprocess
import tempfile
import termios
import time

from lib import keys, tool as tools
from lib.stor import (BLKDISCARD, Disk, MIB, error_of, need, pattern, run,
                      settle)
from lib.tap import Skip, check, equal, main, patience, test, wait_until

PASSPHRASE = "correct horse"
MAPPED = "stortest"
FAST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
AREA = 2 * MIB  # where the data begins, unless cryptsetup says where
SMALL = ("--luks2-keyslots-size", "1536k", "--offset", str(AREA // 512))
UUID = "0f1e2d3c-4b5a-4697-8788-99aabbccddee"
VOLUME_UUID = "00112233-4455-6677-8899-aabbccddeeff"
KEY_NAME = f"logon:stor:luks:{UUID}"


class Container:
    """A LUKS2 container, and what cryptsetup does with it."""

    def __init__(self, device, *options, folder, wiped=17 * MIB):
        self.device, self.folder = device, folder
        self.count = 0
        self.key = self.file(PASSPHRASE)
        with Disk(device) as disk:
            for at in range(0, wiped, MIB):
                disk.write(at, bytes(MIB))
        self.cryptsetup("luksFormat", "--type", "luks2", "--uuid", UUID,
                        *FAST, *options, device)

    def file(self, content):
        """A file with this in it."""
        self.count += 1
        path = pathlib.Path(self.folder) / f"key{self.count}"
        path.write_bytes(content if isinstance(content, bytes)
                         else content.encode())
        return path

    def cryptsetup(self, action, *words, **how):
        """Run it with the first passphrase."""
        return run("cryptsetup", "--batch-mode", action, "--key-file",
                   self.key, *words, **how)

    @contextlib.contextmanager
    def opened(self, *options):
        """By dm-crypt; gives the path."""
        self.cryptsetup("open", *options, self.device, MAPPED)
        settle()
        try:
            yield f"/dev/mapper/{MAPPED}"
        finally:
            settle()
            run("cryptsetup", "close", MAPPED)

    def header(self):
        """What no refusal may change."""
        with Disk(self.device) as disk:
            return disk.read(0, AREA)

    def edit(self, change):
        """Change the JSON of the header, in both copies."""
        with Disk(self.device) as disk:
            size = int.from_bytes(disk.read(0, 4096)[8:16], "big")
            for at in (0, size):
                data = bytearray(disk.read(at, size))
                value = json.loads(data[4096:].rstrip(b"\0"))
                change(value)
                text = json.dumps(value).encode()
                data[4096:] = text + bytes(size - 4096 - len(text))
                data[448:512] = bytes(64)
                data[448:480] = hashlib.sha256(data).digest()
                disk.write(at, bytes(data))


@contextlib.contextmanager
def mounted(disk):
    """A file system; gives the folder."""
    with tempfile.TemporaryDirectory() as folder:
        run("mount", disk, folder)
        try:
            yield pathlib.Path(folder)
        finally:
            run("umount", folder)


def no_key_left():
    """Fail if a key of storadm is still there, for anybody."""
    wait_until(lambda: "stor:luks" not in pathlib.Path("/proc/keys")
               .read_text(), "a key is left")


def open_luks(tool, container, *words, data=None):
    """Open one by stor, with its key file unless something else is given."""
    words = words or ("--key-file", container.key)
    tool.says(0, "/dev/stor0\n", "", "volume", "open-luks", container.device,
              "one", *words, data=data)
    no_key_left()
    settle()


def no(stor, tool, container, why, *words, data=PASSPHRASE):
    """A refusal, after which all is as it was."""
    device = getattr(container, "device", container)
    before = container.header() if device is not container else None
    tool.says(1, "", f"storadm: cannot open {device} as volume one: {why}\n",
              "volume", "open-luks", device, "one", *words, data=data)
    no_key_left()
    equal(stor.dump(), [], "volumes")
    if before:
        check(container.header() == before, "the header has changed")


def small(devices, block):
    """The smallest device with such blocks."""
    fit = [device for device in devices if device.block <= block]
    if not fit:
        raise Skip(f"no device with blocks of {block} bytes")
    return min(fit, key=lambda device: (device.block != block, device.size))


@contextlib.contextmanager
def made(devices, *options, block=512, area=SMALL):
    """A container for one test."""
    need("cryptsetup")
    with tempfile.TemporaryDirectory() as folder:
        device = small(devices, block)
        yield Container(device, *area, *options, folder=folder)
        with Disk(device) as disk:
            for at in range(0, AREA, MIB):
                disk.write(at, bytes(MIB))


def there_and_back(stor, tool, container):
    """Files of each are files of the other."""
    one, two = pattern(1, MIB), pattern(2, 2 * MIB + 77)
    with container.opened() as path:
        run("mkfs.ext4", "-q", path, "32M")
        with mounted(path) as folder:
            (folder / "one").write_bytes(one)
    open_luks(tool, container)
    with mounted("/dev/stor0") as folder:
        check((folder / "one").read_bytes() == one, "stor reads other bytes")
        (folder / "two").write_bytes(two)
    run("e2fsck", "-fn", "/dev/stor0")
    stor.delete(name="one")
    with container.opened() as path:
        run("e2fsck", "-fn", path)
        with mounted(path) as folder:
            check((folder / "one").read_bytes() == one, "one has changed")
            check((folder / "two").read_bytes() == two, "two is another")
    # And a file system that stor has made.
    open_luks(tool, container)
    run("mkfs.ext4", "-q", "-F", "/dev/stor0", "16M")
    with mounted("/dev/stor0") as folder:
        (folder / "two").write_bytes(two)
    stor.delete(name="one")
    with container.opened() as path:
        run("e2fsck", "-fn", path)
        with mounted(path) as folder:
            check((folder / "two").read_bytes() == two, "two is another")


@test
def files(stor, devices, tool):
    """files of cryptsetup are stor's, and the other way round"""
    for block, sector, bits, area in (
            (512, 512, 512, ()), (512, 1024, 512, SMALL),
            (512, 2048, 256, SMALL), (512, 4096, 256, SMALL),
            (4096, 4096, 512, SMALL)):
        with made(devices, "--sector-size", str(sector), "--key-size",
                  str(bits), block=block, area=area) as container:
            there_and_back(stor, tool, container)


@test
def told(stor, devices, tool):
    """a volume says that its key is of LUKS, and options are heeded"""
    with made(devices, "--sector-size", "4096") as container:
        device = container.device
        shown = tool.json(0, "volume", "open-luks", device, "one", "--index",
                          "3", "--uuid", VOLUME_UUID,
                          "--read-only", data=PASSPHRASE)["volume"]
        equal(tool.json(0, "volume", "show", "one")["volume"], shown)
        want = {"name": "one", "path": "/dev/stor3", "read_only": True,
                "uuid": VOLUME_UUID,
                "backing": device.path, "offset": AREA,
                "length": device.size - AREA, "key": KEY_NAME,
                "cipher": "aes-xts-plain64", "key_size": 512,
                "crypto_sector": 4096, "iv_offset": 0,
                "iv_large_sectors": False, "discard": False}
        equal({key: shown[key] for key in want}, want, "the volume")
        stor.delete(name="one")
        open_luks(tool, container, "--allow-discards", data=PASSPHRASE)
        equal(stor.get(name="one")["discard"], 1, "discards")
        stor.delete(name="one")
        container.edit(lambda it: it["config"].update(
            flags=["allow-discards"]))
        open_luks(tool, container)
        equal(stor.get(name="one")["discard"], 1, "discards by the header")
        stor.delete(name="one")


@test
def engines(stor, devices, tool):
    """who encrypts is asked for, and has to be able to"""
    with made(devices, "--sector-size", "512") as container:
        data = pattern(4, MIB)
        for engine in "software", "blk-crypto":
            open_luks(tool, container, "--key-file", container.key,
                      "--crypto-engine", engine)
            equal(tool.json(0, "volume", "show", "one")["volume"][
                "crypto_engine"], engine, "engine")
            with Disk("/dev/stor0") as disk:
                if engine == "software":
                    disk.write(0, data)
                check(disk.read(0, MIB) == data, f"{engine}: other data")
            stor.delete(name="one")
    with made(devices, "--sector-size", "4096") as container:
        no(stor, tool, container, "iv-large-sectors: 0, blk-crypto can only "
           "count crypto sectors, of 4096 bytes (EOPNOTSUPP)",
           "--crypto-engine", "blk-crypto")


@test
def moved(stor, devices, tool):
    """a volume becomes a container where it lies, and the other way round"""
    need("cryptsetup")
    device, data = small(devices, 4096), pattern(5, MIB)
    how = {"offset": AREA, "crypto_sector": 4096}
    with tempfile.TemporaryDirectory() as folder, \
            keys.key(pattern(6, 64)) as key:
        stor.new("one", device, key=key, **how)
        settle()
        with Disk("/dev/stor0") as disk:
            disk.write(0, data)
        stor.delete(name="one")
        path = pathlib.Path(folder, "volume-key")
        path.write_bytes(pattern(6, 64))
        container = Container(device, *SMALL, "--sector-size", "4096",
                              "--key-size", "512", "--volume-key-file", path,
                              folder=folder, wiped=AREA)
        with container.opened() as mapped, Disk(mapped) as disk:
            check(disk.read(0, MIB) == data, "dm-crypt reads other data")
        open_luks(tool, container)
        with Disk("/dev/stor0") as disk:
            check(disk.read(0, MIB) == data, "stor reads other data")
            disk.write(MIB, data)
        stor.delete(name="one")
        path.unlink()
        container.cryptsetup("luksDump", "--dump-volume-key",
                             "--volume-key-file", path, device)
        check(path.read_bytes() == pattern(6, 64), "another key")
        stor.new("one", device, key=key, **how)
        settle()
        with Disk("/dev/stor0") as disk:
            check(disk.read(0, 2 * MIB) == data * 2, "the volume's data")
        stor.delete(name="one")
        with Disk(device) as disk:
            disk.write(0, bytes(AREA))


@test
def elsewhere(stor, devices, tool):
    """data elsewhere, and of a fixed length"""
    with made(devices, "--sector-size", "512", "--offset", "65536",
              "--key-size", "256", area=()) as container:
        container.edit(lambda it: it["segments"]["0"].update(
            size=str(8 * MIB)))
        data = pattern(3, 8 * MIB)
        with container.opened() as path, Disk(path) as disk:
            equal(disk.size(), 8 * MIB, "dm-crypt's size")
            for at in range(0, len(data), MIB):
                disk.write(at, data[at:at + MIB])
        open_luks(tool, container)
        volume = stor.get(name="one")
        equal((volume["offset"], volume["length"], volume["key-size"],
               volume["crypto-sector"]), (32 * MIB, 8 * MIB, 256, 512),
              "the volume")
        with Disk("/dev/stor0") as disk:
            for at in range(0, len(data), MIB):
                check(disk.read(at, MIB) == data[at:at + MIB],
                      f"other bytes in the MiB at {at}")
        stor.delete(name="one")


@test
def passphrases(stor, devices, tool):
    """a line or all of stdin, a file, and one key slot of several"""
    binary = b"\0\xff line\nand more\n"
    with made(devices) as container:
        second = container.file(binary)
        container.cryptsetup("luksAddKey", *FAST, "--new-key-slot", "5",
                             container.device, second)
        for words, data in (
                ((), PASSPHRASE), ((), f"{PASSPHRASE}\nand more"),
                (("--key-file", "-"), PASSPHRASE),
                (("--key-file", second), None),
                (("--key-file", second, "--key-slot", "5"), None),
                (("--key-slot", "0"), PASSPHRASE)):
            open_luks(tool, container, *(words or ("--read-only",)), data=data)
            stor.delete(name="one")
        no(stor, tool, container, "no key slot has this passphrase",
           data="wrong")
        no(stor, tool, container, "no key slot has this passphrase",
           "--key-file", "-", data=f"{PASSPHRASE}\n")
        no(stor, tool, container, "key slot 5 has another passphrase",
           "--key-slot", "5")
        no(stor, tool, container, "it has no key slot 7", "--key-slot", "7")
        for words in ((), ("--key-file", "-"), ("--key-file", "/dev/null")):
            no(stor, tool, container, "the passphrase is empty", *words,
               data="")
        no(stor, tool, container, "the passphrase is longer than 8 MiB",
           "--key-file", "/dev/zero")
        no(stor, tool, container, "key file /none: No such file or directory "
           "(ENOENT)", "--key-file", "/none")
        # A key slot that holds a key of something else.
        third = container.file("third")
        container.cryptsetup("luksAddKey", *FAST, "--unbound", "--key-size",
                             "512", "--key-slot", "6", container.device,
                             third)
        no(stor, tool, container, "key slot 6 has another key than the data's",
           "--key-slot", "6", data="third")
        no(stor, tool, container, "no key slot has this passphrase",
           data="third")
        for slot in ("0", "5", "6"):
            run("cryptsetup", "config", "--priority", "ignore", "--key-slot",
                slot, container.device)
        no(stor, tool, container, "no key slot is tried unless it is named "
           '(priority "ignore"); give --key-slot')
        open_luks(tool, container, "--key-slot", "0", data=PASSPHRASE)
        stor.delete(name="one")


def on_terminal(tool, container, typed):
    """Open with a terminal; gives the exit code and what it shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(tool.path, [tool.path, "volume", "open-luks",
                             container.device.path, "one"])
    shown = b""
    end = time.monotonic() + patience(60)
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
        if typed and shown.endswith(b": "):
            check(not termios.tcgetattr(terminal)[3] & termios.ECHO,
                  "the terminal shows what is typed")
            os.write(terminal, typed)
            typed = None
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


@test
def terminal(stor, devices, tool):
    """a passphrase is typed unseen, and Ctrl-C ends it"""
    with made(devices) as container:
        device = container.device
        ask = f"Passphrase for {device}: \r\n"
        code, shown = on_terminal(tool, container, PASSPHRASE.encode() + b"\n")
        length = (device.size - AREA) // MIB
        equal((code, shown), (0, f"{ask}created volume one: /dev/stor0, "
                              f"{length}MiB on {device}, encrypted\r\n"))
        settle()
        stor.delete(name="one")
        equal(on_terminal(tool, container, b"wrong\n"),
              (1, f"{ask}storadm: cannot open {device} as volume one: "
               "no key slot has this passphrase\r\n"))
        code, shown = on_terminal(tool, container, b"sec\x03")
        equal((code, stor.dump()), (-2, []), "ended by SIGINT")
        check("sec" not in shown, f"shows what is typed: {shown}")
        no_key_left()


@test
def argon2(stor, devices, tool):
    """a key slot that asks for memory, all of it locked"""
    # Eight times what a process may lock that has no privilege.
    with made(devices, "--pbkdf", "argon2id", "--pbkdf-memory", "65536",
              "--pbkdf-force-iterations", "4", "--pbkdf-parallel",
              "2") as container:
        open_luks(tool, container)
        stor.delete(name="one")


@test
def not_ours(stor, devices, tool):
    """what stor can not do is refused by name, and nothing is changed"""
    for options, why in (
            (("--cipher", "aes-xts-plain"), "its cipher is aes-xts-plain, "
             "stor has aes-xts-plain64"),
            (("--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"),
             "its cipher is aes-cbc-essiv:sha256, stor has aes-xts-plain64")):
        with made(devices, *options) as container:
            no(stor, tool, container, why)
    with made(devices) as container:
        run("cryptsetup", "--batch-mode", "luksErase", container.device)
        no(stor, tool, container, "no key slot is left that opens it")
    with made(devices) as container:
        run("cryptsetup", "--batch-mode", "luksFormat", "--type", "luks1",
            "--pbkdf-force-iterations", "1000", container.device,
            container.key)
        no(stor, tool, container,
           "it is a LUKS1 container, only LUKS2 is opened")
    for change, why in (
            (lambda it: it["config"].update(
                requirements={"mandatory": ["stor-test"]}),
             "it requires stor-test, which stor does not know"),
            (lambda it: it["segments"]["0"].update(iv_tweak="1000"),
             "its sectors count from 1000 (iv_tweak), stor takes 0"),
            (lambda it: it["segments"]["0"].update(
                integrity={"type": "hmac(sha256)",
                           "journal_encryption": "none",
                           "journal_integrity": "none"}),
             "it has integrity protection (hmac(sha256)), "
             "which stor does not do")):
        with made(devices) as container:
            container.edit(change)
            no(stor, tool, container, why)
    device = small(devices, 512)
    no(stor, tool, device, "it has no LUKS header that is whole")
    no(stor, tool, "/dev/null", "it is not a block device")
    no(stor, tool, "/dev/none", "No such file or directory (ENOENT)")


@test
def detached(stor, devices, tool):
    """a header without its data is not opened"""
    need("cryptsetup")
    with made(devices) as container:
        other = next(device for device in devices if
                     device.path != container.device.path)
        run("cryptsetup", "--batch-mode", "luksFormat", "--type", "luks2",
            *FAST, "--header", container.device, other, container.key)
        no(stor, tool, container,
           "its header is detached from the data, which stor does not do")


REENCRYPTED = ('it is being reencrypted; let "cryptsetup reencrypt '
               '--resume-only" finish that')


@test
def reencryption(stor, devices, tool):
    """one that is being reencrypted is refused"""
    with made(devices, "--sector-size", "512") as container:
        container.edit(lambda it: it["segments"]["0"].update(
            size=str(8 * MIB)))
        container.cryptsetup("reencrypt", "--init-only", *FAST,
                             container.device)
        no(stor, tool, container, REENCRYPTED)


@test
def changed_meanwhile(stor, devices, tool):
    """a header that changes while the passphrase is typed makes no volume"""
    with made(devices, "--sector-size", "512") as container:
        device = container.device
        with subprocess.Popen([tool.path, "volume", "open-luks", str(device),
                               "one"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            # It waits for the passphrase, and has read the header.
            wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/wchan")
                       .read_text().endswith("pipe_read"), "it does not wait")

            def change(header):
                digest = base64.b64encode(pattern(4, 32)).decode()
                header["digests"]["0"]["digest"] = digest
            container.edit(change)
            out, err = process.communicate(PASSPHRASE,
                                           timeout=patience(60))
        equal((process.returncode, out, err),
              (1, "", f"storadm: cannot open {device} as volume one: its "
               "header was changed meanwhile; try again\n"))
        equal(stor.dump(), [], "volumes")
        no_key_left()


@test
def in_use(stor, devices, tool):
    """what dm-crypt has open stor does not open, and the other way round"""
    with made(devices) as container:
        device = container.device
        with container.opened():
            no(stor, tool, container, f"backing: {device} is mounted or "
               "otherwise in use (EBUSY)")
        open_luks(tool, container)
        done = container.cryptsetup("open", device, MAPPED, check=False)
        check(done.returncode, "cryptsetup opened it, too")
        tool.says(1, "", f"storadm: cannot open {device} as volume one: "
                  "name: volume one exists (EEXIST)\n", "volume",
                  "open-luks", device, "one", data=PASSPHRASE)
        no_key_left()
        stor.delete(name="one")


@test
def locked(stor, devices, tool):
    """a locked volume gets its key out of the header again"""
    with made(devices) as container:
        def no_unlock(why, data=PASSPHRASE):
            tool.says(1, "", f"storadm: cannot unlock volume one{why}\n",
                      "volume", "unlock", "one", "--luks", data=data)
            no_key_left()

        open_luks(tool, container)
        data = pattern(31, 65536)
        with Disk("/dev/stor0") as disk:
            disk.write(0, data)
        no_unlock(": it is not locked")
        by = f" by the container on {container.device.path}: "
        for how, words, typed in (
                ("fail", ("--key-file", container.key), None),
                ("hold", ("--key-slot", "0"), PASSPHRASE)):
            stor.lock("one", how)
            no_unlock(by + "no key slot has this passphrase", "another one")
            equal(stor.get(name="one")["state"], "locked", "state")
            tool.says(0, "", "", "volume", "unlock", "one", "--luks", *words,
                      data=typed)
            no_key_left()
            equal(stor.get(name="one")["state"], "live", "state")
            with Disk("/dev/stor0") as disk:
                equal(disk.read(0, len(data)), data, "what was written")
        stor.delete(name="one")
        for other, why in (
                ("stor:luks:other", "its key is logon:stor:luks:other, that "
                 f"of the container is {KEY_NAME}"),
                ("stor:test", f"key: {KEY_NAME[:32]}... is not the key of "
                 "before (EKEYREJECTED)")):
            with keys.key(pattern(32, 64), other) as name:
                stor.new("one", container.device, key=name, offset=AREA)
            stor.lock("one", "fail")
            no_unlock(by + why)
            stor.delete(name="one")


@test
def shadowed(stor, devices, tool):
    """a key of the same name in the caller's session is left alone"""
    with made(devices) as container:
        with container.opened() as path, Disk(path) as disk:
            disk.write(0, pattern(5, MIB))
        number = keys.add("logon", f"stor:luks:{UUID}", pattern(6, 64),
                          keys.SESSION_KEYRING)
        listed = pathlib.Path("/proc/keys").read_text()
        check("stor:luks" in listed, "/proc/keys does not show keys")
        tool.says(0, "/dev/stor0\n", "", "volume", "open-luks",
                  container.device, "one", data=PASSPHRASE)
        keys.forget(number, keys.SESSION_KEYRING)
        no_key_left()
        settle()
        with Disk("/dev/stor0") as disk:
            check(disk.read(0, MIB) == pattern(5, MIB), "another key")
        stor.delete(name="one")


@test
def discards(stor, devices, tool):
    """discards are refused unless they are asked for"""
    with made(devices) as container:
        for words, number in (((), 95), (("--allow-discards",), 0)):
            open_luks(tool, container, "--key-file", container.key, *words)
            with Disk("/dev/stor0") as disk:
                equal(error_of(disk.range, BLKDISCARD, 0, MIB), number,
                      "errno of a discard")
            stor.delete(name="one")


main(tools.ready, tools.cleanup)
