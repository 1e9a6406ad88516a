"""Somebody who calls the user ports of a closed mesh: from an address of the loopback of its own, with or without a key.

Whoever shows wrong keys is slowed down by address, so callers that shall be judged one by one each have their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from peer.web.route import Route
from protocol import limits

ASK_S: Final = 20.0
NO_ANSWER: Final = 0
LOCKED_OUT: Final = 429
_BRACES: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_addresses: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that a route takes."""

    method: str
    path: str
    route: Route


@dataclass(slots=True)
class Caller:
    """One client. Invariant: `failures` counts the answers to wrong keys that this address has had."""

    session: aiohttp.ClientSession
    key: str | None
    failures: int = 0

    async def status(self, url: str, ask: Ask) -> int:
        """The status of the answer; `NO_ANSWER` when the connection broke twice. The body is never read to its end."""
        body: object = {} if ask.method in ("POST", "PUT", "PATCH") else None
        for _ in range(2):  # a peer may close a kept connection in the very moment in which it is used again
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.request(ask.method, url + ask.path, json=body, headers=self.headers) as answer:
                    return answer.status
        return NO_ANSWER

    async def json(self, method: str, url: str, body: object = None) -> tuple[int, Any]:
        """Status and body of one request; `NO_ANSWER` and None when there was none."""
        try:
            async with self.session.request(method, url, json=body, headers=self.headers) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError):
            return NO_ANSWER, None

    @property
    def headers(self) -> dict[str, str]:
        """What proves who asks."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def expected(self) -> set[int]:
        """What may answer this caller now, when its key is not one of the mesh: above so many failures it is locked out, and
        let guess again in the next minute."""
        if self.key is None:
            return {401}
        self.failures += 1
        return {401} if self.failures <= limits.LOGIN_FAILURES_PER_MINUTE_MAX else {401, LOCKED_OUT}


@contextlib.asynccontextmanager
async def calling(authority: Path, key: str | None) -> AsyncIterator[Caller]:
    """A caller at the next address of 127.1.0.0/16."""
    number = next(_addresses)
    context = ssl.create_default_context(cafile=str(authority))
    connector = aiohttp.TCPConnector(ssl=context, local_addr=(f"127.1.{number >> 8}.{number & 255}", 0))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ASK_S)) as session:
        yield Caller(session, key)
    await asyncio.sleep(0)  # the connections' ends are seen in the loop's next round


def asks(routes: tuple[Route, ...], known: dict[str, str]) -> list[Ask]:
    """Every request that the router serves, HEAD too; `known` fills the parameters in braces, "1" those that it has not."""
    found: list[Ask] = []
    for route in routes:
        path = _BRACES.sub(lambda match: known.get(match[1], "1"), route.path)
        path += "?follow=false" if path.endswith("/events") else ""
        found += [Ask(method, path, route) for method in (("GET", "HEAD") if route.method == "GET" else (route.method,))]
    return found
