from __future__ import annotations

from pathlib import Path

import pytest

from peer.cli import bounds
from peer.cli.failures import CliError
from peer.cli.povray import is_povray, pack
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A scene with an include that has a texture, a library elsewhere, and a POV-Ray that brings one include."""
    files = {
        "share/povray-3.7/include/colors.inc": "",
        "library/trees.inc": 'bump_map { png "bark.png" }',
        "library/bark.png": "bark",
        "outside.png": "out",
        "show/shot.ini": "Input_File_Name=shot.pov\nLibrary_Path=../library\n",
        "show/shot.pov": '#include "colors.inc"\n#include "parts/hut.inc"\n#include "trees.inc"\nimage_map { png Out }\n'
        '#declare Out = "../outside.png";',
        "show/parts/hut.inc": 'image_map { jpeg "tex/wall.jpg" } image_map { png "lost.png" } image_map { png concat("a", "b") }',
        "show/tex/wall.jpg": "wall",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "show" / "shot.pov"


@pytest.mark.parametrize("main", ["shot.pov", "shot.ini"])
def test_what_a_scene_names_goes_along_under_the_name_at_which_povray_looks(shot, tmp_path, main):
    package = pack(shot.with_name(main), [tmp_path / "share"])
    other = {"shot.pov": "shot.ini", "shot.ini": "shot.pov"}[main]
    assert set(package.files) == {other, "parts/hut.inc", "tex/wall.jpg", "trees.inc", "bark.png"}
    assert package.files["bark.png"].path == tmp_path / "library" / "bark.png"
    assert len(package.missing) == 3
    assert any("lies outside the scene's folder" in text for text in package.missing)
    assert "image 'lost.png'" in package.missing
    assert any("1 names are put together" in text for text in package.missing)


def test_without_a_povray_here_its_own_includes_may_be_there(shot, tmp_path):
    package = pack(shot, [tmp_path / "nowhere"])
    assert "include 'colors.inc' (unless POV-Ray brings it along: there is none here to ask)" in package.missing


@pytest.mark.parametrize("text", ["Width=3", "Input_File_Name=gone.pov", ""])
def test_an_ini_that_leads_to_no_scene_is_told(tmp_path, text):
    (tmp_path / "a.ini").write_text(text)
    assert pack(tmp_path / "a.ini").missing[0].startswith("the scene that a.ini names: ")


def test_more_files_than_a_job_may_have_are_refused(shot, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "ASSETS_MAX", 3)
    with pytest.raises(CliError, match="the scene uses 5 files"):
        pack(shot, [tmp_path / "share"])


def test_only_its_suffix_tells_a_scene(tmp_path):
    assert [is_povray(Path(name)) for name in ("a.pov", "a.INI", "a.blend", "pov")] == [True, True, False, False]


def test_a_submission_takes_them_along(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, shot: Path):
    ran = peerctl("submit", shot)
    assert ran.code == 0, ran.err
    (job,) = mesh.jobs.values()
    assert {"scene:shot.pov", "shot.ini", "parts/hut.inc", "tex/wall.jpg", "trees.inc", "bark.png"} == set(job.files)
    assert "warning: missing image 'lost.png'" in ran.err
