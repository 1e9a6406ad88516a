"""What is around every handler: ids, errors, headers, limits."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from peer.ports import Corrupt, StoreBroken
from peer.web.app import serving
from protocol import limits
from protocol.errors import Refusal
from tests.peer.web.conftest import WebPeer, problem_of


async def test_every_answer_carries_an_id_and_keeps_a_plain_one_of_the_client(peer: WebPeer):
    given = await peer.client.get("/health", headers={"X-Request-Id": "abc-1.2_3"})
    assert given.headers["X-Request-Id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 65, "ü", '"><script>'):
        response = await peer.client.get("/health", headers={"X-Request-Id": bad})
        assert len(response.headers["X-Request-Id"]) == 16
    two = [(await peer.client.get("/docs")).headers["X-Request-Id"] for _ in range(2)]
    assert two[0] != two[1]


async def test_unknown_paths_and_wrong_methods_are_problems(peer: WebPeer):
    for path in ("/nothing", "/api/v2/jobs", "/api/v1/jobs/", "/../etc/passwd", "/api/v1/jobs/a/b"):
        await problem_of(await peer.client.get(path), 404, "no_such_route")
    response = await peer.client.put("/api/v1/jobs", json={})
    await problem_of(response, 405, "method_not_allowed")
    assert {method.strip() for method in response.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}
    await problem_of(await peer.client.get("/render"), 405, "method_not_allowed")


async def test_what_nobody_expected_is_500_without_its_inside(peer: WebPeer, monkeypatch: pytest.MonkeyPatch):
    def broken(self):
        raise RuntimeError("secret path /home/me")

    monkeypatch.setattr(type(peer.mesh), "jobs", broken)
    with structlog.testing.capture_logs() as logs:
        response = await peer.client.get("/api/v1/jobs")
    document = await problem_of(response, 500, "internal")
    assert "secret" not in str(document)
    assert logs[-1]["event"] == "http_handler_failed"
    assert logs[-1]["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreBroken("EIO on /data/x"), 503, "store_broken"),
        (Corrupt("/data/y"), 503, "blob_corrupt"),
        (Refusal("odd", "text"), 400, "odd"),
        (TimeoutError(), 500, "internal"),
    ],
)
async def test_faults_of_the_store_do_not_name_paths(peer: WebPeer, error: Exception, status: int, code: str):
    peer.mesh.refusal = error
    response = await peer.client.post("/api/v1/jobs", json={"renderer": "null", "frames": "1"})
    document = await problem_of(response, status, code)
    assert "/data" not in str(document)


async def test_bodies_where_none_is_read_do_no_harm(peer: WebPeer):
    assert (await peer.client.post("/api/v1/peers/one/drain", data=b" ")).status == 200
    await problem_of(await peer.client.post("/api/v1/peers/one/drain", data=b"x"), 400, "bad_json")


async def test_idle_connections_do_not_stay(peer: WebPeer):
    assert serving()["keepalive_timeout"] == limits.HTTP_KEEPALIVE_S == 15.0


async def test_many_headers_are_refused(peer: WebPeer):
    url = peer.client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: 1\r\n" * 100 + b"\r\n")
    answer = await asyncio.wait_for(reader.read(200), 10)
    writer.close()
    assert b" 400 " in answer.splitlines()[0], answer
