import json
from pathlib import Path

from peer.cli import bounds
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

SEEN = {
    "blender": "5.0.1", "scene": "Shot", "camera": "Cam", "engine": "CYCLES", "frame_start": 1, "frame_end": 48, "frame_step": 1,
    "fps": 24.0, "width": 320, "height": 180, "format": "PNG", "notes": ["video becomes PNG"], "error": None,
    "warnings": [{"code": "missing_image", "kind": "picture", "text": "wood.png is missing", "remedy": "send it"}],
}  # fmt: skip


def test_findings_in_plain_words(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    mesh.inspection = SEEN
    ran = peerctl("inspect", scene, "--no-assets", "--engine", "CYCLES")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        "castle.blend: scene Shot, camera Cam, CYCLES, frames 1 to 48, 320x180 PNG, Blender 5.0.1",
        "  - wood.png is missing [missing_image, picture]",
        "    next: send it",
        "  note: video becomes PNG",
    ]
    assert mesh.inspected == [{"engine": "CYCLES", "scene": scene.read_bytes()}]
    assert peerctl("inspect", scene, "--no-assets", "--main", "a.blend").code == 0
    assert mesh.inspected[1:] == [{"main": "a.blend", "scene": scene.read_bytes()}]
    assert mesh.jobs == {}


def test_json_is_a_contract_and_names_are_codes(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    mesh.inspection = SEEN
    ran = peerctl("inspect", scene, "--no-assets", "--json")
    assert json.loads(ran.out) == {"apiVersion": "peerctl/v1", "kind": "Inspection", **SEEN}
    assert peerctl("inspect", scene, "--no-assets", "-o", "name").out.split() == ["missing_image"]


def test_a_scene_that_cannot_be_rendered_ends_with_10(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    mesh.inspection = {"blender": "5.0.1", "scene": "", "warnings": [], "notes": [], "error": "no camera"}
    ran = peerctl("inspect", scene, "--no-assets")
    assert ran.code == 10
    assert "cannot be rendered: no camera" in ran.out


def test_a_sound_scene_says_so(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    mesh.inspection = {**SEEN, "warnings": [], "notes": []}
    assert "nothing is wrong with it" in peerctl("inspect", scene, "--no-assets").out


def test_what_the_mesh_refuses_is_told(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    ran = peerctl("inspect", scene, "--no-assets")
    assert ran.code == 6
    assert "no peer has the renderer" in ran.err
    assert mesh.looks_refused == bounds.BUSY_ATTEMPTS_MAX, "nothing was begun that it had to insist on"
