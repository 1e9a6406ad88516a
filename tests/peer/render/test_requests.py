from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from peer.ports import RenderFailed
from peer.render.requests import Requests
from protocol import limits
from protocol.jobs.results import Failure
from tests.fuzzing import json_values, spoilt


async def test_only_the_first_can_be_running():
    queue = Requests()
    first, second = queue.new("render", None, None), queue.new("render", None, None)
    assert queue.running is None
    first.began = True
    assert queue.running is first
    queue.drop(first)
    assert queue.running is None
    assert queue.find(second.number) is second
    assert queue.find(first.number) is None
    assert queue.take_all() == [second]
    assert len(queue) == 0


async def test_the_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "DRIVER_REQUESTS_MAX", 2)
    queue = Requests()
    queue.new("render", None, None)
    queue.new("render", None, None)
    with pytest.raises(RenderFailed, match="too many"):
        queue.new("render", None, None)


async def test_progress_over_view_layers_only_rises():
    heard: list[float] = []
    request = Requests().new("render", heard.append, None)
    request.layers = 2
    for done in (0, 5, 10, 0, 5, 10, 10):
        request.sample(done, 10)
    assert heard == [0.25, 0.5, 0.75, 1.0]


async def test_a_report_settles_with_its_log():
    queue = Requests()
    request = queue.new("render", None, None)
    request.report, request.log = {"event": "done", "result": {"x": 1}}, "text"
    request.settle()
    answer = await request.future
    assert (answer.result, answer.log) == ({"x": 1}, "text")
    request.fail(Failure("crash", "too late"))
    assert request.future.exception() is None


async def test_a_failed_report_raises_with_its_class_and_log():
    request = Requests().new("render", None, None)
    request.report, request.log = {"event": "failed", "kind": "scene", "reason": "x" * 9_999}, "text"
    request.settle()
    with pytest.raises(RenderFailed) as caught:
        await request.future
    assert caught.value.failure.kind == "scene"
    assert len(caught.value.failure.reason) == limits.REASON_CHARS_MAX
    assert caught.value.log == "text"


@pytest.mark.parametrize("report", [{"event": "done"}, {"event": "done", "result": 7}, {"event": "failed", "kind": "bad luck"}])
async def test_a_report_that_says_nothing_is_the_renderer_s_failure(report: dict[str, Any]):
    request = Requests().new("render", None, None)
    request.report, request.log = report, "text"
    request.settle()
    with pytest.raises(RenderFailed) as caught:
        await request.future
    assert caught.value.failure.kind == "renderer"


@given(spoilt({"kind": "scene", "reason": "no"}), json_values)
async def test_whatever_is_reported_ends_the_request(said: Any, result: Any):
    request = Requests().new("render", None, None)
    request.report = {**said, "result": result, "event": "done"} if isinstance(said, dict) else {"event": "failed", "kind": said}
    request.settle()
    assert request.future.done()
    error = request.future.exception()
    if isinstance(error, RenderFailed):
        error.failure.reason.encode()
