import importlib.util
import socket
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest

from peer.cli import diagnosis, programs
from peer.cli.diagnosis import apt_line, clock, data_folder, examine, free_space, missing_libraries, port_free, python_version
from peer.cli.invocation import Invocation
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_python() -> None:
    assert python_version((3, 10)).result == "fail"
    assert python_version((3, 11)).result == "ok"


def test_missing_libraries_name_the_exact_apt_line() -> None:
    loader = "ImportError: libXi.so.6: cannot open shared object file: No such file or directory"
    ldd = "\tlibSM.so.6 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibstrange.so.1 => not found\n"
    found = missing_libraries(loader + "\n" + ldd)
    assert found == ["libSM.so.6", "libXi.so.6", "libstrange.so.1"]
    assert apt_line(found) == "apt-get install -y --no-install-recommends libsm6 libxi6"
    assert apt_line([]) == ""


def fake_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "blender"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "blender", lambda: str(program))


def test_a_blender_is_found_by_starting_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_blender(tmp_path, monkeypatch, "echo 'Blender 3.4.1'")
    assert diagnosis._program().text.startswith("Blender 3.4.1 at ")


def test_a_blender_that_misses_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_blender(
        tmp_path,
        monkeypatch,
        "echo 'blender: error while loading shared libraries: libGL.so.1: cannot open shared object file' >&2; exit 127",
    )
    found = diagnosis._program()
    assert (found.result, found.text) == ("fail", "missing libraries: libGL.so.1")
    assert found.remedy.endswith(" libgl1")


def test_a_povray_is_found_by_starting_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "povray"
    monkeypatch.setattr(programs, "povray", lambda: str(program))
    for script, result, text in (
        ("echo POV-Ray 3.7.0.10 >&2", "ok", "POV-Ray 3.7.0.10 at "),
        ("exit 3", "fail", "it ended with 3"),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        found = diagnosis._povray()
        assert found.result == result
        assert text in found.text


def test_without_any_renderer_a_peer_only_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "blender", lambda: None)
    monkeypatch.setattr(programs, "povray", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = list(diagnosis.renderers())
    assert [finding.result for finding in found] == ["warn", "warn", "warn", "warn"]
    assert "renders nothing" in found[-1].text


def test_the_sandbox_is_found_by_trying_it(tmp_path: Path) -> None:
    found = diagnosis.sandbox(tmp_path / "not" / "yet")
    assert found.text.partition(":")[0] in ("bwrap", "landlock", "none")
    assert (found.result == "ok") is (not found.text.startswith("none"))


def test_without_a_sandbox_each_missing_thing_has_a_line_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = '{"level": "none", "why": [["bwrap: not installed", "apt-get install"], ["landlock: off", "switch it on"]]}'
    monkeypatch.setattr(diagnosis, "_run", lambda _: diagnosis._Said(said, ""))
    found = diagnosis.sandbox(tmp_path)
    assert (found.result, found.text) == ("warn", "none: bwrap: not installed; landlock: off")
    assert found.remedy == "apt-get install; or switch it on"
    monkeypatch.setattr(diagnosis, "_run", lambda _: diagnosis._Said("", "Permission denied"))
    assert "Permission denied" in diagnosis.sandbox(tmp_path).text


def test_the_data_folder(tmp_path: Path) -> None:
    assert data_folder(tmp_path).result == "ok"
    assert "a peer will make it" in data_folder(tmp_path / "not" / "yet").text
    bad = data_folder(Path("/proc/peer"))
    assert bad.result == "fail"
    assert "--data-dir" in bad.remedy


@pytest.mark.parametrize(("free", "result"), [(10**8, "fail"), (5 * 10**9, "warn"), (10**11, "ok")])
def test_free_space(tmp_path: Path, free: int, result: str) -> None:
    assert free_space(tmp_path / "x", lambda _: SimpleNamespace(free=free)).result == result


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        found = port_free(port)
        assert found.result == "fail"
        assert "peerd --port 0" in found.remedy
    assert port_free(port).result == "ok"


def test_the_clock() -> None:
    now = 1_800_000_000.0
    assert clock(formatdate(now + 2), lambda: now).result == "ok"
    assert clock(formatdate(now + 60), lambda: now).result == "warn"
    assert clock("nonsense", lambda: now).result == "ok"
    assert clock(None, lambda: 0.0).result == "fail"


def test_a_peer_that_answers(mesh: FakeMesh, peer: FakePeer) -> None:
    found = {finding.name: finding for finding in diagnosis.peer_and_port(Invocation(hosts=(peer.url,)))}
    assert found["peer"].result == "ok"
    assert "1 peers" in found["peer"].text
    mesh.health = 503
    assert next(iter(diagnosis.peer_and_port(Invocation(hosts=(peer.url,))))).result == "fail"


def test_a_named_peer_that_is_gone_is_a_failure_and_a_default_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.cli.settings.DEFAULT_URL", "http://127.0.0.1:1")
    assert next(iter(diagnosis.peer_and_port(Invocation(hosts=("127.0.0.1:1",))))).result == "fail"
    findings = {finding.name: finding for finding in diagnosis.peer_and_port(Invocation())}
    assert findings["peer"].result == "warn"
    assert "port" in findings


def test_all_is_looked_at(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "renderers", lambda: iter(()))
    names = [finding.name for finding in examine(Invocation(hosts=(peer.url,)))]
    assert names == ["python", "sandbox", "data folder", "disk", "open files", "peer", "clock"]
