from __future__ import annotations

import sys
from pathlib import Path

import pytest

from peer.cli import bounds, tracing
from peer.cli.tracing import is_blend, trace
from tests.scenes import build as scenes


def test_a_blend_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    for number, (data, said) in enumerate([(b"BLENDER-v304", True), (b"\x28\xb5\x2f\xfdx", True), (b"PNG", False), (b"", False)]):
        (tmp_path / str(number)).write_bytes(data)
        assert is_blend(tmp_path / str(number)) is said
    assert not is_blend(tmp_path / "nowhere")


@pytest.mark.blender
@pytest.mark.parametrize("home", scenes.homes())
def test_the_tracer_and_blender_say_the_same(home: scenes.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.build("with_asset", tmp_path / "it's a \u00e9 scene", home)
    monkeypatch.chdir(scene.parent)
    found = trace(Path(scene.name))
    assert found.complaints == []
    assert found.asked == 2
    assert found.references is not None
    assert [one.raw for one in found.references] == ["//textures/wood.png"]
    assert found.paths == [str(scene.parent / "textures" / "wood.png")] * 2
    assert found.lost == []


@pytest.mark.blender
def test_without_a_blender_the_tracer_names_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.build("missing_texture", tmp_path, scenes.any_home())
    monkeypatch.setattr(tracing, "_blenders", list)
    found = trace(scene)
    assert found.references is None
    assert found.lost == [str(tmp_path / "textures" / "wood.png")]


def test_nobody_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_blenders", list)
    monkeypatch.setattr(tracing, "TRACER", "no_such_module")
    found = trace(tmp_path / "castle.blend")
    assert (found.asked, found.complaints) == (0, [])


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('Error: it is torn')", "Error: it is torn"),
        ("raise SystemExit('RuntimeError: it is torn\\nError: script failed, file: a.py, exiting.')", "RuntimeError: it is torn"),
        ("import time; time.sleep(60)", "no answer within"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_who_cannot_answer_is_named_with_the_reason(
    program: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_blenders", lambda: [("blender", [sys.executable, "-c", program])])
    monkeypatch.setattr(tracing, "TRACER", "no_such_module")
    monkeypatch.setattr(bounds, "TRACE_S_MAX", 0.5 if "sleep" in program else 60.0)
    [said] = trace(tmp_path / "castle.blend").complaints
    assert said.startswith("blender cannot list the files of castle.blend: ")
    assert why in said
