"""HTTP to any of several peers: the next host when one is down, the same request again when one is busy.

Decides which host is asked, with which authority and token, and what an answer's status means. Refuses to know verbs,
output and files. urllib3 carries it: a thread-safe pool with strict TLS and bodies streamed from disk, at a third of the
start-up time of aiohttp (http.client alone has neither pools nor usable timeouts while a body is sent).

Redirects are never followed: a token must not travel to a place that an answer names.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from peer.cli import bounds
from peer.cli.bodies import whole
from peer.cli.documents import parse_object
from peer.cli.earlyanswer import ListeningManager
from peer.cli.failures import Busy, CliError, Exit, Unreachable, from_answer
from peer.cli.settings import Host

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `body` makes a fresh iterable for each try. Every call of this API is idempotent.

    `insists`: once a host may have taken it, it is sent again until one has answered."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterable[bytes]] | None = None
    read_timeout_s: float = field(default_factory=lambda: bounds.READ_TIMEOUT_S)
    send_timeout_s: float = bounds.CONNECT_TIMEOUT_S
    any_status: bool = False
    insists: bool = False

    @property
    def target(self) -> str:
        """Path and query as sent."""
        given = {key: value for key, value in self.params.items() if value != ""}
        return f"{self.path}?{urlencode(given)}" if given else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: `url` is the host that gave it."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object, empty where there is to be none (204). Raises `CliError` when it is none: then something
        else than a peer answered, or it was cut."""
        document = parse_object(self.body) if self.body or self.status != 204 else {}
        if document is None:
            kind = self.headers.get("Content-Type", "no content type")
            raise CliError(
                Exit.ERROR,
                f"{self.url} answered {self.status} with something that no peer says ({kind})",
                remedy="check the host and port: is it a peer's user port?",
            )
        return document


def part(text: str) -> str:
    """One path segment that holds any text."""
    return quote(text, safe="")


class _Down(Exception):
    """This host did not answer; the next may. `begun`: it was connected to; `slow`: then it stayed silent."""

    def __init__(self, reason: str, *, begun: bool, slow: bool = False) -> None:
        super().__init__(reason)
        self.begun, self.slow = begun, slow


class MeshClient:
    """Invariants: hosts are tried in order, the one that answered last first; a token goes only to hosts of its own trust."""

    def __init__(
        self, hosts: Iterable[Host], *, named: bool, say: Say, nearby: Callable[[], Iterable[Host]] | None = None
    ) -> None:
        """`nearby` finds hosts of last resort, once, when none of `hosts` answers; None: there are no others."""
        self._hosts = list(hosts)
        self._nearby = nearby
        self._strangers: list[str] = []
        self._named = named
        self._say = say
        self._current = self._hosts[0]
        self._pools: dict[tuple[str | None, bool], urllib3.PoolManager] = {}

    @property
    def url(self) -> str:
        """The host that answered last, or the first one before any has."""
        return self._current.url

    def learn(self, urls: Iterable[str]) -> None:
        """Take other peers of the same mesh as hosts of last resort; they inherit what verifies the first host."""
        first = self._hosts[0]
        known = {host.url for host in self._hosts}
        for url in urls:
            if url not in known and len(self._hosts) < bounds.HOSTS_MAX:
                known.add(url)
                self._hosts.append(Host(url, ca=first.ca, mesh_ca=first.mesh_ca, token=first.token))

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """GET an object. Raises `CliError`."""
        return self.request(Call("GET", path, params)).json()

    def send(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send an object (or nothing) and return the object answered. Raises `CliError`."""
        if document is None:
            return self.request(Call(method, path)).json()
        data = json.dumps(document).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        return self.request(Call(method, path, headers=headers, body=lambda: [data])).json()

    def pages(self, path: str, key: str, **params: str) -> Iterator[dict[str, Any]]:
        """Every item of a paged list, page by page. Raises `CliError`."""
        cursor = ""
        for _ in range(bounds.PAGES_MAX):
            page = self.get(path, cursor=cursor, **{"limit": str(bounds.PAGE_ITEMS), **params})
            items = page.get(key)
            yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
            following = page.get("cursor")
            if not isinstance(following, str) or not following or following == cursor:
                return
            cursor = following

    def request(self, call: Call) -> Reply:
        """Ask the hosts in turn; wait for busy ones within bounds. Raises `CliError`."""
        return self._patiently(lambda: self._over_hosts(lambda host: self._whole(host, call)), insists=call.insists)

    @contextmanager
    def stream(self, call: Call) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer whose body is read by the caller. Raises `CliError`; a break in mid-body raises urllib3's `HTTPError`."""
        response = self._patiently(lambda: self._over_hosts(lambda host: self._opened(host, call)))
        try:
            yield response
        finally:
            response.close()

    def _patiently(self, once: Callable[[], T], *, insists: bool = False) -> T:
        try:
            return once()
        except (Busy, Unreachable) as error:
            if isinstance(error, Unreachable) and not (insists and error.begun):
                raise
            from peer.cli.patience import try_again

            return try_again(error, once, self._say, insists=insists)

    def _over_hosts(self, ask: Callable[[Host], T]) -> T:
        down: list[tuple[str, _Down]] = []
        busy: list[Busy] = []
        for host in self._in_turn(more=lambda: not busy):
            try:
                answer = ask(host)
            except _Down as gone:
                down.append((host.url, gone))
                continue
            except Busy as error:
                if error.status == 429:  # a limit on this client: asking another peer would be a way round it
                    raise
                busy.append(error)
                continue
            except CliError as error:
                if host.url not in self._strangers or error.exit_code is not Exit.UNAUTHORISED:
                    raise
                down.append((host.url, _Down(f"{error.what} ({error.remedy})", begun=True)))  # of another mesh, as likely as not
                continue
            if host != self._current and len(down) > 0:
                self._say(f"{down[0][0]} does not answer; going on with {host.url}")
            self._current = host
            self._nearby = None  # a conversation that has begun stays in its mesh
            return answer
        raise min(busy, key=_wish) if busy else self._unreachable(down)

    def _in_turn(self, *, more: Callable[[], bool]) -> Iterator[Host]:
        """The hosts, the one that answered last first; where none has answered and `more` is wanted, those nearby."""
        known = [self._current, *(host for host in self._hosts if host != self._current)]
        yield from known
        if self._nearby is not None and more():
            find, self._nearby = self._nearby, None
            fresh = [host for host in find() if host.url not in {one.url for one in known}]
            self._hosts += fresh
            self._strangers += [host.url for host in fresh]
            yield from fresh

    def _unreachable(self, down: list[tuple[str, _Down]]) -> CliError:
        tried = "; ".join(f"{url}: {gone}" for url, gone in down)
        begun = any(gone.begun for _, gone in down)
        if any(gone.slow for _, gone in down):
            remedy = "try again, or name another peer: -H HOST"
            return Unreachable(Exit.TIMED_OUT, "no peer answered in time", begun=begun, why=tried, remedy=remedy)
        remedy = (
            "start a peer: peerd, or name one: -H HOST"
            if not self._named
            else "is peerd running there? name another peer: -H HOST"
        )
        return Unreachable(Exit.UNREACHABLE, "no peer can be reached", begun=begun, why=tried, remedy=remedy)

    def _whole(self, host: Host, call: Call) -> Reply:
        response = self._sent(host, call)
        try:
            body = whole(response, bounds.REPLY_BYTES_MAX + 1)
        except HTTPError as error:
            raise _Down(f"the answer broke off ({error})", begun=True) from None
        finally:
            response.close()
        reply = Reply(host.url, response.status, response.headers, body)
        if len(body) > bounds.REPLY_BYTES_MAX:
            raise CliError(Exit.ERROR, f"{host.url} answered more than {bounds.REPLY_BYTES_MAX} bytes")
        if not call.any_status:
            _refuse(reply)
        return reply

    def _opened(self, host: Host, call: Call) -> urllib3.BaseHTTPResponse:
        response = self._sent(host, call)
        if 200 <= response.status < 300:
            return response
        try:
            body = whole(response, bounds.REPLY_BYTES_MAX)
        except HTTPError:  # its words are lost, but its status counts
            body = b""
        response.close()
        _refuse(Reply(host.url, response.status, response.headers, body))
        return response

    def _sent(self, host: Host, call: Call) -> urllib3.BaseHTTPResponse:
        try:
            try:
                return self._sent_once(host, call)
            except ProtocolError:
                if call.body is not None:
                    raise
                return self._sent_once(host, call)  # an idle connection that the peer closed just now says nothing about it
        except SSLError as error:
            raise _unverified(host, error) from None
        except (HTTPError, OSError) as error:
            begun = not isinstance(error, NewConnectionError | ConnectTimeoutError)
            raise _Down(_reason(error), begun=begun, slow=isinstance(error, ReadTimeoutError)) from None
        except ValueError as error:  # http.client's word for a header that is none
            raise CliError(Exit.USAGE, "this cannot be said in a request", why=str(error)) from None

    def _sent_once(self, host: Host, call: Call) -> urllib3.BaseHTTPResponse:
        return self._pool(host).urlopen(
            call.method,
            host.url + call.target,
            body=call.body() if call.body is not None else None,
            headers={**self._credentials(host), **call.headers},
            timeout=urllib3.Timeout(connect=call.send_timeout_s, read=call.read_timeout_s),
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _credentials(self, host: Host) -> dict[str, str]:
        base = {"User-Agent": "peerctl", "Accept": "*/*"}
        if host.token is None:
            return base
        if not host.is_private:
            raise CliError(
                Exit.UNAUTHORISED,
                f"the token was not sent to {host.url}",
                why="plain HTTP to another machine: whoever listens would have it",
                remedy="write https://, with --cacert for an authority of the mesh's own, or unset PEERCTL_TOKEN",
            )
        return {**base, "Authorization": f"Bearer {host.token}"}

    def _pool(self, host: Host) -> urllib3.PoolManager:
        key = (host.ca, host.mesh_ca)
        if key not in self._pools:
            self._pools[key] = _make_pool(host)
        return self._pools[key]


def _make_pool(host: Host) -> urllib3.PoolManager:
    if not host.url.startswith("https:") and host.ca is None:
        return ListeningManager(maxsize=bounds.DOWNLOADS_AT_ONCE + 1)
    try:
        context = ssl.create_default_context(cafile=host.ca)
    except (OSError, ssl.SSLError) as error:
        raise CliError(Exit.USAGE, f"cannot use the authority's file {host.ca!r}", why=str(error)) from None
    if host.mesh_ca:
        context.check_hostname = False
        return ListeningManager(maxsize=bounds.DOWNLOADS_AT_ONCE + 1, ssl_context=context, assert_hostname=False)
    return ListeningManager(maxsize=bounds.DOWNLOADS_AT_ONCE + 1, ssl_context=context)


def _wish(busy: Busy) -> float:
    return bounds.BUSY_WAIT_S if busy.retry_after_s is None else busy.retry_after_s


def _refuse(reply: Reply) -> None:
    """Raise what a status other than a success means."""
    if 200 <= reply.status < 300:
        return
    raise from_answer(
        reply.status,
        parse_object(reply.body) or {},
        host=reply.url,
        retry_after=reply.headers.get("Retry-After"),
        request_id=reply.headers.get("X-Request-Id", ""),
    )


def _unverified(host: Host, error: SSLError) -> CliError:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text.lower():
        return CliError(
            Exit.UNREACHABLE,
            f"{host.url} does not speak TLS",
            why=text,
            remedy=f"write http://{host.url.removeprefix('https://')}",
        )
    return CliError(
        Exit.UNAUTHORISED,
        f"{host.url} could not be verified; nothing was sent to it",
        why=text,
        remedy=f"pin the mesh's authority once: peerctl trust {host.url.removeprefix('https://')} --fingerprint F (peerd there "
        "says it at its start), or name it: --cacert FILE",
    )


def _reason(error: Exception) -> str:
    match error:
        case NameResolutionError():  # a kind of the next
            return "the name does not resolve"
        case NewConnectionError():  # a kind of the next
            return "connection refused" if "refused" in str(error) else "no connection"
        case ConnectTimeoutError():
            return "no connection in time"
        case ReadTimeoutError():
            return "connected, but silent"
        case _:
            return f"the connection broke ({type(error).__name__})"
