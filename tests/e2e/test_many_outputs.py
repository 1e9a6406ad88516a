"""Frames of several files: the list of outputs, the archive and `peerctl fetch` agree on names and bytes."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.e2e.mesh import BLENDER_S, Mesh
from tests.scenes import trial
from tests.scenes.build import any_home
from tests.scenes.cases import named

pytestmark = pytest.mark.blender


async def test_every_output_arrives_by_each_way_under_one_name(mesh: Mesh, tmp_path):
    trial.make(any_home(), tmp_path / "made", [named("node_outputs")])
    [peer] = await mesh.start_many("alone", renderer="")
    scene = tmp_path / "made" / "node_outputs" / "scene.blend"
    job = peer.submit(scene, frames="-1-1", name="shot", output="{job}/f_{frame:04d}")
    assert (await peer.until_ended(job, BLENDER_S))["state"] == "completed"
    listed: dict[str, str] = {}
    for frame in (-1, 0, 1):
        rows = peer.get(f"/jobs/{job}/frames/{frame}/outputs")["outputs"]
        assert [row["role"] for row in rows] == ["main", *["node"] * 7]
        listed |= {row["name"]: row["digest"] for row in rows}
    assert len(listed) == 24
    assert {"shot/f_-001.png", "shot/f_0000.png", "shot/f_0001.png"} < set(listed)
    with zipfile.ZipFile(io.BytesIO(peer.ask("GET", f"/api/v1/jobs/{job}/archive").body)) as archive:
        bodies = {name: archive.read(name) for name in archive.namelist()}
    assert set(bodies) == set(listed)
    done = mesh.peerctl(peer, "fetch", job, "-d", str(tmp_path / "got"))
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(tmp_path / "got").as_posix(): path for path in (tmp_path / "got").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == bodies
