from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from peer.render import platform
from tests.waiting import wait_until


def test_how_a_process_ended_in_words():
    assert platform.ended_by(3) == "exit code 3"
    assert platform.ended_by(-signal.SIGSEGV) == "signal SIGSEGV"
    assert platform.ended_by(-200) == "signal 200"


@pytest.fixture
def spinning():
    """A process whose child burns CPU time."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    yield child
    platform.signal_group(child.pid, kill=True)
    child.wait()


async def test_cpu_time_counts_the_descendants(spinning):
    child = spinning
    try:
        await wait_until(lambda: platform.cpu_seconds(child.pid) > 0.3)
        assert platform.resident_bytes(child.pid) > 0
        assert platform.leads_group(child.pid)
    finally:
        platform.signal_group(child.pid, kill=True)
        child.wait()
    assert platform.cpu_seconds(child.pid) == 0.0
    assert platform.resident_bytes(child.pid) == 0
    assert platform.born_at(child.pid) is None
    assert not platform.leads_group(child.pid)


def test_a_signal_reaches_the_whole_group():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; print(1, flush=True); signal.pause()'])"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    platform.signal_group(child.pid, kill=True)
    child.wait()
    assert child.stdout.read() == b""  # the grandchild held the other end
    child.stdout.close()


def test_a_signal_to_nobody_is_harmless():
    child = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    child.wait()
    platform.signal_group(child.pid, kill=False)


def test_kills_for_memory_are_counted_where_the_kernel_says_so():
    assert platform.out_of_memory_kills() >= 0
    assert platform.born_at(os.getpid()) == platform.born_at(os.getpid())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this platform does not bind processes to processors")
def test_processors_are_shared_in_turns(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 4, 6, 8})
    assert [platform.cpu_share(2, turn) for turn in range(3)] == [(0, 2), (4, 6), (0, 8)]
    assert platform.cpu_share(None, 1) is None
    assert platform.cpu_share(5, 1) is None
