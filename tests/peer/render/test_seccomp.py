from __future__ import annotations

import ctypes
import errno
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from peer.render import seccomp
from peer.render.seccomp import MACHINES

ROOT = Path(__file__).parents[3]
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in MACHINES, reason="no filter for this machine"
)


def run(code: str) -> str:
    """What a filtered process prints; a filter, once set, stays."""
    whole = f"from peer.render import seccomp\nseccomp.refuse()\n{code}"
    return subprocess.run([sys.executable, "-c", whole], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def tried(act: str) -> str:
    return run(
        f"import errno, os, signal, socket, subprocess, sys\ntry: {act}\nexcept OSError as e: print(errno.errorcode[e.errno])"
    )


@linux
@pytest.mark.parametrize(
    "act",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "os.chmod('.', 0o755)",
        "os.utime('.')",
        "os.setxattr('.', 'user.x', b'')",
        "os.chown('.', -1, -1)",
    ],
)
def test_what_reaches_out_is_refused(act):
    assert tried(act) == "EPERM"


@linux
@pytest.mark.parametrize(
    ("number", "arguments"),
    [(425, "8, ctypes.create_string_buffer(120)"), (452, "-100, b'.', 0o755, 0"), (438, "0, 0, 0"), (0x40000000 + 39, "")],
)
def test_ways_past_the_filter_are_closed(number, arguments):
    """io_uring, calls that old lists do not know, and the numbers of x32."""
    code = f"import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.syscall({number}, {arguments}), ctypes.get_errno())"
    assert run(code.replace(", )", ")")) == f"-1 {errno.EPERM}"


@linux
def test_limits_of_other_processes_are_out_of_reach_and_ones_own_are_not():
    code = "import resource\nprint(resource.prlimit(0, resource.RLIMIT_CORE) == resource.getrlimit(resource.RLIMIT_CORE))"
    assert run(code) == "True"
    assert tried("__import__('resource').prlimit(os.getppid(), 4)") == "EPERM"


@linux
def test_work_goes_on_and_children_are_filtered_too():
    assert run("import threading\nt = threading.Thread(target=print, args=('x',)); t.start(); t.join()") == "x"
    child = "import socket\ntry: socket.socket()\nexcept PermissionError: print('refused')"
    assert (
        run(f"import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c', {child!r}], text=True))") == "refused"
    )


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_every_jump_of_a_program_stays_in_it_and_the_last_row_refuses(name):
    rows = [struct.unpack("HBBI", piece) for piece in _pieces(seccomp.program(MACHINES[name]))]
    assert all(at + 1 + max(row[1], row[2]) < len(rows) for at, row in enumerate(rows) if row[0] in (0x15, 0x35))
    assert rows[-1] == (0x06, 0, 0, 0x00050000 | errno.EPERM)
    checked = [row for row in rows if row[0] == 0x15 and row[3] in set(MACHINES[name].all_refused())]
    assert len(checked) == len(list(MACHINES[name].all_refused()))


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 8] for at in range(0, len(data), 8)]


def test_an_unknown_machine_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(OSError, match="pdp11"):
        seccomp.machine()
    assert ctypes.sizeof(ctypes.c_void_p) == 8
