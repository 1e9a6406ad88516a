"""A filter of system calls that a confined renderer keeps to the end of its life: no sockets, nothing of the system's own.

Runs inside the child, before it reads anything foreign. Standard library only and nothing of the daemon. It stands beside
Landlock, which knows files and TCP alone: UDP, UNIX sockets, changed modes and owners, and other processes are its part.
Beside bwrap its part is UNIX sockets, which any file system shows, and whatever of the kernel a renderer has no use for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_X32_BIT: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class Machine:
    """Numbers of one processor's system calls. `refused` by what they are for; `limits` sets limits of a process by its pid."""

    audit: int
    limits: int
    refused: Mapping[str, tuple[int, ...]]

    def all_refused(self) -> Iterable[int]:
        """Every number, each once."""
        return sorted({number for numbers in self.refused.values() for number in numbers})


# The same on every processor: io_uring (it makes sockets past any filter), mounts, handles of other processes, modes by path
_SHARED: Final = {
    "io_uring": (425, 426, 427),
    "new mounts": (428, 429, 430, 431, 432, 433, 442, 467),
    "new handles": (438,),
    "new modes": (452, 463, 466),
}
MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(
        0xC000003E,
        302,
        _SHARED
        | {
            "socket": (41,),
            "shared memory, queues, semaphores": (29, 64, 68, 240),
            "modes and owners": (90, 91, 92, 93, 94, 260, 268),
            "times": (132, 235, 261, 280),
            "attributes": (188, 189, 190, 197, 198, 199),
            "other processes": (101, 310, 311),
            "mounts and namespaces": (155, 161, 165, 166, 272, 308),
            "the system": (163, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179, 246, 313, 320),
            "keys, events, programs in the kernel": (248, 249, 250, 298, 304, 321, 323),
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        261,
        _SHARED
        | {
            "socket": (198,),
            "shared memory, queues, semaphores": (180, 186, 190, 194),
            "modes and owners": (52, 53, 54, 55),
            "times": (88,),
            "attributes": (5, 6, 7, 14, 15, 16),
            "other processes": (117, 270, 271),
            "mounts and namespaces": (39, 40, 41, 51, 97, 268),
            "the system": (60, 89, 104, 105, 106, 142, 161, 162, 224, 225, 273, 294),
            "keys, events, programs in the kernel": (217, 218, 219, 241, 265, 280, 282),
        },
    ),
}


def program(machine: Machine) -> bytes:
    """The filter as classic BPF: another machine's calls end the process, refused ones get EPERM, the others pass."""
    refused = list(machine.all_refused())
    # after the two loads and the check of the machine: x32, the refused ones, limits, allow | its argument, allow, refuse
    refuse_at = 3 + 2 + len(refused) + 2 + 3
    rows = [(_LOAD, 0, 0, _MACHINE_AT), (_EQUAL, 1, 0, machine.audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER_AT)]
    for code, number in ((_AT_LEAST, _X32_BIT), *((_EQUAL, number) for number in refused)):
        rows.append((code, refuse_at - len(rows) - 1, 0, number))
    rows.append((_EQUAL, 1, 0, machine.limits))
    rows.append((_RETURN, 0, 0, _ALLOW))
    rows += [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT), (_EQUAL, 0, 1, 0), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    assert refuse_at == len(rows) - 1, "the jumps lead to the refusal"
    return b"".join(struct.pack("HBBI", *row) for row in rows)


def machine() -> Machine:
    """This processor's numbers. Raises `OSError` (ENOSYS) for one that is not known here."""
    found = MACHINES.get(platform.machine())
    if found is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"system calls of {platform.machine()} are not known")
    return found


def is_known() -> bool:
    """Whether this processor's numbers are known."""
    try:
        machine()
    except OSError:
        return False
    return True


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("rows", ctypes.c_char_p))


def refuse() -> None:
    """Filter this process and all that comes of it, for good. Raises `OSError` where the kernel has no filters."""
    rows = program(machine())
    libc = ctypes.CDLL(None, use_errno=True)
    filtering = _Program(len(rows) // 8, rows)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filtering), 0, 0)):
        if libc.prctl(*call) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"no filter of system calls: {os.strerror(number)}")
