# SPDX-License-Identifier: GPL-2.0
"""What a secret looks like, wherever it has been: what to search memory and text for."""

import base64
import typing

# What was overwritten in part, or went through a register, is found as well. Another 8 bytes
# that happen to be the same are not to be expected in any memory.
PIECE = 8
LINE = 64


class Pattern(typing.NamedTuple):
    """Bytes to search for, and what they would be a sign of."""

    secret: str  # its label
    kind: str  # one of the kinds below
    data: bytes


# Kinds: all of it; a piece of it; a piece of what AES makes of it, and of that as words of the
# other byte order; a piece of it in writing.
WHOLE, PIECES, ROUNDS, SWAPPED, TEXT = "whole", "pieces", "rounds", "swapped", "text"


def _double(value: int) -> int:
    """Times x in AES's field."""
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _times(left: int, right: int) -> int:
    """The product in AES's field."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left, right = _double(left), right >> 1
    return product


def _sbox() -> bytes:
    """AES's substitution: the inverse in the field, then an affine map of its bits."""
    box = bytearray(256)
    for value in range(256):
        inverse = next((other for other in range(256) if _times(value, other) == 1), 0)
        image = 0x63
        for turn in range(5):
            image ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        box[value] = image
    return bytes(box)


SBOX = _sbox()


def round_keys(key: bytes) -> list[bytes]:
    """The round keys that encrypt, in their order, by FIPS 197."""
    words = [key[at : at + 4] for at in range(0, len(key), 4)]
    length = len(words)
    constant = 1
    for number in range(length, 4 * (length + 7)):
        word = words[-1]
        if number % length == 0:
            word = bytes(SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _double(constant)
        elif length > 6 and number % length == 4:
            word = bytes(SBOX[byte] for byte in word)
        words.append(bytes(a ^ b for a, b in zip(word, words[-length])))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def decryption_keys(key: bytes) -> list[bytes]:
    """Those of the equivalent inverse cipher, which decrypts: all but the first and the last are
    put through InvMixColumns."""
    matrix = [14, 11, 13, 9]
    keys = round_keys(key)[::-1]
    for number, old in enumerate(keys[1:-1], 1):
        new = bytearray()
        for column in range(0, 16, 4):
            for row in range(4):
                byte = 0
                for other in range(4):
                    byte ^= _times(matrix[(other - row) % 4], old[column + other])
                new.append(byte)
        keys[number] = bytes(new)
    return keys


def cut(data: bytes, length: int = PIECE) -> list[bytes]:
    """Its pieces, side by side."""
    return [data[at : at + length] for at in range(0, len(data), length)]


def swapped(data: bytes) -> bytes:
    """The same with the bytes of each word turned round, as words of the other byte order are."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


def written(secret: bytes) -> set[bytes]:
    """Pieces of it in hexadecimal digits, as the kernel and people write them, and in base64."""
    found = set()
    for piece in cut(secret):
        for separator in ("", " ", ":"):
            text = piece.hex(separator) if separator else piece.hex()
            found |= {text.encode(), text.upper().encode()}
        found.add(", ".join(f"0x{byte:02x}" for byte in piece).encode())
        found.add(", ".join(str(byte) for byte in piece).encode())
    # Three bytes make four characters, so it depends on what comes before.
    for before in range(3):
        at = (3 - before) % 3
        while at + 9 <= len(secret):
            found.add(base64.b64encode(secret[at : at + 9]))
            at += 9
    return found


def of_marker(label: str, marker: bytes) -> list[Pattern]:
    """What data leaves behind. Whoever writes it has some in registers, so also in memory, when
    another program gets its turn: that is not what is searched for."""
    found = [Pattern(label, WHOLE, marker)]
    return found + [Pattern(label, PIECES, piece) for piece in cut(marker, LINE)]


def of_xts_key(label: str, key: bytes) -> list[Pattern]:
    """What a key of AES-XTS leaves behind: itself, and the round keys of both halves."""
    rounds, turned = set(), set()
    for half in (key[: len(key) // 2], key[len(key) // 2 :]):
        for one in round_keys(half) + decryption_keys(half):
            rounds |= set(cut(one))
            turned |= set(cut(swapped(one)))
    # The first ones are the key itself.
    found = [Pattern(label, ROUNDS, piece) for piece in sorted(rounds - set(cut(key)))]
    found += [Pattern(label, SWAPPED, piece) for piece in sorted(turned)]
    found += [Pattern(label, TEXT, text) for text in sorted(written(key))]
    found += [Pattern(label, PIECES, piece) for piece in cut(key)]
    return [Pattern(label, WHOLE, key)] + found
