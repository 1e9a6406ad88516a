"""The driver's answers, in this process, with a real POV-Ray behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peer.render.driver.refusal import Refused
from peer.render.povray import driver
from peer.render.povray.driver import Worker
from tests.peer.render.povray.conftest import BALL, HEAD

pytestmark = pytest.mark.povray


class Heard:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, report: dict[str, Any]) -> None:
        self.sent.append(report)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def worker(povray, heard) -> Worker:
    return Worker(heard, povray, [])


def ask(worker: Worker, tree: Path, do: str, **more: Any) -> dict[str, Any]:
    settings = {"resolution": "64x48", "settings": more.pop("settings", {}), **more.pop("fields", {})}
    return worker.answer({"do": do, "tree": str(tree), "main": "a.pov", "settings": settings, **more})


def test_a_frame_is_rendered_into_the_folder_under_its_name(worker, heard, tree, tmp_path):
    (tree / "a.pov").write_text(BALL)
    ask(worker, tree, "open", settings={"frame_end": 12})
    report = ask(worker, tree, "render", id=7, frame=3, folder=str(tmp_path))
    assert [(row["name"], row["width"], row["channels"], row["format"]) for row in report["files"]] == [
        ("main_0003.png", 64, 3, "PNG")
    ]
    assert (tmp_path / "main_0003.png").stat().st_size > 0
    assert {(row["id"], row["of"]) for row in heard.sent} == {(7, 64 * 48)}


def test_an_inspection_says_what_the_scene_is(worker, tree):
    (tree / "a.pov").write_text(BALL)
    seen = ask(worker, tree, "inspect", settings={"frame_start": 0, "frame_end": 9})
    assert (seen["engine"], seen["camera"], seen["frame_start"], seen["frame_end"], seen["error"]) == (
        "POV-Ray",
        "camera",
        0,
        9,
        None,
    )
    assert (seen["width"], seen["height"], seen["warnings"]) == (64, 48, [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('#include "gone.inc"\n', "missing_include"),
        ('sphere { 0, 1 pigment { image_map { png "gone.png" } } }\n', "missing_image"),
        ('text { ttf "gone.ttf" "a" 1, 0 }\n', "missing_font"),
        ('#fopen F "gone.txt" read\n', "missing_file"),
        ('#include concat("go", "ne.inc")\n', "missing_file"),
    ],
)
def test_a_missing_file_is_a_finding_and_no_error_of_the_scene(worker, tree, text, code):
    (tree / "a.pov").write_text(HEAD + text)
    seen = ask(worker, tree, "inspect")
    assert seen["error"] is None
    assert code in {row["code"] for row in seen["warnings"]} | {"missing_file" if "concat" in text else ""}
    assert all(row["remedy"] for row in seen["warnings"])


def test_a_mistake_in_the_scene_is_its_error_with_file_and_line(worker, tree):
    (tree / "a.pov").write_text(HEAD + "sphere { 0, 1 pigment { Redd } }\n")
    seen = ask(worker, tree, "inspect")
    assert seen["error"]["kind"] == "scene"
    assert seen["error"]["reason"].startswith("POV-Ray: File 'a.pov' line 6: Parse Error: No matching }")


def test_what_frames_write_stays_with_each_frame(worker, tree, tmp_path):
    (tree / "a.pov").write_text(
        BALL + '#fopen F "note.txt" write\n#write (F, "1,")\n#fclose F\n#fopen G "note.txt" read\n#read (G, N)\n'
    )
    seen = ask(worker, tree, "inspect")
    assert [row["code"] for row in seen["warnings"]] == ["writes_files"]
    ask(worker, tree, "render", id=1, frame=1, folder=str(tmp_path))
    assert {path.name for path in tree.iterdir()} == {"a.pov"}
    assert {path.name for path in tmp_path.iterdir()} >= {"main_0001.png", "raw"}


def test_a_scene_of_unsteady_pixels_gets_one_thread(worker, tree):
    (tree / "a.pov").write_text(BALL + "light_source { y*5, rgb 1 area_light x, z, 3, 3 jitter }\n")
    ask(worker, tree, "open")
    assert worker._threads == 1
    ask(worker, tree, "open", fields={"threads": 3})
    assert worker._threads == 3


def test_without_a_scene_nothing_is_rendered_and_an_unknown_command_is_refused(worker, tmp_path):
    for command in ({"do": "render", "frame": 1, "folder": str(tmp_path), "id": 1}, {"do": "dance"}):
        with pytest.raises(Refused):
            worker.answer(command)


def test_a_crash_of_povray_is_a_crash(worker, tree, tmp_path):
    """Debian's 3.7.0 aborts over such a surface."""
    ball = "sphere { 0, 1 pigment { Red } finish { subsurface { translucency .5 } } interior { ior 1.3 } }\n"
    (tree / "a.pov").write_text(HEAD + "global_settings { mm_per_unit 10 subsurface { samples 20, 5 } }\n" + ball)
    ask(worker, tree, "open")
    with pytest.raises(Refused, match=r"POV-Ray: .*\(signal 6\)") as refused:
        ask(worker, tree, "render", id=1, frame=1, folder=str(tmp_path))
    assert refused.value.kind == "crash"


def test_a_program_that_is_no_povray_is_reported_as_missing():
    """As a process of its own, as it is started."""
    code = (
        "import os, sys, subprocess\n"
        "read, write = os.pipe(); mine, theirs = os.pipe()\n"
        "child = subprocess.Popen([sys.executable, '-I', sys.argv[1], '/bin/true', '--', str(read), str(theirs), 'token'],"
        " pass_fds=(read, theirs))\n"
        "os.close(theirs); print(os.fdopen(mine).readline()); child.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, driver.__file__], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["event"] == "missing", done.stderr
