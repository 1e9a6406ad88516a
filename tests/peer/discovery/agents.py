"""Consul agents: a fake one that can be slow or lie, and the real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.waiting import wait_until

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeAgent:
    """Keeps what is registered and answers blocking questions as Consul does, unless `lies` is set."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.index = 7
        self.lies: Answer | None = None
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, token
        self.url = ""
        self._changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, request.headers.get("X-Consul-Token")))
        if self.lies is not None:
            return await self.lies(request)
        match request.method, request.path.removeprefix("/v1/").split("/"):
            case "PUT", ["agent", "service", "register"]:
                body = await request.json()
                await self.change({body["ID"]: body})
                return web.Response()
            case "PUT", ["agent", "service", "deregister", name]:
                await self.change({name: None})
                return web.Response()
            case "GET", ["agent", "service", name]:
                return web.json_response(self.services[name]) if name in self.services else web.Response(status=404)
            case "GET", ["health", "service", name]:
                return await self._health(request, name)
            case _:
                return web.Response(status=405)

    async def change(self, services: dict[str, dict[str, Any] | None]) -> None:
        """Register (or, None, take out) services by their ids."""
        async with self._changed:
            for name, body in services.items():
                if body is None:
                    self.services.pop(name, None)
                else:
                    self.services[name] = body
            self.index += 1
            self._changed.notify_all()

    async def _health(self, request: web.Request, name: str) -> web.Response:
        asked = int(request.query.get("index", 0))
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(float(request.query.get("wait", "0s").rstrip("s"))):
                    await self._changed.wait_for(lambda: self.index > asked)
        rows = [
            {"Node": {"Address": "10.0.0.99"}, "Service": one, "Checks": []}
            for one in self.services.values()
            if one["Name"] == name
        ]
        return web.json_response(rows, headers={"X-Consul-Index": str(self.index)})


@contextlib.asynccontextmanager
async def fake_agent() -> AsyncIterator[FakeAgent]:
    """A fake agent that listens on loopback."""
    agent = FakeAgent()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agent.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        agent.url = f"http://127.0.0.1:{server.port}"
        yield agent


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in socks]


def find_consul() -> str:
    """The program, from PATH or as scripts/get-consul brings it; a skip where there is none."""
    found = shutil.which("consul")
    script = Path(__file__).parents[3] / "scripts" / "get-consul"
    if found is None and script.exists():
        ran = subprocess.run([str(script)], capture_output=True, text=True, timeout=110, check=False)
        found = ran.stdout.strip().splitlines()[-1] if ran.returncode == 0 and ran.stdout.strip() else None
    if found is None:
        pytest.skip("needs a Consul agent (scripts/get-consul)")
    return found


@contextlib.contextmanager
def _process(folder: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    http, dns, lan, wan, server = ports
    config = folder / "agent.json"
    config.write_text(
        json.dumps({"ports": {"http": http, "dns": dns, "serf_lan": lan, "serf_wan": wan, "server": server, "grpc": -1}})
    )
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [find_consul(), "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", f"-config-file={config}"],
            stdout=log, stderr=log, env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@contextlib.asynccontextmanager
async def real_agent(folder: Path) -> AsyncIterator[str]:
    """A real agent, a server in itself, on loopback. Yields its URL."""
    ports = _free_ports(5)
    url = f"http://127.0.0.1:{ports[0]}"
    with _process(folder, ports) as process:
        async with aiohttp.ClientSession() as session:

            async def leads() -> bool:
                assert process.poll() is None, (folder / "agent.log").read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/v1/status/leader") as response:
                        return response.status == 200 and len(await response.text()) > 4
                return False

            await wait_until(leads)
        yield url
