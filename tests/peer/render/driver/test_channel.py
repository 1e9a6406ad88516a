from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from peer.render.driver import channel
from peer.render.driver.channel import Channel
from protocol import limits


@pytest.fixture
def pipes():
    command_read, command_write = os.pipe()
    report_read, report_write = os.pipe()
    yield Channel(command_read, report_write, "token"), command_write, report_read
    for descriptor in (command_read, command_write, report_read, report_write):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_the_limit_of_a_line_is_the_daemons():
    assert channel.LINE_BYTES_MAX == limits.DRIVER_LINE_BYTES_MAX


def test_commands_come_one_by_one_however_the_bytes_are_cut(pipes):
    inside, write, _ = pipes
    os.write(write, b'{"id": 1}\n{"id"')
    assert inside.receive() == {"id": 1}
    os.write(write, b": 2}\n")
    assert inside.receive() == {"id": 2}
    os.close(write)
    assert inside.receive() is None


def test_a_report_is_one_line_even_with_line_breaks_in_it(pipes):
    inside, _, read = pipes
    inside.send({"event": "done", "text": "two\nlines\u2028ü"})
    data = os.read(read, 65_536)
    assert data.count(b"\n") == 1
    assert json.loads(data)["text"] == "two\nlines\u2028ü"


def test_a_report_that_is_too_long_becomes_a_failure(pipes):
    inside, _, read = pipes
    inside.send({"id": 7, "event": "done", "result": "x" * (channel.LINE_BYTES_MAX + 1)})
    report = json.loads(os.read(read, 65_536))
    assert (report["id"], report["event"], report["kind"]) == (7, "failed", "renderer")


def test_a_process_whose_daemon_is_gone_ends_itself():
    """The pipe of reports breaks: the beat notices, also while the main thread is busy and reads no commands."""
    code = (
        "import sys, threading; from peer.render.driver.channel import Channel;"
        "Channel(int(sys.argv[1]), int(sys.argv[2]), 't').beat(); threading.Event().wait()"
    )
    command_read, command_write = os.pipe()
    report_read, report_write = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(command_read), str(report_write)],
        pass_fds=(command_read, report_write),
        start_new_session=True,
    )
    try:
        for descriptor in (command_read, report_write, report_read):
            os.close(descriptor)
        assert child.wait(timeout=30) is not None
    finally:
        os.close(command_write)
        child.kill()
        child.wait()
