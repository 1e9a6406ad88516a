import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from peer.cli import main
from tests.peer.cli.conftest import ROOT, Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

Program = Callable[..., subprocess.Popen[str]]


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running `code`."""
    script = f"import sys\n{code}\nprint('loaded', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return set(done.stdout.split("loaded", 1)[1].split())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"peerctl {metadata.version('rendermesh')}\n"
    assert main.run(["--version", "jobs"]) == 0
    assert capsys.readouterr().out == f"peerctl {metadata.version('rendermesh')}\n"


def test_the_version_costs_no_library() -> None:
    heavy = {"click", "urllib3", "rich", "ssl", "asyncio", "aiohttp", "pydantic", "stamina", "blake3"}
    code = "from peer.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass"
    assert not loaded(code) & heavy


def test_a_verb_loads_no_other_verb_and_nothing_of_the_daemon() -> None:
    after = loaded("from peer.cli.main import run\nrun(['-H', '127.0.0.1:1', 'jobs'])")
    verbs = {name for name in after if name.startswith("peer.cli.verbs.")}
    assert verbs == {"peer.cli.verbs.jobs"}
    ours = {name for name in after if name.startswith(("peer.", "protocol")) and not name.startswith("peer.cli")}
    assert not ours
    assert not after & {"aiohttp", "pydantic", "asyncio", "stamina"}


def test_nothing_at_all_shows_the_help(peerctl: Peerctl) -> None:
    ran = peerctl()
    assert ran.code == 2
    assert "Usage: peerctl" in ran.out + ran.err


@pytest.mark.parametrize(
    "arguments", [["jbos"], ["jobs", "--nonsense"], ["job"], ["jobs", "-o", "xml"], ["priority", "a", "high"]]
)
def test_usage_errors_end_with_2_and_name_the_help(peerctl: Peerctl, arguments: list[str]) -> None:
    ran = peerctl(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "--help" in ran.err


def test_no_peer_names_peerd(peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.cli.settings.DEFAULT_URL", "http://127.0.0.1:1")
    ran = peerctl("status")
    assert ran.code == 7
    assert ran.err.splitlines() == [
        "error: no peer can be reached",
        "  why:  http://127.0.0.1:1: connection refused",
        "  next: start a peer: peerd, or name one: -H HOST",
    ]


def test_a_reader_that_goes_away_is_no_traceback(mesh: FakeMesh, peer: FakePeer, program: Program) -> None:
    for number in range(3000):
        mesh.add(f"job-{number}-{'x' * 100}", [1])
    process = program("jobs", "--limit", "3000", "--json")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == ""


def test_an_output_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "peer.cli", "keygen", "--out", "-"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output could not be written\n  why:  [Errno 28]")
    assert "Traceback" not in done.stderr


def test_data_goes_to_stdout_and_messages_to_stderr(mesh: FakeMesh, peer: FakePeer, program: Program) -> None:
    mesh.add("castle", [1, 2])
    out, err = program("job", "castle", "--watch", "-o", "name").communicate(timeout=30)
    assert out.strip() in mesh.jobs
    assert "castle: " in err


def test_no_colour_without_a_terminal(mesh: FakeMesh, peer: FakePeer, program: Program) -> None:
    mesh.add("castle", [1, 2])
    out, _ = program("status").communicate(timeout=30)
    assert "\x1b" not in out
    assert "castle" in out
