"""Whatever a peer answers, peerctl ends with a code of its contract and never with a traceback."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from peer.cli.failures import Exit
from tests.fuzzing import changed, deep_json, examples, json_values, spoilt
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

REASON: Final = {"code": "no_renderer", "text": "oak has no renderer", "remedy": "peerctl doctor", "peer": "ab" * 32}
JOB: Final = {
    "id": "ab" * 16, "name": "castle", "state": "held", "priority": 50, "owner": "cd" * 32, "epoch": 1, "replicas": ["cd" * 32],
    "frames": {"total": 3, "pending": 1, "running": 0, "done": 1, "failed": 1, "held": 0}, "progress": 0.3, "eta_s": 4.5,
    "waiting_because": [REASON], "held_because": [REASON], "error": "no", "labels": ["a=b"], "durability": {"copies": 2},
    "submitted_at": "2026-01-02T03:04:05Z", "reasons": [REASON],
}  # fmt: skip
PEER: Final = {
    "id": "cd" * 32, "name": "oak", "state": "alive", "address": "127.0.0.1:1", "slots": {"total": 2, "free": 1},
    "draining": False,
    "capabilities": [{"renderer": "null", "version": "1"}], "checks": [{"name": "disk", "status": "critical", "output": "full"}],
    "labels": {"a": "b"}, "rtt_ms": 1.5, "renderer_reasons": ["none"], "roots": ["farm"], "versions": [1, 1], "spoken": 1,
}  # fmt: skip
ROW: Final = {
    "frame": 1,
    "state": "done",
    "peer": "cd" * 32,
    "attempts": 1,
    "seconds": 2.5,
    "size": 3,
    "reason": "x",
    "generation": 0,
}
WHOLE: Final[dict[str, Any]] = {
    **JOB, "jobs": [JOB], "peers": [PEER], "cursor": None, "views": [{"peer": "cd" * 32, "sees": [PEER], "error": None}],
    "keys": [{"id": "ef" * 8, "primary": True, "holders": 2, "missing": ["cd" * 32], "name": "a", "role": "viewer"}],
    "tokens": [{"id": "ef" * 8, "name": "a", "role": "viewer", "revoked": False, "created_at": "x"}], "unconfirmed": ["cd" * 32],
    "outputs": [{"name": "a.png", "digest": "ab" * 32, "size": 3}], "role": "admin", "key": None,
    "peer": "cd" * 32, "token": "mk_x",
    "datagram": {"sent": 1, "received": 1, "rtt_ms": [0.5]}, "stream": {"sent": 1, "received": 0, "rtt_ms": []},
    "indirect": {"sent": 1, "received": 1, "rtt_ms": [1]}, "helpers": ["ef" * 32],
    "settings": [{"name": "a", "value": "b", "origin": "c"}],
}  # fmt: skip
PAGES: Final = {**WHOLE, "frames": [ROW]}
PROBLEM: Final = {
    "title": "No",
    "status": 404,
    "code": "x",
    "detail": "no such",
    "remedy": "r",
    "errors": [{"field": "a", "message": "b"}],
}
VERBS: Final = (
    ("status",), ("jobs",), ("job", "x"), ("frames", "x"), ("why", "x"), ("peers",), ("peer", "oak"), ("ping", "oak"),
    ("events",), ("fetch", "x"),
    ("whoami",), ("token", "list"), ("token", "create", "a", "--role", "viewer"), ("token", "revoke", "a"), ("keys", "list"),
    ("keys", "use", "ef"), ("logs", "x"), ("config",), ("pause", "x"), ("retry", "x"), ("priority", "x", "5"), ("cancel", "x"),
    ("drain", "oak"), ("rm", "x", "--yes"), ("submit", "--renderer", "null", "-f", "1"),
)  # fmt: skip
FORMATS: Final = ("table", "wide", "json", "name")
SHOWN: Final = {  # what a verb looks at; the others look at one job
    "status": ("peers", "jobs", "cursor"), "jobs": ("jobs", "cursor"), "peers": ("peers", "cursor"), "peer": ("peers", "cursor"),
    "ping": ("datagram", "stream", "indirect", "helpers", "peer"), "keys": ("keys", "unconfirmed"), "config": ("settings",),
    "whoami": ("name", "role", "key", "peer"), "token": ("tokens", "cursor", "id", "name", "role", "token"),
}  # fmt: skip


def documents(verb: str) -> st.SearchStrategy[Any]:
    """What a peer might answer to this verb, with something else here and there."""
    names = SHOWN.get(verb, ())
    good = {name: WHOLE[name] for name in names} if names else WHOLE
    return st.sampled_from([good, PAGES] if verb in ("frames", "fetch", "logs") else [good]).flatmap(spoilt)


def answers(verb: str) -> st.SearchStrategy[bytes]:
    """The bytes of any body."""
    return (
        documents(verb).map(json.dumps).map(str.encode)
        | json_values.map(json.dumps).map(str.encode)
        | st.just(json.dumps(WHOLE).encode()).flatmap(changed)
        | deep_json.map(lambda text: b'{"jobs": %s}' % text.encode())
        | st.binary(max_size=20)
    )


@pytest.fixture
def lying(mesh: FakeMesh, peer: FakePeer) -> list[web.Response]:
    """What the peer answers to everything: the one answer in the list."""
    said: list[Any] = []

    async def mishap(request: web.Request) -> web.StreamResponse:
        status, body, headers = said[0]
        if request.path.endswith("/events"):
            body = b"id: 1\nevent: x\ndata: " + body.replace(b"\n", b" ") + b"\n\n"
            headers = {"Content-Type": "text/event-stream", **headers}
        return web.Response(status=status, body=body, headers=headers)

    mesh.mishaps.append(mishap)
    return said


def said(verb: tuple[str, ...], body: Any) -> tuple[tuple[str, ...], bytes]:
    """A verb and what it is answered, for an example."""
    return verb, json.dumps(body).encode()


@examples(150)
@given(st.sampled_from(VERBS).flatmap(lambda verb: st.tuples(st.just(verb), answers(verb[0]))), st.sampled_from(FORMATS))
@example(said(("status",), {"jobs": [{**JOB, "state": []}]}), "table")
@example(said(("keys", "list"), {"keys": None}), "table")
@example(said(("ping", "oak"), {"datagram": {"rtt_ms": [None]}}), "table")
@example((("jobs",), b'{"jobs": [{"progress": NaN}]}'), "table")
@example((("jobs",), b'{"jobs": [{"eta_s": 1e999}]}'), "table")
@example((("jobs",), b'{"jobs": ' + b"[" * 100_000), "table")
@example((("events",), b"[" * 100_000), "table")
def test_any_document_is_shown_or_refused(
    lying: list[Any], peerctl: Peerctl, asked: tuple[tuple[str, ...], bytes], how: str
) -> None:
    verb, body = asked
    lying[:] = [(200, body, {})]
    assert peerctl(*verb, "-o", how).code in tuple(Exit)


HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-Request-Id", "Date", "Content-Type", "Location", "Content-Encoding"]),
    st.sampled_from(
        ["0", "x", "9" * 400, "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "gzip", "\u00b2", " "]
    ),
    max_size=2,
)
STATUSES = st.sampled_from([301, 400, 401, 404, 409, 422, 500, 502])


@examples(60)
@given(st.sampled_from(VERBS), STATUSES, HEADERS, spoilt(PROBLEM).map(json.dumps).map(str.encode) | answers("job"))
@example(("events",), 400, {"Content-Encoding": "gzip"}, b"this is not gzip")
def test_any_refusal_is_said(
    lying: list[Any], peerctl: Peerctl, verb: tuple[str, ...], status: int, headers: dict[str, str], body: bytes
) -> None:
    lying[:] = [(status, body, headers)]
    ran = peerctl(*verb)
    assert ran.code in tuple(Exit)
    assert ran.code != 0
