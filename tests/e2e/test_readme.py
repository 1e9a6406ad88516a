"""The README's lines work as they are printed, down to a PNG; its flags and verbs exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from peer.cli.main import VERBS
from peer.render.verify_child import Expected, examine
from tests.e2e.mesh import BLENDER_S, PROGRAMS, Mesh
from tests.scenes import build as scenes

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
PRINTED_PEER = "peer=http://127.0.0.1:7700"


def curl_lines() -> list[str]:
    """Every line of the README's blocks of shell that ask a peer, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run_in_bash(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=BLENDER_S, check=False, cwd=folder, env=environment)


@pytest.mark.blender
async def test_the_curl_lines_work_as_printed_down_to_a_png(mesh: Mesh, tmp_path: Path):
    scene = scenes.build("quick", tmp_path, scenes.any_home()).rename(tmp_path / "shot.blend")
    peer = await mesh.start("readme", "--scene", str(scene), renderer="")
    await mesh.together([peer])
    lines = curl_lines()
    assert lines.pop(0) == PRINTED_PEER, "only this line is exchanged: the test's peer has another port"
    script = "\n".join(["set -euo pipefail", f"peer={peer.url}", *lines])
    done = run_in_bash(script, tmp_path, mesh.environment())
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr}"
    assert examine(tmp_path / "shot_0002.png", Expected(320, 180, 3, "PNG")).nans == 0
    with zipfile.ZipFile(tmp_path / "shot.zip") as archive:
        assert sorted(archive.namelist()) == ["shot_0001.png", "shot_0002.png", "shot_0003.png"]
    assert '"jobId"' in done.stdout
    assert '"pid"' in done.stdout


def test_there_are_curl_lines_in_the_readme():
    assert sum("curl" in line for line in curl_lines()) >= 10
    assert shutil.which("curl") is not None, "the tests need curl"


def test_every_verb_of_peerctl_in_the_readme_exists():
    named = set(re.findall(r"peerctl (?:-H \S+ )?([a-z]+)", TEXT))
    assert len(named) > 10
    assert named <= set(VERBS) | {"does", "finds"}  # in sentences


def test_the_table_of_settings_names_every_flag_and_no_other():
    help_text = subprocess.run([str(PROGRAMS / "peerd"), "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    existing = set(re.findall(r"(?<![\w-])(--[a-z-]+)", help_text))
    table = TEXT[TEXT.index("## Settings of peerd") : TEXT.index("## When something is wrong")]
    named = set(re.findall(r"`(--[a-z-]+)`", table))
    assert named - existing == set()
    rarely = {
        "--help",
        "--version",
        "--check-config",
        "--config",
        "--insecure",
        "--consul-token-file",
        "--new-admin-key",
        "--check-allow",
    }
    assert existing - named - rarely == set(), "tell of new settings in the README"
