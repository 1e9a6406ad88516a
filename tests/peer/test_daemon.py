"""A whole peer in this process, on real sockets and a real disk: it starts, serves, and ends cleanly however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import platformdirs
import psutil
import pytest
import structlog

from peer import daemon as daemon_module
from peer.config import parse_peerd
from peer.daemon import Daemon
from peer.ports import StoreBroken
from peer.store.journal import SqliteJournal
from protocol import limits
from protocol.kernel import Now
from protocol.node import Node
from tests.waiting import wait_until


@dataclass(slots=True)
class Started:
    """A peer of this process that has said `ready`."""

    url: str
    running: asyncio.Task[None]
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as answer:
            return await answer.json()

    async def post(self, path: str, document: object) -> Any:
        async with self.http.post(self.url + path, json=document) as answer:
            return await answer.json()

    async def state(self, job: str) -> str:
        return str((await self.get(f"/api/v1/jobs/{job}"))["state"])

    async def ended(self) -> None:
        """The peer's end; raises what it ended with."""
        async with asyncio.timeout(20):
            await asyncio.wait([self.running])
            await self.running


Starter = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Starter]:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_: tmp_path / "share")
    started: list[Started] = []

    async def begin(*flags: str) -> Started:
        capsys.readouterr()
        arguments = [
            "--data-dir",
            str(tmp_path / "data"),
            "--port",
            "0",
            "--renderer",
            "null",
            "--preset",
            "local",
            "--discovery",
            "static",
            *flags,
        ]
        running = asyncio.create_task(Daemon(parse_peerd(arguments, {"HOME": str(tmp_path)})).run())
        out = ""

        def is_ready() -> bool:
            nonlocal out
            out += capsys.readouterr().out
            if running.done():
                running.result()
            return out.startswith("ready ") and out.endswith("\n")

        await wait_until(is_ready)
        started.append(Started(out.split()[1], running, aiohttp.ClientSession()))
        return started[-1]

    before = asyncio.all_tasks()
    others = psutil.Process().children(recursive=True)  # fixtures of the session may keep theirs
    yield begin
    for one in started:
        one.running.cancel()
        await asyncio.wait([one.running])
        await one.http.close()
    await wait_until(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})
    assert [child for child in psutil.Process().children(recursive=True) if child not in others] == []


def terminate(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def lasting(frame_ms: int) -> dict[str, object]:
    return {"renderer": "null", "frames": "1-3", "settings": {"frame_ms": frame_ms}, "durability": "local"}


async def test_a_peer_serves_and_leaves_on_a_signal_with_nothing_left_running(start: Starter, tmp_path: Path):
    peer = await start()
    job = (await peer.post("/api/v1/jobs", lasting(1)))["id"]
    await wait_until(lambda: _is(peer, job, "completed"))
    assert json.loads((tmp_path / "data" / "client.json").read_text())["url"] == peer.url
    terminate()
    await peer.ended()
    again = await start()
    assert await again.state(job) == "completed"


async def _eventually(ask: Callable[[], Awaitable[object]], answer: object) -> bool:
    return await ask() == answer


async def _is(peer: Started, job: str, state: str) -> bool:
    return await peer.state(job) == state


async def test_a_signal_while_renderers_are_sought_ends_the_peer(start: Starter, monkeypatch: pytest.MonkeyPatch):
    seeking = asyncio.Event()

    async def seek(*_: object) -> None:
        seeking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(daemon_module, "find_renderers", seek)
    peer = await start()
    await seeking.wait()
    terminate()
    await peer.ended()


async def test_a_peer_that_is_open_to_everybody_says_so_as_long_as_it_runs(start: Starter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "INSECURE_WARNED_S", 0.02)
    with structlog.testing.capture_logs() as said:
        peer = await start("--insecure")
        await wait_until(lambda: sum(row["event"] == "insecure" for row in said) >= 3)
        terminate()
        await peer.ended()


@pytest.mark.blender
async def test_a_blender_that_was_repaired_is_found_without_a_restart(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RENDERERS_SOON_S", 0.05)
    real = shutil.which("blender")
    if real is None:
        pytest.skip("there is no Blender on PATH")
    program = tmp_path / "blender" / "blender"
    program.parent.mkdir()  # a folder of its own: what lies around a program is shown to it

    def install(*lines: str) -> None:
        fresh = program.with_name("fresh")
        fresh.write_text("\n".join(("#!/bin/sh", *lines)))
        fresh.chmod(0o700)
        fresh.replace(program)

    install("echo broken for now; exit 1")
    peer = await start("--renderer", "blender", "--blender", str(program))

    async def renderers() -> list[str]:
        [me] = (await peer.get("/api/v1/peers"))["peers"]
        return [one["renderer"] for one in me["capabilities"]]

    await wait_until(lambda: _eventually(renderers, ["null"]))
    install(f'exec {real} "$@"')
    await wait_until(lambda: _eventually(renderers, ["null", "blender"]))


async def test_the_second_signal_does_not_wait_for_the_frame(start: Starter):
    peer = await start("--drain-grace-s", "3600")
    job = (await peer.post("/api/v1/jobs", lasting(3_600_000)))["id"]
    await wait_until(lambda: _is(peer, job, "running"))
    terminate(signal.SIGINT)
    await wait_until(lambda: _is_draining(peer))
    assert not peer.running.done()
    terminate(signal.SIGINT)
    await peer.ended()


async def _is_draining(peer: Started) -> bool:
    [me] = (await peer.get("/api/v1/peers"))["peers"]
    return bool(me["draining"])


async def test_a_mistake_in_a_machine_ends_the_peer_with_it_and_keeps_the_trace(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    peer = await start()
    job = (await peer.post("/api/v1/jobs", lasting(3_600_000)))["id"]
    await wait_until(lambda: _is(peer, job, "running"))

    def on_deadline(_self: Node, _now: Now) -> None:
        raise AssertionError("our own mistake")

    with monkeypatch.context() as patched:
        patched.setattr(Node, "on_deadline", on_deadline)
        with pytest.raises(BaseExceptionGroup) as ended:
            await peer.ended()
    assert ended.group_contains(AssertionError, match="our own mistake")
    assert list((tmp_path / "data").glob("trace-crash-*"))


async def test_a_disk_that_breaks_ends_the_peer(start: Starter, monkeypatch: pytest.MonkeyPatch):
    peer = await start()

    async def commit(_self: object, _records: object) -> None:
        raise StoreBroken("input/output error")

    monkeypatch.setattr(SqliteJournal, "commit", commit)
    submitting = asyncio.create_task(peer.post("/api/v1/jobs", lasting(1)))
    with pytest.raises(BaseExceptionGroup) as ended:
        await peer.ended()
    assert ended.group_contains(StoreBroken)
    await asyncio.wait([submitting])
    assert submitting.exception() or submitting.result()["status"] >= 500


async def test_a_start_that_fails_gives_everything_back(start: Starter):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Exception, match="ort"):
            await start("--port", str(taken.getsockname()[1]))
    await start()
