from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from peer.render import landlock

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def kernel_has_it():
    if landlock.version() == 0:
        pytest.skip("the kernel has no Landlock")


def run(folder: Path, code: str) -> str:
    """What a process prints that may read the system and `folder`/read, and write `folder`/write."""
    rules = f"(landlock.READ | landlock.EXECUTE, ['/usr', '/lib', '/lib64', {sys.base_prefix!r}, {sys.prefix!r}])"
    rules += f", (landlock.READ, ['{folder}/read', '/not/there']), (landlock.WRITE, ['{folder}/write'])"
    whole = (
        "import errno, os, signal, socket, subprocess, sys\nfrom pathlib import Path\nfrom peer.render import landlock\n"
        f"door = socket.create_server(('127.0.0.1', 0))\nlandlock.give_up_capabilities()\nlandlock.restrict(({rules}))\n"
        f"folder = Path({str(folder)!r})\ntry: print({code})\nexcept OSError as error: print(errno.errorcode[error.errno])"
    )
    return subprocess.run([sys.executable, "-c", whole], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("read", "write", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("(folder / 'read/file').read_text()", "read"),
        ("(folder / 'write/file').read_text()", "write"),
        ("(folder / 'other/file').read_text()", "EACCES"),
        ("list((folder / 'other').iterdir())", "EACCES"),
        ("(folder / 'write/new').write_text('x')", "1"),
        ("(folder / 'write/file').rename(folder / 'write/moved') is None", "False"),
        ("(folder / 'read/file').write_text('x')", "EACCES"),
        ("(folder / 'read/file').unlink()", "EACCES"),
        ("os.truncate(folder / 'other/file', 0)", "EACCES"),
        ("os.link(folder / 'other/file', folder / 'write/link')", "EXDEV"),
        ("(folder / 'other/file').rename(folder / 'write/stolen')", "EACCES"),
        ("os.mkfifo(folder / 'write/pipe')", "EACCES"),
        ("(folder / 'other/new').mkdir()", "EACCES"),
        ("Path('/proc/1/environ').read_bytes()", "EACCES"),
        ("subprocess.call([sys.executable, '-c', ''])", "0"),
    ],
)
def test_only_what_was_given_can_be_done(folder, code, said):
    assert run(folder, code) == said


def test_a_program_that_was_written_cannot_be_run(folder):
    program = folder / "write" / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert run(folder, "os.execv(folder / 'write/program', ['x'])") == "EACCES"


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock does not know TCP")
def test_tcp_is_closed(folder):
    assert run(folder, "socket.create_connection(door.getsockname())") == "EACCES"


@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock does not know signals")
def test_nobody_outside_is_signalled(folder):
    assert run(folder, "os.kill(os.getppid(), 0)") == "EPERM"


def test_root_is_an_account_like_others_afterwards(folder):
    code = "[line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(('CapEff', 'CapBnd'))]"
    whole = f"from pathlib import Path\nfrom peer.render import landlock\nlandlock.give_up_capabilities()\nprint({code})"
    said = subprocess.run([sys.executable, "-c", whole], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "CapEff:\\t0000000000000000" in said


def test_older_kernels_are_asked_for_what_they_know():
    assert landlock.handled(1) == (1 << 13) - 1
    assert landlock.handled(2) ^ landlock.handled(1) == landlock.REFER
    assert landlock.handled(7) == (1 << 16) - 1
