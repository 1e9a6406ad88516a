"""A skipped test of a real thing fails under CI, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

MARKED = """
    import pytest

    @pytest.mark.blender
    def test_marked():
        pytest.skip("no Blender here")

    @pytest.mark.blender
    @pytest.mark.skipif(True, reason="no Blender there")
    def test_skipped_before_it_starts():
        pass

    @pytest.mark.blender
    @pytest.mark.xfail(reason="known")
    def test_expected_to_fail():
        assert False

    def test_plain():
        pytest.skip("no reason to fail")
"""
MODULE = """
    import pytest
    pytestmark = pytest.mark.blender
    pytest.skip("no Blender anywhere", allow_module_level=True)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = blender: needs Blender\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_under_ci_a_skipped_blender_test_is_a_failure(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")
    project.makepyfile(MARKED)
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, errors=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*under CI that is a failure*no Blender*"])


def test_elsewhere_it_is_a_skip(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CI", raising=False)
    project.makepyfile(MARKED)
    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(skipped=3, xfailed=1)


def test_under_ci_a_module_that_skips_itself_is_a_failure(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")
    project.makepyfile(MODULE)
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no Blender anywhere*"])
