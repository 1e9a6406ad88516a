"""Peers known to a Consul agent, or to another peer, which speaks the same API.

Decides when this peer registers (at the start, and again when the agent has forgotten it), when it asks and how it waits.
aiohttp speaks and stamina spaces the retries; py-consul is left out, for it blocks a thread per question and reads answers
of any size. Refuses to believe: an answer is checked field by field, and what is left are candidates.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import sample, uniform
from typing import Any, Final, TypeVar

import aiohttp
import stamina
from stamina.instrumentation import set_on_retry_hooks

from peer.discovery.advert import Advert, read_fields, usable
from peer.discovery.faults import Faults
from peer.discovery.ways import ConsulWay
from peer.ports import Found
from protocol.effects import Notice
from protocol.ids import Address
from protocol.limits import (
    CONSUL_CHECK_S,
    CONSUL_CHECK_TIMEOUT_S,
    CONSUL_GONE_S,
    CONSUL_GOODBYE_S,
    CONSUL_LEAST_S,
    CONSUL_RENEW_S,
    CONSUL_REPLY_BYTES_MAX,
    CONSUL_REPLY_S,
    CONSUL_RETRY_S,
    CONSUL_RETRY_S_MAX,
    CONSUL_WAIT_S,
    DISCOVERY_CANDIDATES_MAX,
)

T = TypeVar("T")
_INDEX_MAX: Final = 2**64 - 1
_REFUSAL_BYTES_MAX: Final = 200


class ConsulFault(Exception):
    """The agent did not do what was asked: not there, slow, refusing, or answering nonsense. The text is for people."""


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds. `wait_s` is how long the agent may hold a question; the others are named in `protocol.limits`."""

    reply_s: float = CONSUL_REPLY_S
    wait_s: int = CONSUL_WAIT_S
    least_s: float = CONSUL_LEAST_S
    retry_s: float = CONSUL_RETRY_S
    retry_s_max: float = CONSUL_RETRY_S_MAX
    renew_s: float = CONSUL_RENEW_S
    goodbye_s: float = CONSUL_GOODBYE_S


class ConsulProvider:
    """Invariants: one question and one registration at a time; the token goes to the named agent only, never into a text;
    nothing that an agent answers ends `run`."""

    def __init__(
        self,
        way: ConsulWay,
        advert: Advert,
        *,
        url: str,
        host: str,
        token: str | None,
        on_notice: Callable[[Notice], None],
        timing: Timing | None = None,
    ) -> None:
        """`url` is this peer's user port at `host` (a literal address), whose `/health` the agent shall ask."""
        self._way = way
        self._advert = advert
        self._url = url
        self._token = token
        self._faults = Faults("consul", on_notice)
        self._timing = timing or Timing()
        self._host = host
        self._ever_registered = False

    @property
    def service_id(self) -> str:
        """What this peer's registration is called; the same after a restart, so that it replaces the old one."""
        return f"{self._way.service}-{self._advert.peer[:16]}"

    async def run(self, found: Found) -> None:
        """Register and look until cancelled, then deregister."""
        if self._token is not None and not self._way.private:
            self._faults.failed("token", f"PEER_CONSUL_TOKEN travels to {self._way.url} unencrypted; use https")
        headers = {"Accept-Encoding": "identity"} | ({} if self._token is None else {"X-Consul-Token": self._token})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timing.reply_s)
        async with aiohttp.ClientSession(
            headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
        ) as session:
            agent = _Agent(session, self._way.url, self._timing)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._stay_registered(agent))
                    group.create_task(self._watch(agent, found))
            finally:
                await self._deregister(agent)

    # being found

    def registration(self) -> dict[str, Any]:
        """The body of `agent/service/register`.

        The check starts as passing: the peer serves when it registers, and those that start with it must find it before
        Consul's first look. The agent does not know the mesh's authority, so it takes any certificate for this one URL."""
        advert = self._advert
        return {
            "ID": self.service_id,
            "Name": self._way.service,
            "Address": self._host,
            "Port": advert.port,
            "Meta": advert.fields(),
            "Check": {
                "HTTP": f"{self._url}/health",
                "Interval": f"{CONSUL_CHECK_S}s",
                "Timeout": f"{CONSUL_CHECK_TIMEOUT_S}s",
                "TLSSkipVerify": advert.tls,
                "Status": "passing",
                "DeregisterCriticalServiceAfter": f"{CONSUL_GONE_S}s",
            },
        }

    async def _stay_registered(self, agent: _Agent) -> None:
        """Register, and look now and then whether the agent still knows: it may have lost its state, or given us up."""
        while True:
            await self._patiently("register", partial(self._register, agent))
            await asyncio.sleep(self._timing.renew_s)

    async def _register(self, agent: _Agent) -> None:
        wanted = self.registration()
        known = await agent.get(f"/v1/agent/service/{self.service_id}", missing=True) if self._ever_registered else None
        if isinstance(known, dict) and all(known.get(key) == wanted[key] for key in ("Address", "Port", "Meta")):
            return
        await agent.put("/v1/agent/service/register", wanted)
        self._ever_registered = True

    async def _deregister(self, agent: _Agent) -> None:
        """A goodbye that may fail: the health check takes us out anyway."""
        if self._ever_registered:
            with contextlib.suppress(ConsulFault, TimeoutError):
                async with asyncio.timeout(self._timing.goodbye_s):
                    await agent.put(f"/v1/agent/service/deregister/{self.service_id}", None)

    # finding

    async def _watch(self, agent: _Agent, found: Found) -> None:
        index = 0
        while True:
            index = await self._patiently("watch", partial(self._look, agent, index, found))
            await asyncio.sleep(self._timing.least_s)

    async def _look(self, agent: _Agent, index: int, found: Found) -> int:
        """One blocking question. Returns the index for the next: 0 where the agent gave none, or went back."""
        answer, raised = await agent.ask_blocking(f"/v1/health/service/{self._way.service}", index)
        addresses = await asyncio.to_thread(self._candidates, answer)
        if addresses:
            found(addresses)
        return raised if raised >= index else 0

    def _candidates(self, answer: Any) -> tuple[Address, ...]:
        """Peers of this mesh in `health/service`'s answer, ourselves left out; at most `DISCOVERY_CANDIDATES_MAX` by lot."""
        if not isinstance(answer, list):
            raise ConsulFault(f"it answered health/service with {type(answer).__name__}, not with a list")
        unique = list(dict.fromkeys(address for entry in answer for address in self._candidate(entry)))
        return tuple(sample(unique, min(len(unique), DISCOVERY_CANDIDATES_MAX)))

    def _candidate(self, entry: Any) -> tuple[Address, ...]:
        service, node = _member(entry, "Service"), _member(entry, "Node")
        host = service.get("Address") or node.get("Address")
        port = _port(service.get("Port"))
        fields = {key: value for key, value in _member(service, "Meta").items() if isinstance(value, str)}
        if not isinstance(host, str) or service.get("ID") == self.service_id:
            return ()
        if not fields.keys() & {"id", "m", "txtvers"}:  # entered by somebody's own hand, with nothing said about the mesh
            return () if port is None else usable((host,), port, bind=self._advert.bind, loopback=True)
        heard = read_fields(fields, port=port, mesh_required=False)
        if heard is None or heard.peer == self._advert.peer or heard.mesh not in (None, *self._advert.meshes()):
            return ()
        return usable((host,), heard.gossip_port, bind=self._advert.bind, loopback=True)

    # patience

    async def _patiently(self, what: str, once: Callable[[], Awaitable[T]]) -> T:
        """Do it until it works, at growing intervals: an agent may be away for days."""
        tries = itertools.count()

        def pause(error: Exception) -> bool | float:
            if not isinstance(error, ConsulFault):
                return False
            self._faults.failed(what, f"{self._way.url}: {error}")
            growing = self._timing.retry_s * 2.0 ** min(next(tries), 10)
            return min(growing, self._timing.retry_s_max) * uniform(0.5, 1.0)

        set_on_retry_hooks([])  # its own log lines would repeat ours
        # Pauses are ours, because those of stamina overflow after a thousand tries.
        async for attempt in stamina.retry_context(on=pause, attempts=None, timeout=None):
            with attempt:
                value = await once()
                self._faults.works(what)
                return value
        raise AssertionError("without a limit of tries there is no end of them")


def _member(row: Any, key: str) -> Mapping[str, Any]:
    """An object inside an object; empty for anything else."""
    value = row.get(key) if isinstance(row, dict) else None
    return value if isinstance(value, dict) else {}


def _port(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65_535 else None


class _Agent:
    """The agent's HTTP API. Every method raises `ConsulFault` only. No redirect is followed: the token stays here."""

    def __init__(self, session: aiohttp.ClientSession, url: str, timing: Timing) -> None:
        self._session = session
        self._url = url
        self._timing = timing

    async def put(self, path: str, body: Mapping[str, Any] | None) -> None:
        """PUT and look at the status alone."""
        async with self._asked("PUT", path, self._timing.reply_s, json=body) as response:
            await _accepted(response)

    async def get(self, path: str, *, missing: bool) -> Any:
        """GET a document; None for what is not there, where that is an answer."""
        async with self._asked("GET", path, self._timing.reply_s) as response:
            if missing and response.status == 404:
                return None
            await _accepted(response)
            return await _document(response)

    async def ask_blocking(self, path: str, index: int) -> tuple[Any, int]:
        """A question that the agent may hold until something changes. Returns the document and its index, 0 without one."""
        params = {"passing": "1"}
        held_s = 0.0
        if index:
            params |= {"index": str(index), "wait": f"{self._timing.wait_s}s"}
            held_s = self._timing.wait_s * 17 / 16  # Consul adds up to a sixteenth
        async with self._asked("GET", path, held_s + self._timing.reply_s, params=params) as response:
            await _accepted(response)
            document = await _document(response)
        text = response.headers.get("X-Consul-Index", "")
        raised = int(text) if re.fullmatch(r"[0-9]{1,20}", text) else 0
        return document, raised if raised <= _INDEX_MAX else 0

    @contextlib.asynccontextmanager
    async def _asked(self, method: str, path: str, timeout_s: float, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(method, self._url + path, allow_redirects=False, **more) as response,
            ):
                yield response
        except TimeoutError:
            raise ConsulFault(f"no answer to {method} {path} within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConsulFault(f"{method} {path}: {str(error) or type(error).__name__}") from None


async def _accepted(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:
        return
    text = (await response.content.read(_REFUSAL_BYTES_MAX)).decode("utf-8", "replace").strip()
    hint = "; does PEER_CONSUL_TOKEN allow service:write and node:read?" if response.status in (401, 403) else ""
    raise ConsulFault(f"it answered {response.status} {text!r}{hint}")


async def _document(response: aiohttp.ClientResponse) -> Any:
    """The body as JSON, at most `CONSUL_REPLY_BYTES_MAX` of it, read on a thread."""
    parts = bytearray()
    async for part in response.content.iter_chunked(65_536):
        parts += part
        if len(parts) > CONSUL_REPLY_BYTES_MAX:
            raise ConsulFault(f"it answered more than {CONSUL_REPLY_BYTES_MAX // 2**20} MiB")
    try:
        return await asyncio.to_thread(json.loads, bytes(parts))
    except (ValueError, RecursionError):
        raise ConsulFault("its answer is no JSON") from None
