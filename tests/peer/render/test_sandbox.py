from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from peer.render import landlock, sandbox
from peer.render.sandbox import OPEN, Reach, Sandbox, find_sandbox
from protocol.jobs.sandboxes import LEVELS

ROOT = Path(__file__).parents[3]
NOBODY = 65534
CHILD = ("sandbox", "landlock", "seccomp", "launch", "confine", "trial")  # what a level consists of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandboxes are Linux's own")
real = pytest.mark.sandbox


# finding a level


@real
async def test_the_strongest_level_that_holds_is_found(tmp_path):
    assert (await find_sandbox("auto", tmp_path, None)).level == "bwrap"
    without = await find_sandbox("auto", tmp_path, str(tmp_path))  # nothing is on that PATH
    assert (without.level, without.why) == ("landlock", (("bwrap: it is not installed", sandbox.GET_BWRAP),))
    assert list(tmp_path.iterdir()) == []


async def test_a_level_that_was_asked_for_has_no_stand_in(tmp_path):
    found = await find_sandbox("bwrap", tmp_path, str(tmp_path))
    assert (found.level, found.why) == ("none", (("bwrap: it is not installed", sandbox.GET_BWRAP),))
    assert (await find_sandbox("none", tmp_path, None)).level == "none"


@real
async def test_a_bwrap_that_cannot_make_namespaces_gives_way_and_says_what_would_help(tmp_path, monkeypatch):
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    found = await find_sandbox("auto", tmp_path, str(tmp_path))
    [(text, remedy)] = found.why
    assert (found.level, remedy) == ("landlock", sandbox.GET_NAMESPACES)
    assert "No permissions" in text
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert (await find_sandbox("auto", tmp_path, str(tmp_path))).level == "none"


async def test_a_level_that_leaks_is_none(tmp_path):
    program = tmp_path / "bwrap"  # it confines nothing
    program.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    program.chmod(0o755)
    found = await find_sandbox("bwrap", tmp_path, str(tmp_path))
    assert found.level == "none"
    assert "reads and writes and connects outside" in found.why[0][0]


ASK = """
import asyncio, json, pathlib, sys
from peer.render.sandbox import find_sandbox, report
print(json.dumps(report(asyncio.run(find_sandbox("auto", pathlib.Path(sys.argv[1]), sys.argv[2])))))
"""


@real
@pytest.mark.parametrize(("path", "level"), [("/usr/bin", "bwrap"), ("/nowhere", "landlock")])
def test_it_holds_for_an_account_without_rights_too(path, level):
    """The same code as somebody who is nobody, from a folder that everybody may read."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody; the other tests ran as somebody else already")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        for name in ("peer/__init__.py", "peer/render/__init__.py", *(f"peer/render/{each}.py" for each in CHILD)):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
        shutil.copytree(ROOT / "protocol", place / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "data").mkdir()
        os.chown(place / "data", NOBODY, NOBODY)
        account = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        command = (*account, "/usr/bin/python3", "-B", "-c", ASK, str(place / "data"), path)
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["level"] == level


def test_doctor_is_told_as_json(tmp_path):
    command = [sys.executable, "-m", "peer.render.sandbox", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout)["level"] in LEVELS


OUT_THERE = ("socket", "write", "key", "picture")
REACH_OUT = """
import json, pathlib, socket, sys
done = []
for name, way in {
    "socket": lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1]),
    "write": lambda: pathlib.Path(sys.argv[1] + ".new").touch(),
    "key": lambda: pathlib.Path(sys.argv[2]).read_bytes(),
    "picture": lambda: pathlib.Path(sys.argv[3]).read_bytes(),
}.items():
    try:
        way()
        done.append(name)
    except OSError:
        pass
print(json.dumps(done))
"""


@real
@pytest.mark.parametrize(
    ("level", "could"),
    [("none", ["socket", "write", "key", "picture"]), ("bwrap", ["picture"]), ("landlock", ["key", "picture"])],
)
async def test_who_reads_all_but_the_data_folder_talks_to_no_socket_file(tmp_path, level, could):
    """As the verifier of output roots does; the daemons of a machine listen on such files. Landlock cannot hide the data
    folder from it, which says nothing to anybody but its parent."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "identity.key").touch()
    (tmp_path / "picture.png").touch()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        walls = await find_sandbox(level, data, None)
        assert walls.level == level
        aims = [str(path) for path in (tmp_path / "door", data / "identity.key", tmp_path / "picture.png")]
        reach = Reach(run=sandbox.interpreter(), read=(Path("/"),))
        command = sandbox.start(walls, reach, (sys.executable, "-c", REACH_OUT, *aims))
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    assert json.loads(done.stdout) == could


# what a level is made of


def test_a_program_that_lies_around_the_data_folder_is_not_started(tmp_path):
    inside = Sandbox("landlock", hides=tmp_path / "blender" / "data")
    assert "move it" in inside.objection(Reach(run=(tmp_path / "blender",)))
    assert "move it" in inside.objection(Reach(run=(Path.home(),)))
    assert inside.objection(Reach(run=(tmp_path / "other",))) == ""
    assert OPEN.objection(Reach(run=(Path("/"),))) == ""


def test_an_account_without_a_home_has_none_to_hide(tmp_path, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])  # an account that is in no list
    with pytest.raises(RuntimeError):
        Path.home()
    assert Sandbox("landlock", hides=tmp_path / "data").objection(Reach(run=(tmp_path / "other",))) == ""


def test_a_signal_is_told_from_an_exit_code():
    assert Sandbox("bwrap").returncode(128 + signal.SIGSEGV) == -signal.SIGSEGV
    assert [Sandbox("bwrap").returncode(code) for code in (0, 17, -9)] == [0, 17, -9]
    assert Sandbox("landlock").returncode(139) == 139


def test_levels_differ_in_what_stands_before_the_command(tmp_path):
    reach = Reach(read=(tmp_path,), write=(tmp_path,))
    assert (OPEN.prefix(reach), OPEN.wishes(reach)) == ((), {})
    assert str(tmp_path) in Sandbox("landlock").wishes(reach)["confine"]["write"]
    walls = Sandbox("bwrap", "/usr/bin/bwrap", hides=tmp_path).prefix(replace(reach, read=(Path("/"),)))
    assert walls.index("--tmpfs") < walls.index("--bind")
    assert ("--ro-bind", "/", "/") == walls[walls.index("--ro-bind") :][:3]
