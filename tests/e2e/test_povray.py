"""The second renderer: real POV-Ray frames from a mesh of peers, whatever is wrong with a scene, and peers without POV-Ray."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import Mesh
from tests.waiting import wait_until

SCENE = """#version 3.7;
#include "colors.inc"
#include "parts/ball.inc"
global_settings { assumed_gamma 1 }
camera { location <0, 1, -5> look_at 0 }
light_source { <5, 5, -5> White }
object { Ball translate x*clock }
plane { y, -1 pigment { image_map { png "tex/floor.png" } rotate x*90 } }
"""
BALL = "#declare Ball = sphere { <0, 0, 0>, 1 pigment { Red } };\n"
POVRAY = shutil.which("povray")
needs_povray = pytest.mark.povray


@pytest.fixture
def povray() -> str:
    if POVRAY is None:
        pytest.skip("no POV-Ray is installed; as root: apt-get install -y povray")
    return POVRAY


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A scene of twelve frames, as an .ini with what it uses beside it."""
    from PIL import Image

    folder = tmp_path / "shot"
    for name in ("parts", "tex"):
        (folder / name).mkdir(parents=True)
    (folder / "shot.pov").write_text(SCENE)
    (folder / "parts" / "ball.inc").write_text(BALL)
    Image.linear_gradient("L").convert("RGB").resize((16, 16)).save(folder / "tex" / "floor.png")
    (folder / "shot.ini").write_text("Input_File_Name=shot.pov\nWidth=96\nHeight=64\nFinal_Frame=12\nAntialias=On\n+FN16\n")
    return folder / "shot.ini"


async def started(mesh: Mesh, *names: str, renderer: str = "povray"):
    peers = [await mesh.start(name, renderer=renderer) for name in names]
    await mesh.together(peers)
    return peers


@needs_povray
async def test_three_peers_render_what_one_povray_renders(mesh, tmp_path, povray, shot):
    owner, second, third = await started(mesh, "owner", "second", "third")
    done = mesh.peerctl(owner, "submit", str(shot), "--wait", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    [job] = owner.get("/jobs")["jobs"]
    assert (job["renderer"], job["frames"]["done"]) == ("povray", 12), job
    fetched = mesh.peerctl(third, "fetch", job["id"], "-d", str(tmp_path / "frames"))
    assert fetched.returncode == 0, fetched.stderr
    files = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in files] == [f"shot_{number:04d}.png" for number in range(1, 13)]
    subprocess.run(  # noqa: ASYNC221
        [povray, "shot.ini", "-D", f"+O{tmp_path}/alone.png"], capture_output=True, check=True, cwd=shot.parent
    )  # fmt: skip
    assert [pixel_hash(path) for path in files] == [pixel_hash(tmp_path / f"alone{number:02d}.png") for number in range(1, 13)]
    commits = Counter(row["by"] for row in owner.events("frame_committed"))
    assert len(commits) > 1, "more than one peer has rendered"
    assert set(commits) <= {owner.id, second.id, third.id}
    assert "POV-Ray finished" in second.ask("GET", f"/api/v1/jobs/{job['id']}/frames/2/log").text


@needs_povray
async def test_what_is_wrong_with_a_scene_is_named_before_the_first_frame(mesh, povray, shot):
    """A missing include holds, a mistake in the text fails; the words are POV-Ray's, with file and line."""
    [peer] = await started(mesh, "alone")
    (shot.parent / "parts" / "ball.inc").unlink()
    seen = mesh.peerctl(peer, "inspect", str(shot))
    assert "[missing_include, picture]" in seen.stdout, seen.stdout + seen.stderr
    assert "POV-Ray 3." in seen.stdout
    done = mesh.peerctl(peer, "submit", str(shot), "--name", "lacking")
    assert "warning: missing include 'parts/ball.inc'" in done.stderr
    [job] = peer.get("/jobs")["jobs"]
    held = await peer.until_ended(job["id"])
    assert (held["state"], [row["code"] for row in held["held_because"]]) == ("held", ["missing_include"])
    (shot.parent / "parts" / "ball.inc").write_text("#declare Ball = spere { 0, 1 };\n")
    mesh.peerctl(peer, "submit", str(shot), "--name", "broken")
    [broken] = [row for row in peer.get("/jobs")["jobs"] if row["name"] == "broken"]
    failed = await peer.until_ended(broken["id"])
    assert failed["state"] == "failed"
    assert "File 'parts/ball.inc' line 1: Parse Error" in str(peer.get(f"/jobs/{broken['id']}/why")), failed


@needs_povray
async def test_peers_without_povray_do_not_say_that_they_have_it_and_why_says_so(mesh, povray, shot):
    plain = await mesh.start("plain", renderer="null")
    await mesh.together([plain])
    assert mesh.peerctl(plain, "submit", str(shot)).returncode == 0
    [job] = plain.get("/jobs")["jobs"]
    await wait_until(lambda: "no renderer for 'povray' jobs" in str(plain.get(f"/jobs/{job['id']}/why")))
    able = await mesh.start("able", renderer="povray")
    await mesh.together([plain, able])
    assert (await able.until_ended(job["id"]))["state"] == "completed"
    shown = mesh.peerctl(plain, "peers").stdout
    assert "povray 3." in shown
    assert {row["peer"] for row in able.frames(job["id"])} == {able.id}


async def test_a_renderer_that_nobody_has_is_refused_by_name(mesh):
    [peer] = await mesh.start_many("peer")
    answer = peer.ask("POST", "/api/v1/jobs", json_body={"renderer": "povary", "frames": "1"})
    assert answer.status == 422, answer.text
    assert "did you mean 'povray'?" in answer.text


async def test_a_broken_plugin_is_logged_and_the_peer_works(mesh, tmp_path):
    """One that cannot be imported and one of another port, as real distributions beside the daemon."""
    site = tmp_path / "site"
    for word, code in (("cracked", "import no_such_module"), ("future", "class PLUGIN:\n    port = 99")):
        info = site / f"renderer_{word}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"plugin_{word}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: renderer-{word}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rendermesh.renderers]\n{word} = plugin_{word}:PLUGIN\n")
    peer = mesh.prepare("peer", "--renderer", "cracked", "--renderer", "future")
    peer.environment["PYTHONPATH"] = str(site)
    peer.begin()
    await wait_until(lambda: peer.is_ready)
    await mesh.together([peer])
    assert "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')" in peer.log
    assert "is made for version 99 of the port for renderers" in peer.log
    assert (await peer.until_ended(peer.submit(frames="1-2")))["state"] == "completed"
    [row] = peer.peers()
    assert [one.partition(":")[0] for one in row["renderer_reasons"]] == ["cracked", "future"]
