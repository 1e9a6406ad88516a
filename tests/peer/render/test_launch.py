from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peer.render import launch

LAUNCH = str(Path(launch.__file__))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these are Linux's own means")


def wishes(**more) -> str:
    return json.dumps({"parent": os.getpid(), "niceness": 3, "memory_bytes": None, **more})


def run(command: list[str], **more) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-I", "-S", LAUNCH, wishes(**more), *command]
    return subprocess.run(start, capture_output=True, text=True, timeout=30, check=False)


def test_becomes_the_command():
    done = run([sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(5)", "a b", "--c"])
    assert (done.returncode, done.stdout) == (5, "['a b', '--c']\n")


def test_a_program_that_is_not_there_is_named():
    done = run(["/nowhere/blender"])
    assert done.returncode == 127
    assert "cannot start /nowhere/blender: No such file" in done.stderr


@linux
def test_steps_back_and_accepts_limits():
    code = (
        "import os, resource; print(os.nice(0), open('/proc/self/oom_score_adj').read().strip(),"
        "resource.getrlimit(resource.RLIMIT_DATA)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = run([sys.executable, "-c", code], memory_bytes=2**31)
    niceness, oom, data, core = done.stdout.split()
    assert (int(niceness), int(data), int(core)) == (os.nice(0) + 3, 2**31, 0)
    assert int(oom) > 0


@linux
def test_a_parent_that_is_already_gone_ends_it_before_it_begins():
    done = run([sys.executable, "-c", "print('began')"], parent=1)
    assert done.stdout == ""


@linux
def test_dies_with_its_parent():
    """A parent starts it and is killed; the pipe that the child held open closes."""
    child = [
        sys.executable,
        "-I",
        "-S",
        LAUNCH,
        "WISHES",
        sys.executable,
        "-c",
        "import signal; print(1, flush=True); signal.pause()",
    ]
    parent_code = (
        "import json, os, signal, subprocess, sys; child = json.loads(sys.argv[1]);"
        "child[4] = json.dumps({'parent': os.getpid(), 'niceness': 0, 'memory_bytes': None});"
        "subprocess.Popen(child, start_new_session=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code, json.dumps(child)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"1\n"
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == b""
    parent.stdout.close()


@linux
def test_it_keeps_to_the_processors_that_it_was_given():
    [first, *_] = sorted(os.sched_getaffinity(0))
    done = run([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], cpus=[first])
    assert done.stdout == f"{{{first}}}\n"


@linux
def test_it_becomes_nothing_when_it_cannot_confine_itself():
    arguments = [wishes(confine={"run": ["/"], "read": [], "write": [], "list": [], "use": []}), "echo", "began"]
    code = "import json, sys\nfrom peer.render import landlock, launch\nlandlock.version = lambda: 0\n"
    code += "launch.lend_names = lambda _: None\nlaunch.main(json.loads(sys.argv[1]))"
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(LAUNCH).parents[2])
    assert (done.returncode, done.stdout) == (launch.UNCONFINED_EXIT, "")
    assert "cannot confine itself: the kernel has no Landlock" in done.stderr
