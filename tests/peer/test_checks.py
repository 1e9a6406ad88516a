"""Probes against real sockets on loopback that answer well, badly, endlessly or not at all."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from peer import checks as checks_module
from peer.checks import Probes, resolve_allowed
from peer.checktargets import CheckTargets
from protocol import limits
from protocol.effects import RunCheck
from protocol.events import CheckEnded
from protocol.ids import Ticket
from protocol.services import CheckSpec
from tests.waiting import wait_until

Handler = Callable[[web.Request], web.StreamResponse]
NOBODY = CheckTargets(own=frozenset)


def http(target: object, **fields) -> CheckSpec:
    return CheckSpec("c", "c", "http", target=str(target), **{"timeout_s": 5.0, **fields})


def tcp(target: str, **fields) -> CheckSpec:
    return CheckSpec("c", "c", "tcp", target=target, **{"timeout_s": 5.0, **fields})


@pytest.fixture
async def probes() -> AsyncIterator[Probes]:
    probes = Probes(NOBODY, lambda ended: None)
    yield probes
    await probes.close()


@asynccontextmanager
async def served(handler) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@asynccontextmanager
async def speaking(serve) -> AsyncIterator[int]:
    """A socket whose every connection is handed to `serve`; its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "passing"),
        (204, "passing"),
        (299, "passing"),
        (301, "critical"),
        (404, "critical"),
        (429, "warning"),
        (503, "critical"),
    ],
)
async def test_the_answers_status_decides(probes: Probes, status: int, expected: str):
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/"} if status == 301 else {})

    async with served(handle) as server:
        result, output = await probes.probe(http(server.make_url("/health")))
    assert result == expected
    assert f"/health: {status}" in output


async def test_a_redirect_is_not_followed(probes: Probes):
    asked = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/secret"})

    async with served(handle) as server:
        assert (await probes.probe(http(server.make_url("/"))))[0] == "critical"
    assert asked == ["/"]


async def test_what_is_sent_is_what_was_asked_for(probes: Probes):
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.headers["X-Key"], request.headers["User-Agent"]))
        return web.Response(text="fine")

    async with served(handle) as server:
        _, output = await probes.probe(http(server.make_url("/"), method="OPTIONS", headers=(("X-Key", "k"),)))
    assert seen == [("OPTIONS", "k", "rendermesh-check")]
    assert output.endswith("200 OK Output: fine")


async def test_of_an_endless_answer_only_the_beginning_is_read(probes: Probes):
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            for _ in range(1_000):
                writer.write(b"x" * 1_000_000)
                await writer.drain()
                sent += 1_000_000
        except ConnectionError:
            pass
        writer.close()

    async with speaking(endless) as port:
        status, output = await probes.probe(http(f"http://127.0.0.1:{port}/"))
        await probes.close()
    assert status == "passing"
    assert limits.CHECK_OUTPUT_BYTES_MAX <= len(output) <= limits.CHECK_OUTPUT_BYTES_MAX + 200
    assert sent < 50_000_000


async def test_a_compressed_bomb_is_not_unpacked(probes: Probes):
    async def handle(_request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"0" * 10_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with served(handle) as server:
        _, output = await probes.probe(http(server.make_url("/"), headers=(("Accept-Encoding", "gzip"),)))
    assert "00000000" not in output


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 200 O"])
async def test_an_answer_that_hangs_is_critical_when_the_time_is_over(probes: Probes, beginning: bytes):
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await reader.read()
        writer.close()

    async with speaking(hang) as port:
        status, output = await probes.probe(http(f"http://127.0.0.1:{port}/", timeout_s=0.2))
    assert (status, output) == ("critical", f"no answer within 0.2 s from http://127.0.0.1:{port}/")


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", b""])
async def test_an_answer_that_is_no_http_is_critical(probes: Probes, answer: bytes):
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with speaking(speak) as port:
        status, output = await probes.probe(http(f"http://127.0.0.1:{port}/"))
    assert status == "critical"
    assert f"http://127.0.0.1:{port}/: " in output


async def test_nobody_there_is_critical(probes: Probes):
    port = unused_port()
    for spec in (http(f"http://127.0.0.1:{port}/"), tcp(f"127.0.0.1:{port}")):
        status, output = await probes.probe(spec)
        assert status == "critical"
        assert "refused" in output or "Connect" in output


async def test_a_port_that_takes_a_connection_passes(probes: Probes):
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with speaking(take) as port:
        assert await probes.probe(tcp(f"127.0.0.1:{port}")) == ("passing", f"TCP connect 127.0.0.1:{port}: Success")
        assert (await probes.probe(tcp(f"localhost:{port}")))[0] == "passing"


@pytest.mark.parametrize(
    "spec",
    [
        http("http://10.0.0.1/"),
        http("http://169.254.169.254/latest/meta-data/"),
        http("http://[fd00:ec2::254]/"),
        tcp("10.0.0.1:80"),
        tcp("[::ffff:169.254.169.254]:80"),
        http("http://0xa9fea9fe/"),  # the same address in another spelling
    ],
)
async def test_no_connection_goes_where_none_may(probes: Probes, spec: CheckSpec, monkeypatch: pytest.MonkeyPatch):
    def dial(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a connection to {args}")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", dial)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", dial)
    status, output = await probes.probe(spec)
    assert status == "critical"
    assert "--check-allow" in output or "credentials" in output


async def test_a_name_is_judged_by_what_it_leads_to(monkeypatch: pytest.MonkeyPatch):
    answers = ["10.0.0.1", "127.0.0.1"]

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answers]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await resolve_allowed(NOBODY, "two.test", 80, socket.AF_INET) == ["127.0.0.1"]
    open_ = CheckTargets([ipaddress.ip_network("10.0.0.0/8")], own=frozenset)
    assert await resolve_allowed(open_, "two.test", 80, socket.AF_INET) == answers
    answers.remove("127.0.0.1")
    with pytest.raises(checks_module.RefusedTarget):
        await resolve_allowed(NOBODY, "two.test", 80, socket.AF_INET)


async def test_a_password_in_a_url_is_not_shown(probes: Probes):
    _, output = await probes.probe(http(f"http://user:canary@127.0.0.1:{unused_port()}/"))
    assert "canary" not in output


async def test_every_run_ends_with_one_event_and_only_so_many_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PROBES_OF_CHECKS_AT_ONCE_MAX", 3)
    told: list[CheckEnded] = []
    probes, release, open_now, most = Probes(NOBODY, told.append), asyncio.Event(), 0, 0

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await release.wait()
        await reader.readuntil(b"\r\n\r\n")
        open_now -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with speaking(hold) as port:
        for number in range(10):
            probes.run(RunCheck(Ticket(f"t{number}"), http(f"http://127.0.0.1:{port}/")))
        await wait_until(lambda: open_now == 3)
        release.set()
        await wait_until(lambda: len(told) == 10)
        await probes.close()
    assert most <= 4  # one may have been answered and not yet have been counted out
    assert {ended.ticket for ended in told} == {f"t{number}" for number in range(10)}
    assert all(ended.status == "passing" for ended in told)


async def test_closing_breaks_off_what_hangs():
    told: list[CheckEnded] = []
    probes = Probes(NOBODY, told.append)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with speaking(hang) as port:
        probes.run(RunCheck(Ticket("t"), http(f"http://127.0.0.1:{port}/", timeout_s=60)))
        await asyncio.sleep(0)
        await probes.close()
    assert told == []
