from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peer.render.blender import DRIVER, driver_command


def run_driver(command: list[str], commands: bytes, **more) -> tuple[int, list[dict]]:
    """Run it over pipes of our own; exit code and reports."""
    command_read, command_write = os.pipe()
    report_read, report_write = os.pipe()
    os.write(command_write, commands)
    os.close(command_write)
    try:
        done = subprocess.run(
            [*command, "--", str(command_read), str(report_write), "token"],
            pass_fds=(command_read, report_write),
            capture_output=True,
            timeout=100,
            check=False,
            **more,
        )
    finally:
        os.close(command_read)
        os.close(report_write)
    with os.fdopen(report_read, "rb") as reports:
        return done.returncode, [json.loads(line) for line in reports]


def test_without_the_module_it_reports_what_is_missing(tmp_path):
    """An interpreter without site-packages has no bpy."""
    code, reports = run_driver([sys.executable, "-I", "-S", str(DRIVER)], b"")
    assert code == 18
    assert [report["event"] for report in reports] == ["missing"]
    assert "bpy" in reports[0]["text"]


def test_the_driver_needs_nothing_of_the_daemon():
    """A distribution's Blender has neither our packages nor their dependencies."""
    text = "\n".join(path.read_text() for path in Path(DRIVER).parent.glob("*.py"))
    for word in ("import protocol", "from protocol", "import numpy", "from peer.ports", "import pydantic", "import psutil"):
        assert word not in text


@pytest.mark.blender
def test_in_both_homes_it_serves_until_the_pipe_closes(kitchen):
    command = list(driver_command(kitchen.command, kitchen.home))
    code, reports = run_driver(command, b'{"id": 1, "do": "hello"}\n{"id": 2, "do": "hello"}\n')
    assert code == 0
    events = [(report["event"], report.get("id")) for report in reports if report["event"] != "beat"]
    assert events == [("ready", None), ("began", 1), ("done", 1), ("began", 2), ("done", 2)]
