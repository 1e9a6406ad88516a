"""The shape of a line, what it never shows, and how often a warning repeats."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from peer.telemetry import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form="json", level="info", stream=stream)
    return stream


def test_a_line_is_json_with_time_level_and_event_first(out: io.StringIO):
    logs.get_logger(peer="ab").info("frame_committed", frame=3)
    [line] = written(out)
    assert list(line)[:3] == ["time", "level", "event"]
    assert (line["level"], line["event"], line["peer"], line["frame"]) == ("info", "frame_committed", "ab", 3)
    assert line["time"].endswith("Z")


def test_bound_context_is_on_every_line_until_it_is_left(out: io.StringIO):
    with structlog.contextvars.bound_contextvars(job="j1"):
        logs.get_logger().info("one")
    logs.get_logger().info("two")
    assert [line.get("job") for line in written(out)] == ["j1", None]


def test_lines_below_the_level_are_left_out(out: io.StringIO):
    logs.get_logger().debug("quiet")
    logs.get_logger().error("loud")
    assert [line["event"] for line in written(out)] == ["loud"]


def test_an_exception_is_told_in_the_line(out: io.StringIO):
    try:
        raise ValueError("because")
    except ValueError:
        logs.get_logger().exception("broken")
    assert "ValueError: because" in written(out)[0]["exception"]


def test_lines_of_libraries_have_the_same_shape_and_only_from_warning_up(out: io.StringIO):
    logging.getLogger("aiohttp.server").info("chatter")
    logging.getLogger("aiohttp.server").warning("slow %s", "client")
    [line] = written(out)
    assert (line["event"], line["level"], line["logger"]) == ("slow client", "warning", "aiohttp.server")


def test_configuring_again_replaces_and_does_not_double(out: io.StringIO):
    second = io.StringIO()
    logs.configure(form="json", level="info", stream=second)
    logging.getLogger("x").warning("once")
    logs.get_logger().info("twice")
    assert out.getvalue() == ""
    assert [line["event"] for line in written(second)] == ["once", "twice"]


def test_console_lines_are_for_people():
    stream = io.StringIO()
    logs.configure(form="console", level="debug", stream=stream)
    logs.get_logger().debug("peer_joined", name="oak")
    assert "peer_joined" in stream.getvalue()
    assert "name=oak" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"mesh_key": "canary"},
        {"Authorization": "Bearer canary"},
        {"anything": SecretStr("canary")},
        {"headers": {"Set-Cookie": "canary", "deep": {"api_token": "canary"}}},
    ],
)
def test_secrets_are_never_shown(out: io.StringIO, fields: dict[str, Any]):
    logs.get_logger().warning("refused", **fields)
    logging.getLogger("x").warning("refused", extra=fields)
    assert "canary" not in out.getvalue()
    assert len(written(out)) == 2


def test_a_long_value_is_cut(out: io.StringIO):
    logs.get_logger().info("said", text="x" * 10_000)
    assert len(written(out)[0]["text"]) < 4_100
    assert "10000 characters" in written(out)[0]["text"]


def test_a_value_that_json_does_not_know_is_written_as_text(out: io.StringIO):
    logs.get_logger().info("said", path=io)
    assert "module 'io'" in written(out)[0]["path"]


class Clock:
    """A clock that only tests move."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_repeated_warning_appears_once_per_interval_and_counts_the_rest(out: io.StringIO):
    clock = Clock()
    warnings = logs.RepeatedWarnings(logs.get_logger(), clock=clock, interval_s=10.0)
    assert [warnings.warn("dropped", key="bad_seal", reason="seal") for _ in range(5)] == [True, False, False, False, False]
    clock.now += 10.0
    assert warnings.warn("dropped", key="bad_seal", reason="seal")
    assert [line.get("repeated") for line in written(out)] == [None, 4]


def test_different_keys_do_not_silence_each_other(out: io.StringIO):
    warnings = logs.RepeatedWarnings(logs.get_logger(), clock=Clock())
    assert warnings.warn("dropped", key="a")
    assert warnings.warn("dropped", key="b")
    assert len(written(out)) == 2


def test_remembered_keys_are_bounded(out: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "REPEAT_KEYS_MAX", 2)
    warnings = logs.RepeatedWarnings(logs.get_logger(), clock=Clock())
    assert [warnings.warn("dropped", key=key) for key in "aabcab"] == [True, False, True, True, True, True]
