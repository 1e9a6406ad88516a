"""Any request whatever, as bytes over a real connection: each is answered, and never with an error of our own."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from peer.web.route import Route
from peer.web.routes import TABLE
from tests.fuzzing import changed, examples, json_values, spoilt, texts
from tests.peer.web.conftest import SCENE, WebPeer

ANSWER_S: Final = 30.0  # a request that takes longer hangs
HEAD_ENDS: Final = b"\r\n\r\n"
MEANT: Final = frozenset({b"No path to datacenter", b"Job failed", b"Job cancelled"})  # these are 500 in other people's shapes
HEADERS: Final = (
    "Host", "Origin", "Range", "If-Range", "If-None-Match", "Last-Event-ID", "Idempotency-Key", "Authorization", "X-API-Key",
    "X-Consul-Token", "X-Request-Id", "Accept", "Accept-Encoding", "traceparent", "X-Rendermesh-Role", "Cookie",
    "X-Rendermesh-Submitter", "Forwarded", "Content-Encoding",
)  # fmt: skip
VALUES: Final = (
    "", "http://[", "//[::1", "http://a]", "[::1", "127.0.0.1", "localhost:99999", "a.localhost:x", "bytes=0-", "bytes=-0",
    "bytes=9-1", "bytes=" + "9" * 4_500 + "-", "Bearer", "Bearer x", "Basic eDp5", "mk_0_0", '"x"', "*", "W/*", "100-continue",
    "gzip", "deflate",
)  # fmt: skip
FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="renderer"\r\n\r\nnull\r\n'
    b'--b\r\nContent-Disposition: form-data; name="frames"\r\n\r\n1-3\r\n'
    b'--b\r\nContent-Disposition: form-data; name="settings"\r\n\r\n{"frame_ms": 1}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="scene"; filename="a b.blend"\r\nContent-Type: application/octet-stream\r\n\r\n'
    + SCENE
    + b"\r\n--b--\r\n"
)
BODIES: Final[tuple[dict[str, Any], ...]] = (
    {"renderer": "null", "frames": "1-3", "label": ["a=b"], "settings": {"a": [1]}, "scene": {"blob": "0" * 64}},
    {"from": 1, "to": 3, "renderer": "null"},
    {"name": "key", "role": "viewer"},
    {"key": "rendermesh-key-1:x:y", "expel": ["one"]},
    {"force": True},
    {"frames": "1-2", "include_done": True, "replaces": 1},
    {"priority": 3, "on_warning": "hold", "accept": ["x"]},
    {"Name": "w", "ID": "w", "Check": {"TTL": "10s"}, "Status": "passing", "Output": "fine"},
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `params` fill the braces of the route's path."""

    route: Route
    params: tuple[str, ...]
    queries: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes
    content_type: str

    def data(self, host: str) -> bytes:
        """The request as it goes over the wire."""
        params = iter(self.params)
        path = re.sub(r"\{[^}]*\}", lambda _: _quoted(next(params)), self.route.path)
        query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in self.queries)
        own = [
            ("Host", host),
            ("Connection", "close"),
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
        ]
        named = {name.lower() for name, _ in self.headers}
        rows = [*self.headers, *((name, value) for name, value in own if name.lower() not in named)]
        head = "".join(f"{name}: {value}\r\n" for name, value in rows)
        target = f"{path}?{query}" if query else path
        return f"{self.route.method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + self.body


def _quoted(text: str) -> str:
    return quote(
        text.encode("utf-8", "surrogateescape" if "\udc80" <= max(text, default="") <= "\udcff" else "replace")[:3_000], safe=""
    )


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    route = draw(st.sampled_from(TABLE))
    names = [query.name for query in route.queries if query.name != "follow"] or ["x"]
    known = st.sampled_from([*names, "dc", "wait", "pretty", "tag", "node-meta", "note", "enable", "format"])
    value = texts | st.sampled_from(["1", "true", "10ms", "one", "1-3", "alive", "done", "a:b"])
    queries = draw(st.lists(st.tuples(known | texts, value), max_size=3))
    if "events" in route.path:
        queries.append(("follow", "false"))
    line = st.sampled_from(VALUES) | st.text(
        st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12
    )
    headers = draw(st.lists(st.tuples(st.sampled_from(HEADERS), line), max_size=3, unique_by=lambda row: row[0]))
    if draw(st.integers(0, 9)) == 0:  # plain letters: of others aiohttp's own answer makes 500, at paths that lead nowhere
        headers.append(("Expect", draw(st.sampled_from(["100-continue", "100-Continue", "x", ""]))))
    params = tuple(draw(texts.filter(bool) | st.sampled_from(["one", "1", "null"])) for _ in range(route.path.count("{")))
    said = st.sampled_from(BODIES).flatmap(spoilt) | json_values
    body = draw(said.map(json.dumps).map(str.encode) | st.just(b"") | changed(FORM) | st.just(FORM) | st.binary(max_size=40))
    kinds = [
        "application/json",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "text/plain",
        "multipart/mixed; boundary=b",
        "\xff",
    ]
    return Asked(route, params, tuple(queries), tuple(headers), body, draw(st.sampled_from(kinds)))


async def answered(peer: WebPeer, asked: Asked) -> tuple[int, bytes]:
    """(status, body) of the last answer on the connection."""
    host, port = peer.client.server.host, peer.client.server.port
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(asked.data(f"{host}:{port}"))
            data = await reader.read(-1)
        except ConnectionError:  # refused before it was read to its end
            data = b""
        finally:
            writer.close()
    data = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = data.partition(HEAD_ENDS)
    return int(head.split(b" ")[1]) if head else 400, body


def by_path(method: str, path: str) -> Route:
    return next(route for route in TABLE if (route.method, route.path) == (method, path))


def plain(method: str, path: str, *, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"{}") -> Asked:
    route = by_path(method, path)
    return Asked(route, ("1",) * path.count("{"), (), headers, body, "application/json")


@examples(250)
@given(requests())
@example(plain("POST", "/api/v1/jobs", headers=(("Origin", "http://["),)))
@example(plain("GET", "/api/v1/jobs", headers=(("Host", "[::1"),)))
@example(plain("PUT", "/v1/agent/check/update/{id:.+}", body=b'{"Status": "\\ud800"}'))
@example(plain("PUT", "/v1/agent/check/register", body=b'{"Name": "c", "TTL": "\\ud800"}'))
async def test_every_request_is_answered_without_an_error_of_ours(peer: WebPeer, asked: Asked):
    status, body = await answered(peer, asked)
    assert status != 500 or body in MEANT, (status, body[:500])
    assert 200 <= status < 600
