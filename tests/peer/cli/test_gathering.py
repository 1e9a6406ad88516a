from __future__ import annotations

import json
from pathlib import Path

import pytest

from peer.cli import bounds, gathering
from peer.cli.tracing import Reference, Traced
from peer.render.driver.pathmap import MAP_NAME
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


@pytest.fixture
def castle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scene that uses a texture beside it, one elsewhere, and one that is lost, as a Blender would say."""
    scene = tmp_path / "show" / "shot" / "castle.blend"
    (scene.parent / "tex").mkdir(parents=True)
    scene.write_bytes(b"BLENDER-v500")
    (scene.parent / "tex" / "wall.png").write_bytes(b"wall")
    (scene.parent.parent / "sky.hdr").write_bytes(b"sky")
    raws = ("//tex/wall.png", "//../sky.hdr", "//tex/l\nost.png")
    found = Traced(references=[Reference("image", "Map", raw, str(scene.parent)) for raw in raws], asked=1)
    monkeypatch.setattr(gathering, "trace", lambda _: found)
    return scene


def test_what_a_scene_uses_goes_along_and_what_is_missing_is_named_first(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path
) -> None:
    ran = peerctl("submit", castle)
    assert ran.code == 0, ran.err
    assert "warning: missing image 'Map': //tex/l\\nost.png\n" in ran.err
    assert f"2 files that it uses, 7 B, along with it; 1 from outside its folder: {castle.parent.parent} (submit" in ran.err
    (job,) = mesh.jobs.values()
    assert set(job.files) == {"scene:castle.blend", "tex/wall.png", ".rendermesh/files/0/sky.hdr", MAP_NAME}
    assert json.loads(job.files[MAP_NAME])["folder"] == str(castle.parent)


def test_a_file_given_by_hand_wins(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, tmp_path: Path) -> None:
    (tmp_path / "newer.png").write_bytes(b"newer")
    assert peerctl("submit", castle, "--asset", f"tex/wall.png={tmp_path / 'newer.png'}").code == 0
    (job,) = mesh.jobs.values()
    assert job.files["tex/wall.png"] == b"newer"


def test_without_assets_nobody_is_asked(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "trace", lambda _: pytest.fail("asked"))
    ran = peerctl("submit", castle, "--no-assets")
    assert "missing" not in ran.err
    (job,) = mesh.jobs.values()
    assert set(job.files) == {"scene:castle.blend"}


def test_a_list_is_printed_and_nothing_is_sent(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path) -> None:
    ran = peerctl("submit", castle, "--list-assets")
    assert ran.code == 0, ran.err
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "NAME", "castle.blend", ".rendermesh/files/0/sky.hdr", MAP_NAME, "tex/wall.png",
    ]  # fmt: skip
    names = peerctl("submit", castle, "--list-assets", "-o", "name").out.splitlines()
    assert names[0] == "castle.blend"
    assert not mesh.seen


def test_the_list_as_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path) -> None:
    document = json.loads(peerctl("submit", castle, "--list-assets", "--json").out)
    assert document["apiVersion"] == "peerctl/v1"
    assert document["kind"] == "Assets"
    assert document["files"][-1] == {"name": "tex/wall.png", "size": 4, "path": str(castle.parent / "tex" / "wall.png")}
    assert document["size"] == sum(file["size"] for file in document["files"])


def test_a_long_list_of_what_is_missing_is_cut(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Reference("image", "Map", f"//{number}.png", str(castle.parent)) for number in range(bounds.MISSING_SHOWN + 5)]
    monkeypatch.setattr(gathering, "trace", lambda _: Traced(references=found, asked=1))
    said = peerctl("submit", castle, "--list-assets").err
    assert said.count("warning: missing") == bounds.MISSING_SHOWN
    assert "warning: 5 more are missing" in said


def test_folders_outside_are_named_up_to_some(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(bounds.FOLDERS_SHOWN + 2):
        (tmp_path / f"keys\n{number}").mkdir()
        (tmp_path / f"keys\n{number}" / "id").write_bytes(b"secret")
    found = [Reference("font", "F", str(tmp_path / f"keys\n{number}" / "id"), str(castle.parent)) for number in range(7)]
    monkeypatch.setattr(gathering, "trace", lambda _: Traced(references=found, asked=1))
    said = peerctl("submit", castle, "--list-assets").err
    assert f"7 from outside its folder: {tmp_path}/keys\\n0, " in said
    assert f"{tmp_path}/keys\\n4 and 2 more (" in said


def test_an_inspection_takes_the_same_files_along(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.inspection = {"warnings": [], "notes": [], "error": None}
    found = Traced(references=[Reference("image", "Map", "C:\\show\\sky.hdr", str(castle.parent))], asked=1)
    monkeypatch.setattr(gathering, "trace", lambda _: found)
    ran = peerctl("inspect", castle, "--map", f"C:\\show={castle.parent.parent}")
    assert ran.code == 0, ran.err
    assert "1 file that it uses, 3 B" in ran.err
    assert "missing" not in ran.err


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Traced(), "nobody here can say which files castle.blend uses: pip install 'rendermesh[assets]'"),
        (Traced(complaints=["blender cannot"]), "warning: blender cannot"),
    ],
)
def test_a_scene_that_nobody_can_look_into_is_sent_alone_and_this_is_said(
    found: Traced, said: str, mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, castle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "trace", lambda _: found)
    ran = peerctl("submit", castle)
    assert ran.code == 0
    assert said in ran.err
    (job,) = mesh.jobs.values()
    assert "scene:castle.blend" in job.files
