"""Landlock for this process and all that comes of it: which files can be opened, and how; no TCP; no signals to the outside.

Runs inside the child, before it reads anything foreign. Standard library only and nothing of the daemon. What Landlock
does not know (other sockets, modes, other processes) is `peer.render.seccomp`'s part.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every processor
_VERSION_FLAG: Final = 1
_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITIES_V3: Final = 0x20080522
_CAPABILITIES_MAX: Final = 64

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_AND_MAKE: Final = sum(1 << bit for bit in (4, 5, 7, 8, 12))  # folders and files removed; folders, files, links made
_MAKE_SPECIAL: Final = sum(1 << bit for bit in (6, 9, 10, 11))  # devices, sockets and pipes: nobody may
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_A_FILE: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ: Final = READ_FILE | READ_DIR
WRITE: Final = READ | WRITE_FILE | _REMOVE_AND_MAKE | REFER | TRUNCATE
USE: Final = READ | WRITE_FILE | TRUNCATE | IOCTL_DEV
_TCP_BIND_CONNECT: Final = 0b11
_ABSTRACT_SOCKETS_SIGNALS: Final = 0b11


def version() -> int:
    """The version of Landlock's interface that the kernel has; 0: none, or it is switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(found, 0)


def handled(abi: int) -> int:
    """Every right on files that a kernel of that version knows, and so takes away where no rule gives it."""
    rights = EXECUTE | READ | WRITE_FILE | _REMOVE_AND_MAKE | _MAKE_SPECIAL
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        rights |= right if abi >= since else 0
    return rights


def restrict(rules: Sequence[tuple[int, Sequence[str]]]) -> None:
    """From now on only what is below these paths, each with its rights; a path that does not exist gives nothing.

    Raises `OSError`; nothing is restricted then.
    """
    abi = version()
    if abi == 0:
        raise OSError(errno.ENOSYS, "the kernel has no Landlock")
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("QQQ", handled(abi), _TCP_BIND_CONNECT, _ABSTRACT_SOCKETS_SIGNALS)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(libc, _CREATE, attributes[:size], ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for rights, paths in rules:
            for path in paths:
                _allow(libc, ruleset, path, rights & handled(abi))
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")
        _call(libc, _RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def give_up_capabilities() -> None:
    """Whoever runs as root is from now on an account like others, to which root's files belong. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_CAPABILITIES_MAX):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to those who have none, and for numbers that are not
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header, none = struct.pack("Ii", _CAPABILITIES_V3, 0), bytes(24)
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


def _allow(libc: Any, ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_A_FILE
        rule = struct.pack("=Qi", rights, place)
        _call(libc, _ADD, ctypes.c_int(ruleset), ctypes.c_int(_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(place)


def _call(libc: Any, number: int, *arguments: Any) -> int:
    done: int = libc.syscall(number, *arguments)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock refuses: {os.strerror(code)}")
    return done
