"""What holds for every test: under CI a test that needs Blender may not be skipped."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

UNDER_CI = "skipped, and under CI a skipped Blender test is a failure: install Blender, or mend the reason: "


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Turn a skip of a test marked `blender` into a failure when the variable CI is set."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("blender") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = UNDER_CI + _reason(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """The same for a whole module that skips itself before its tests are known."""
    report = yield
    if report.skipped and os.environ.get("CI") and _speaks_of_blender(collector):
        report.outcome = "failed"
        report.longrepr = UNDER_CI + _reason(report.longrepr)
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def _speaks_of_blender(collector: pytest.Collector) -> bool:
    return collector.path.is_file() and "mark.blender" in collector.path.read_text(encoding="utf-8")
