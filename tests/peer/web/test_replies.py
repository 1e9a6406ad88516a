from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from peer.web import replies
from protocol import limits


class Stuck(web.StreamResponse):
    async def write(self, data: object) -> None:
        await asyncio.Event().wait()


async def test_a_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "HTTP_WRITE_S_MAX", 0.01)
    with pytest.raises(ConnectionResetError):
        await replies.send(Stuck(), b"x")


def test_json_is_compact_and_text_is_text():
    assert replies.as_json({"a": [1]}, status=202).text == '{"a":[1]}'
    assert replies.as_text("hi", status=404).content_type == "text/plain"
