"""Probes of health checks: one HTTP request or one TCP connection, bounded in time, bytes and target.

Decides what an answer means (2xx passing, 429 warning, else critical). Refuses to know thresholds, services and who asked.
A redirect is an answer like any other: it is not followed, since it could lead past what may be probed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from peer.checktargets import CheckTargets
from protocol import limits
from protocol.cards import CheckStatus
from protocol.effects import RunCheck
from protocol.events import CheckEnded
from protocol.services import CheckSpec

Outcome = tuple[CheckStatus, str]
USER_AGENT: Final = "rendermesh-check"


class RefusedTarget(OSError):
    """The check leads where no check may."""


class Probes:
    """Invariants: every `run` comes back as one `CheckEnded`, unless this is closed; at most
    `limits.PROBES_OF_CHECKS_AT_ONCE_MAX` run at once; no connection goes to an address that `targets` refuses."""

    def __init__(self, targets: CheckTargets, tell: Callable[[CheckEnded], None]) -> None:
        self._targets = targets
        self._tell = tell
        self._free = asyncio.Semaphore(limits.PROBES_OF_CHECKS_AT_ONCE_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def run(self, effect: RunCheck) -> None:
        """Begin a probe."""
        self._own(self._run(effect))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, effect: RunCheck) -> None:
        async with self._free:
            status, output = await self.probe(effect.spec)
        self._tell(CheckEnded(effect.ticket, status, output))

    async def probe(self, spec: CheckSpec) -> Outcome:
        """One look. Never raises."""
        try:
            async with asyncio.timeout(spec.timeout_s):
                return await (self._http(spec) if spec.kind == "http" else self._tcp(spec))
        except TimeoutError:
            return "critical", f"no answer within {spec.timeout_s:g} s from {_shown(spec)}"
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return "critical", f"{_shown(spec)}: {_reason(error)}"

    async def close(self) -> None:
        """Break off what runs."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    # http

    async def _http(self, spec: CheckSpec) -> Outcome:
        url = URL(spec.target)
        refusal = self._targets.literal_refusal(url.host or "")
        if refusal is not None:
            raise RefusedTarget(refusal)
        async with self._client().request(
            spec.method, url, headers=list(spec.headers), allow_redirects=False, ssl=spec.verify_tls,
            server_hostname=spec.server_name or None,
        ) as response:  # fmt: skip
            body = await _beginning(response)
        text = f"HTTP {spec.method} {_shown(spec)}: {response.status} {response.reason or ''} Output: {body}"
        if 200 <= response.status < 300:
            return "passing", text
        return "warning" if response.status == 429 else "critical", text

    def _client(self) -> aiohttp.ClientSession:
        """A connection per probe: one that was kept would not show that the door is still open."""
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=_Resolver(self._targets), force_close=True, limit=0, use_dns_cache=False)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
                headers={"User-Agent": USER_AGENT}, timeout=aiohttp.ClientTimeout(total=limits.CHECK_TIMEOUT_S_MAX),
            )  # fmt: skip
        return self._session

    # tcp

    async def _tcp(self, spec: CheckSpec) -> Outcome:
        url = URL(f"tcp://{spec.target}")
        failure: OSError | None = None
        for host in await resolve_allowed(self._targets, url.host or "", url.port or 0, socket.AF_UNSPEC):
            try:
                _, writer = await asyncio.open_connection(host, url.port)
            except OSError as error:
                failure = error
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return "passing", f"TCP connect {spec.target}: Success"
        raise failure or OSError("the name leads nowhere")


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """What fits into a check's output; the rest, be it 1 GB, is not read."""
    body = bytearray()
    while len(body) < limits.CHECK_OUTPUT_BYTES_MAX:
        piece = await response.content.read(limits.CHECK_OUTPUT_BYTES_MAX - len(body))
        if not piece:
            break
        body += piece
    response.close()
    return body.decode("utf-8", "replace")


async def resolve_allowed(targets: CheckTargets, host: str, port: int, family: socket.AddressFamily) -> list[str]:
    """The literal addresses of `host` that may be probed. Raises `RefusedTarget` when there are only others, OSError."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(row[4][0]) for row in rows))
    allowed = [one for one in found if targets.refusal(one) is None]
    if found and not allowed:
        raise RefusedTarget(targets.refusal(found[0]))
    return allowed


class _Resolver(AbstractResolver):
    """Hands the connector only what may be connected to: what is judged is what is dialled."""

    def __init__(self, targets: CheckTargets) -> None:
        self._targets = targets

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        allowed = await resolve_allowed(self._targets, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=socket.AF_INET6 if ":" in one else socket.AF_INET, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in allowed
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""


def _reason(error: Exception) -> str:
    """What went wrong, in the system's words rather than the library's."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(cause) or type(cause).__name__


def _shown(spec: CheckSpec) -> str:
    """The target without a password in it."""
    if spec.kind != "http":
        return spec.target
    with contextlib.suppress(ValueError):
        return str(URL(spec.target).with_user(None))
    return "the check's URL"
