from __future__ import annotations

import re

from peer.web.routes import TABLE
from tests.peer.web.conftest import WebPeer


async def test_pages_ask_nobody_else(peer: WebPeer):
    for path in ("/", "/docs"):
        response = await peer.client.get(path)
        text = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"(?:src|href)=\"(?!/)", text)
        assert "<script" not in text


async def test_the_docs_hold_every_route(peer: WebPeer):
    text = await (await peer.client.get("/docs")).text()
    for route in TABLE:
        assert route.summary.replace("'", "&#x27;") in text
    assert "samples" in text


async def test_the_first_page_leads_on(peer: WebPeer):
    text = await (await peer.client.get("/")).text()
    assert 'href="/docs"' in text
    assert "peerctl" in text
