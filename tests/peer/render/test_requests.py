from __future__ import annotations

import pytest

from peer.ports import RenderFailed
from peer.render.requests import Requests
from protocol import limits
from protocol.jobs.results import Failure


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
