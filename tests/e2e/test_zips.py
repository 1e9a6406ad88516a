"""Scenes that arrive as a zip: rendered as if their files had been sent one by one, or refused without a trace."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.e2e.mesh import BLENDER_S, Mesh, PeerProcess
from tests.fakes.memory_store import digest_of
from tests.scenes import build as scenes
from tests.zips import Raw, raw_zip

OTHER = b"BLENDER and nothing more"


def curl(peer: PeerProcess, *parts: str) -> tuple[int, dict[str, object]]:
    """Status and body of a form posted by curl."""
    form = [word for part in parts for word in ("-F", part)]
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *form, f"{peer.url}/api/v1/jobs"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def stored(peer: PeerProcess) -> list[str]:
    """Every file that the store holds, and each that is on its way in."""
    kept, scratch = peer.data_dir / "blobs", peer.data_dir / "tmp"
    paths = [*(path for path in kept.rglob("*") if path.is_file()), *scratch.glob("in-*"), *scratch.glob("partial-*")]
    return sorted(path.relative_to(peer.data_dir).as_posix() for path in paths)


@pytest.mark.blender
async def test_a_zip_is_rendered_as_its_files_are(mesh: Mesh, tmp_path: Path):
    """By curl in a folder of its own beside a second scene, by peerctl, and file by file: the same pixels, and no bytes twice."""
    scene = scenes.build("with_asset", tmp_path / "show" / "scenes", scenes.any_home())
    wood = scene.parent / "textures" / "wood.png"
    shot, plain = tmp_path / "shot.zip", tmp_path / "plain.zip"
    with zipfile.ZipFile(shot, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (scene, wood):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("show/other.blend", OTHER)
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (scene, wood):
            archive.write(path, path.relative_to(scene.parent))
    owner = await mesh.start("owner", "--slots", "0", renderer="")
    thief = await mesh.start("thief", renderer="")
    await mesh.together([thief])
    common = ("frames=1-2", "threads=1")
    status, by_hand = curl(owner, f"scene=@{scene}", f"asset=@{wood};filename=textures/wood.png", *common)
    assert status == 202, by_hand
    status, told = curl(owner, f"scene=@{shot}", *common)
    assert (status, told["code"]) == (422, "several_scenes")
    assert "show/other.blend, show/scenes/scene.blend" in str(told["detail"])
    status, zipped = curl(owner, f"scene=@{shot}", "main=show/scenes/scene.blend", *common)
    assert (status, zipped["name"]) == (202, "scene.blend")
    names = {path.rpartition("/")[2] for path in stored(owner)}
    assert {digest_of(scene.read_bytes()), digest_of(wood.read_bytes()), digest_of(OTHER)} <= names
    assert digest_of(shot.read_bytes()) not in names, "the zip itself is not kept"
    sent = mesh.peerctl(owner, "submit", str(plain), "-f", "1-2", "--threads", "1", "-o", "name")
    assert sent.returncode == 0, sent.stderr
    pixels = []
    for job in (str(by_hand["id"]), str(zipped["id"]), sent.stdout.strip()):
        ended = await owner.until_ended(job, BLENDER_S)
        assert ended["state"] == "completed", ended
        pixels.append({row["frame"]: row["pixel_hash"] for row in owner.frames(job)})
    assert pixels[0] == pixels[1] == pixels[2]
    assert len(pixels[0]) == 2


async def test_bad_zips_are_refused_and_leave_nothing(mesh: Mesh, tmp_path: Path):
    [peer] = await mesh.start_many("alone")
    blend = Raw(b"a.blend", b"BLENDER-v304" + bytes(200_000))
    bad = {
        "bad_file_name": raw_zip([blend, Raw(b"../../evil.py", b"x")]),
        "bad_manifest": raw_zip([blend, Raw(b"A.blend", b"x")]),
        "zip_too_large": raw_zip([blend, Raw(b"big.exr", b"x", said=2**32 - 2)]),
        "bad_zip": raw_zip([blend, Raw(b"wrong.exr", bytes(100_000), crc=1)]),
        "no_scene": raw_zip([Raw(b"a.png", bytes(100_000))]),
    }
    for code, data in bad.items():
        (tmp_path / "bad.zip").write_bytes(data)
        status, told = curl(peer, f"scene=@{tmp_path / 'bad.zip'}", "frames=1")
        assert (status, told["code"]) == (422, code), told
    assert peer.get("/jobs")["jobs"] == []
    assert stored(peer) == []
    assert not (tmp_path / "evil.py").exists()
