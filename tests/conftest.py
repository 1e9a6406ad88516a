"""What holds for every test: drawn examples are the same in every run of the same tests, and under CI a test that needs a real
program, such as Blender, may not be skipped.

`--hypothesis-profile wide` draws other examples each time, and fifty times as many: for a night, or after a change of a decoder.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

NEEDS = ("blender", "consul", "dnsmasq", "namespaces", "povray", "sandbox")  # markers of tests with real things
UNDER_CI = "skipped, and under CI that is a failure: install what the test needs, or mend the reason: "

# No deadline and no complaint about slow examples: a busy machine is no defect. Examples may share what a fixture has made.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("repeatable", _PATIENT, derandomize=True, database=None)
settings.register_profile("wide", _PATIENT, max_examples=5_000, print_blob=True)
settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Turn a skip of a test marked with one of `NEEDS` into a failure when the variable CI is set."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and any(map(item.get_closest_marker, NEEDS)) and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = UNDER_CI + _reason(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """The same for a whole module that skips itself before its tests are known."""
    report = yield
    if report.skipped and os.environ.get("CI") and _speaks_of_needs(collector):
        report.outcome = "failed"
        report.longrepr = UNDER_CI + _reason(report.longrepr)
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def _speaks_of_needs(collector: pytest.Collector) -> bool:
    text = collector.path.read_text(encoding="utf-8") if collector.path.is_file() else ""
    return any(f"mark.{need}" in text for need in NEEDS)
