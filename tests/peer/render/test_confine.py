"""Each test runs its child in a process of its own: limits, once set, stay."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these are Linux's own means")


def run(code: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"from peer.render.confine import *\nimport os, resource\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, **more)


def test_more_memory_than_allowed_is_refused():
    code = "limit(memory_bytes=2**29, file_bytes=0, open_files=32)\ntry: bytearray(2**30)\nexcept MemoryError: print('refused')"
    assert run(code).stdout == "refused\n"


def test_no_file_can_be_written(tmp_path):
    path = tmp_path / "x"
    code = f"import pathlib\nlimit(memory_bytes=2**30, file_bytes=0, open_files=32)\npathlib.Path({str(path)!r}).write_text('x')"
    assert run(code).returncode != 0
    assert path.stat().st_size == 0


def test_cpu_time_ends_the_process():
    assert run("allow_cpu(0)\nwhile True: pass").returncode == -signal.SIGXCPU


def test_cpu_time_is_counted_from_the_last_allowance():
    code = "\n".join(
        (
            "import time",
            "allow_cpu(1)",
            "first = resource.getrlimit(resource.RLIMIT_CPU)",
            "while time.process_time() < 1.1: pass",
            "allow_cpu(1)",
            "second = resource.getrlimit(resource.RLIMIT_CPU)",
            "print(second[0] - first[0], second[1] == first[1])",
        )
    )
    assert run(code).stdout == "1 True\n"


def test_a_process_that_steps_back_is_nicer_and_goes_first():
    out = run("step_back(niceness=5)\nprint(os.nice(0), open('/proc/self/oom_score_adj').read().strip())").stdout.split()
    assert out == [str(min(19, os.nice(0) + 5)), "500"]


def test_a_child_whose_parent_is_already_gone_ends_at_once():
    done = run("die_with(os.getpid())\nprint('still here')")
    assert (done.returncode, done.stdout) == (0, "")


async def test_a_child_dies_when_its_parent_is_killed():
    child = "\n".join(
        (
            "import os, signal, sys",
            "from peer.render.confine import die_with",
            "die_with(int(sys.argv[1]))",
            "print(os.getpid(), flush=True)",
            "signal.pause()",
        )
    )
    parent = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
    await wait_until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
