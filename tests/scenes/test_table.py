"""Some of the table of scenes, through a real mesh; `scripts/scenes` runs all of it."""

from __future__ import annotations

from contextlib import closing

import pytest
from PIL import Image

from tests.e2e.mesh import Mesh
from tests.scenes import trial
from tests.scenes.build import any_home, run_blender
from tests.scenes.cases import TABLE, Case, named

SOME = (
    "missing_texture", "unbaked_cloth", "cloth_beside_cache", "stamp_of_frame", "unknown_view_transform", "node_outputs",
    "stereo_nodes", "negative_frames", "paths_of_elsewhere", "marker_cameras", "format_open_exr_multilayer_32",
)  # fmt: skip


def test_every_scene_has_one_line_and_a_line_for_what_is_expected():
    assert len({case.name for case in TABLE}) == len(TABLE)
    assert all(case.state == "completed" or case.codes or case.reason for case in TABLE)
    assert trial.expectation(Case("x", ("b", "a"), "held")) == "held a b"
    assert trial.expectation(Case("x", state="failed", reason="died", lost=(2,))) == 'failed without frame 2 "died"'


def test_pictures_that_cannot_be_equal_are_compared_by_size(tmp_path):
    for name, size in (("one.png", (4, 2)), ("other.png", (4, 3))):
        Image.new("RGB", size).save(tmp_path / name)
    assert [trial.sized(tmp_path / name) for name in ("one.png", "other.png")] == ["PNG 4x2", "PNG 4x3"]


def test_frames_become_ranges_and_names():
    assert trial.ranges((-2, -1, 0, 3, 5, 6)) == [(-2, 0), (3, 3), (5, 6)]
    assert [trial.numbered(frame) for frame in (-2, 7, 12_345)] == ["-0002", "0007", "12345"]


@pytest.mark.blender
def test_every_line_has_a_maker_and_every_maker_a_line(tmp_path):
    script = tmp_path / "names.py"
    folder = trial.MAKE.parents[2]
    script.write_text(f"import sys; sys.path.insert(0, {str(folder)!r})\n"
                      "from tests.scenes import make_cases; print('NAMES', *make_cases.MAKERS)")  # fmt: skip
    line = next(line for line in run_blender(any_home(), script).splitlines() if line.startswith("NAMES"))
    assert sorted(line.split()[1:]) == sorted(case.name for case in TABLE)


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_pictures_of_the_mesh_are_those_of_one_blender_or_the_reason_is_named(tmp_path):
    with closing(Mesh(tmp_path)) as mesh:
        rows = await trial.run(any_home(), [named(name) for name in SOME], mesh, tmp_path / "trial")
    assert [f"{row.scene}: {row.verdict}" for row in rows if not row.holds] == []
    assert [row.scene for row in rows] == list(SOME)
