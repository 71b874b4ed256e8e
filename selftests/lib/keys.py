# SPDX-License-Identifier: GPL-2.0
"""Keys in the kernel's keyrings, by the system calls themselves."""

import contextlib
import ctypes
import os
import platform

PROCESS_KEYRING, SESSION_KEYRING = -2, -3
_REVOKE, _SETPERM, _UNLINK, _SET_TIMEOUT = 3, 5, 9, 15
_ADD_KEY, _REQUEST_KEY, _KEYCTL = {
    "x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}.get(
        platform.machine(), (248, 249, 250))
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(number, *args):
    """A system call that the C library has no function for."""
    _LIBC.syscall.restype = ctypes.c_long
    result = _LIBC.syscall(ctypes.c_long(number), *(
        ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args))
    if result < 0:
        why = ctypes.get_errno()
        raise OSError(why, os.strerror(why))
    return result


def add(key_type, description, payload, keyring=PROCESS_KEYRING):
    """Put a key into a keyring, this process's by default; gives its number."""
    return _call(_ADD_KEY, key_type.encode(), description.encode(),
                 bytes(payload), len(payload), keyring)


def request(key_type, description, hint, keyring=PROCESS_KEYRING):
    """Have a key made, with a hint how, if there is none; gives its number."""
    return _call(_REQUEST_KEY, key_type.encode(), description.encode(),
                 hint.encode(), keyring)


def revoke(number):
    """Nobody can use it any more."""
    _call(_KEYCTL, _REVOKE, number)


def expire(number, seconds):
    """It expires after so many seconds."""
    _call(_KEYCTL, _SET_TIMEOUT, number, seconds)


def hide(number):
    """Nobody may search for it any more: its owner may view and set it only."""
    _call(_KEYCTL, _SETPERM, number, 0x21210000)


def forget(number, keyring=PROCESS_KEYRING):
    """Take it out of the keyring."""
    _call(_KEYCTL, _UNLINK, number, keyring)


@contextlib.contextmanager
def key(payload, description="stor:test", key_type="logon"):
    """A key, by the name that a volume takes."""
    number = add(key_type, description, payload)
    try:
        yield f"{key_type}:{description}"
    finally:
        with contextlib.suppress(OSError):
            forget(number)
