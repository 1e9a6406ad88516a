from __future__ import annotations

import asyncio

import pytest

from tests.peer.web.conftest import Farm, WebPeer


async def ask(peer: WebPeer, length: int, kind: str, expect: str = "100-continue") -> bytes:
    url = peer.client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Content-Type: {kind}\r\nContent-Length: {length}\r\nExpect: {expect}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("length", "kind", "status"),
    [
        (5_000, "multipart/form-data; boundary=B", b"100"),
        (50_000, "multipart/form-data; boundary=B", b"413"),
        (5_000, "application/json", b"100"),
        (2_000_000, "application/json", b"413"),
    ],
)
async def test_what_is_too_large_is_refused_before_it_is_sent(farm: Farm, length: int, kind: str, status: bytes):
    peer = await farm.add("small", scene_bytes_max=10_000)
    answer = await ask(peer, length, kind)
    assert answer.split()[1] == status
    if status == b"413":
        assert b"X-Request-Id: " in answer
        assert b"application/problem+json" in answer
