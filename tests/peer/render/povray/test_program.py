"""A real POV-Ray as a child."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from peer.render.driver.refusal import Refused
from peer.render.povray.program import Program
from tests.peer.render.povray.conftest import BALL, HEAD, WEIGHTY
from tests.waiting import wait_until

pytestmark = pytest.mark.povray
HOST = """
import sys
from pathlib import Path
from peer.render.povray.program import Program
ini, place = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
Program(sys.argv[3], []).run(ini, place, parse_s=100, on_line=print, on_progress=print)
"""


def ini(tree: Path, text: str, **more: object) -> str:
    (tree / "a.pov").write_text(text)
    rows = {"Input_File_Name": f'"{tree}/a.pov"', "Width": 64, "Height": 48, "Display": "Off", "Verbose": "On", **more}
    libraries = "".join(f'Library_Path="{path}"\n' for path in Program("/usr/bin/povray", []).libraries())
    return libraries + "".join(f"{name}={value}\n" for name, value in rows.items())


def run(povray: str, text: str, place: Path, **more):
    place.mkdir()
    lines: list[str] = []
    progress: list[tuple[int, int]] = []
    wishes = {"parse_s": 60.0, "on_line": lines.append, "on_progress": lambda done, of: progress.append((done, of)), **more}
    return Program(povray, []).run(text, place, **wishes), lines, progress


def test_it_says_who_it_is(povray):
    identity = Program(povray, []).identity()
    assert identity["version"].split(".")[0] == "3"
    assert identity["version"] in identity["build"]
    assert any((folder / "colors.inc").is_file() for folder in Program(povray, []).libraries())
    with pytest.raises(Refused, match="does not say its version"):
        Program("/bin/true", []).identity()


def test_a_picture_is_rendered_and_its_progress_told(povray, tree, tmp_path):
    ended, lines, progress = run(povray, ini(tree, BALL, Output_File_Name=f'"{tmp_path}/a.png"'), tmp_path / "place")
    assert (ended.code, ended.parsed) == (0, True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert progress[-1] == (64 * 48, 64 * 48)
    assert not [line for line in lines if "Rendered" in line]


def test_parsing_alone_ends_when_it_is_over(povray, tree, tmp_path):
    slow = ini(tree, WEIGHTY, Width=4000, Height=4000, Output_File_Name=f'"{tmp_path}/a.png"')
    ended, _, _ = run(povray, slow, tmp_path / "place", parse_only=True)
    assert ended.parsed
    assert not (tmp_path / "a.png").exists()


def test_a_loop_without_an_end_is_a_stall(povray, tree, tmp_path):
    with pytest.raises(Refused, match="a loop without an end") as refused:
        run(povray, ini(tree, HEAD + "#while (1) #end\n"), tmp_path / "place", parse_s=1.0)
    assert refused.value.kind == "stalled"
    assert [process for process in psutil.Process().children(recursive=True) if process.name() == "povray"] == []


@pytest.mark.parametrize("option", ["Pre_Scene_Command", "Post_Frame_Command", "Fatal_Error_Command"])
def test_no_program_of_an_ini_would_run_even_if_it_got_here(povray, tree, tmp_path, option):
    text = ini(tree, BALL, Output_File_Name=f'"{tmp_path}/a.png"', **{option: f'"touch {tmp_path}/hit"'})
    run(povray, text, tmp_path / "place")
    assert not (tmp_path / "hit").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl(2) is Linux's own")
async def test_it_dies_with_its_driver(povray, tree, tmp_path):
    (tmp_path / "job.ini").write_text(ini(tree, HEAD + "#while (1) #end\n"))
    (tmp_path / "place").mkdir()
    command = [sys.executable, "-c", HOST, str(tmp_path / "job.ini"), str(tmp_path / "place"), povray]
    host = subprocess.Popen(command, cwd=Path(__file__).parents[4], stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    children: list[psutil.Process] = []

    def has_begun() -> bool:
        children[:] = [child for child in psutil.Process(host.pid).children() if child.name() == "povray"]
        return bool(children)

    await wait_until(has_begun)
    host.kill()
    host.wait()
    await wait_until(lambda: not psutil.pid_exists(children[0].pid) or children[0].status() == psutil.STATUS_ZOMBIE)
    assert os.listdir(tmp_path / "place" / "work") == []  # noqa: PTH208
