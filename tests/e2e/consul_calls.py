"""The same calls to a peer and to a real Consul agent, and how their answers differ once names and numbers are taken away."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3

LIST: Final = Path(__file__).with_name("consul_differences.toml")
SHOWN_CHARS: Final = 100
KEYS: Final = ("CheckID", "ID", "Node", "Name")
NUMBERS: Final = frozenset({"CreateIndex", "ModifyIndex", "ContentHash", "Port"})
_PORT: Final = re.compile(r"127\.0\.0\.1:\d+")
PRESENT, ABSENT = "present", "absent"

WEB: Final = {
    "Name": "web", "ID": "web-1", "Port": 80, "Address": "127.0.0.1", "Tags": ["a", "b"], "meta": {"x": "y"},
    "Check": {"ttl": "60s", "notes": "n"},
}  # fmt: skip

# (method, path, body); {node} is the agent's name, {http} a URL that answers 200. The order matters.
CALLS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("GET", "status/leader", None),
    ("GET", "status/peers", None),
    ("GET", "agent/self", None),
    ("GET", "agent/members", None),
    ("GET", "agent/services", None),
    ("GET", "agent/checks", None),
    ("GET", "catalog/datacenters", None),
    ("GET", "catalog/nodes", None),
    ("GET", "catalog/services", None),
    ("GET", "catalog/node/{node}", None),
    ("GET", "health/node/{node}", None),
    ("GET", "health/state/any", None),
    ("PUT", "agent/service/register", WEB),
    ("GET", "agent/services", None),
    ("GET", "agent/service/web-1", None),
    ("GET", "agent/checks", None),
    ("GET", "catalog/services", None),
    ("GET", "catalog/service/web", None),
    ("GET", "health/service/web", None),
    ("GET", "health/service/web?passing", None),
    ("GET", "health/checks/web", None),
    ("GET", "health/state/critical", None),
    ("GET", "agent/health/service/name/web", None),
    ("GET", "agent/health/service/id/web-1", None),
    ("GET", "agent/health/service/id/web-1?format=text", None),
    ("PUT", "agent/check/pass/service:web-1?note=fine", None),
    ("GET", "agent/checks", None),
    ("GET", "agent/health/service/name/web", None),
    ("PUT", "agent/check/warn/service:web-1", None),
    ("GET", "agent/health/service/id/web-1?format=text", None),
    ("PUT", "agent/check/update/service:web-1", {"Status": "passing", "Output": "well"}),
    ("GET", "agent/checks", None),
    ("PUT", "agent/service/maintenance/web-1?enable=true&reason=why", None),
    ("GET", "agent/checks", None),
    ("GET", "agent/health/service/id/web-1?format=text", None),
    ("PUT", "agent/service/maintenance/web-1?enable=false", None),
    ("PUT", "agent/check/register", {"Name": "load", "TTL": "1m"}),
    ("PUT", "agent/check/fail/load?note=high", None),
    ("GET", "agent/checks", None),
    ("PUT", "agent/check/deregister/load", None),
    ("PUT", "agent/service/register", {"Name": "bare"}),
    ("GET", "agent/service/bare", None),
    ("GET", "health/service/bare", None),
    ("GET", "catalog/service/bare", None),
    ("PUT", "agent/service/register", {"Name": "two", "Checks": [{"TTL": "1m"}, {"TTL": 60000000000, "Status": "passing"}]}),
    ("GET", "health/checks/two", None),
    ("PUT", "agent/service/register", {"name": "snake", "enable_tag_override": True, "tagged_addresses": {}}),
    ("GET", "agent/service/snake", None),
    ("PUT", "agent/service/register", {"Name": "odd", "ID": "ü/ä ?", "Tags": None}),
    ("GET", "agent/service/%C3%BC%2F%C3%A4%20%3F", None),
    ("PUT", "agent/service/deregister/%C3%BC%2F%C3%A4%20%3F", None),
    ("GET", "agent/service/%C3%BC%2F%C3%A4%20%3F", None),
    # what is not there, and what is wrong
    ("GET", "health/service/none", None),
    ("GET", "catalog/service/none", None),
    ("GET", "catalog/node/none", None),
    ("GET", "health/node/none", None),
    ("GET", "health/checks/none", None),
    ("GET", "health/state/bogus", None),
    ("GET", "agent/service/none", None),
    ("GET", "agent/health/service/id/none", None),
    ("GET", "agent/health/service/name/none", None),
    ("PUT", "agent/service/deregister/none", None),
    ("PUT", "agent/check/deregister/none", None),
    ("PUT", "agent/check/pass/none", None),
    ("PUT", "agent/check/update/web-1", {"Status": "bad"}),
    ("PUT", "agent/service/maintenance/none?enable=true", None),
    ("PUT", "agent/service/maintenance/web-1", None),
    ("PUT", "agent/service/maintenance/web-1?enable=x", None),
    ("PUT", "agent/service/register", {}),
    ("PUT", "agent/service/register", b"garbage"),
    ("PUT", "agent/service/register", {"Name": "w", "Port": "80"}),
    ("PUT", "agent/service/register", {"Name": "w", "Check": {"HTTP": "http://127.0.0.1/", "Interval": "soon"}}),
    ("PUT", "agent/check/register", {}),
    ("PUT", "agent/check/register", {"Name": "n"}),
    ("PUT", "agent/check/register", {"Name": "n", "HTTP": "http://127.0.0.1/"}),
    ("PUT", "agent/check/register", {"Name": "n", "HTTP": "http://127.0.0.1/", "Interval": "1s", "TTL": "1s"}),
    ("PUT", "agent/check/register", {"Name": "n", "TTL": "1s", "ServiceID": "none"}),
    ("PUT", "agent/check/register", {"Name": "n", "Args": ["true"], "Interval": "1s"}),
    ("GET", "health/service/web?index=x", None),
    ("GET", "health/service/web?index=1&wait=x", None),
    ("GET", "health/service/web?dc=other", None),
    ("GET", "agent/check/pass/service:web-1", None),
    ("PUT", "agent/force-leave/none", None),
    ("PUT", "agent/join/127.0.0.1:1", None),
    ("PUT", "agent/service/deregister/web-1", None),
    ("GET", "health/service/web", None),
    ("GET", "agent/checks", None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which an answer differs: `at` is a path in it, `ours` and `theirs` are texts."""

    at: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Agent:
    """Where a peer or an agent listens, and how it calls itself."""

    url: str
    node: str
    id: str
    datacenter: str
    version: str

    def plain(self, value: Any) -> Any:
        """An answer without what is this agent's alone."""
        if isinstance(value, dict):
            return {self._text(key): self._member(key, one) for key, one in value.items()}
        if isinstance(value, list):
            rows = [self.plain(one) for one in value]
            return sorted(rows) if all(isinstance(one, str) for one in rows) else rows  # Go draws the order of some anew
        return self._text(value) if isinstance(value, str) else value

    def _member(self, key: str, value: Any) -> Any:
        if key in NUMBERS and isinstance(value, int | str):
            return f"a {key}"
        if key in ("Tags", "Meta") and isinstance(value, dict) and {"role", "version", "consul-network-segment"} & set(value):
            return "keys: " + " ".join(sorted(value))
        if key == "Definition":
            return "filled" if value else "empty"
        if key in ("Stats", "DebugConfig", "Coord"):
            return "whatever is in it"
        return self.plain(value)

    def _text(self, text: str) -> str:
        for mine, name in (
            (self.node, "NODE"),
            (self.id, "ID"),
            (self.url.removeprefix("http://"), "ADDRESS"),
            (self.version, "VERSION"),
        ):
            text = text.replace(mine, name)
        return "DC" if text == self.datacenter else _PORT.sub("127.0.0.1:PORT", text)


def ask(pool: urllib3.PoolManager, agent: Agent, method: str, path: str, body: Any) -> dict[str, Any]:
    """One call; status, the headers that clients look at, and the body, as plain as can be."""
    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    reply = pool.request(method, f"{agent.url}/v1/{path.format(node=agent.node)}", body=sent)
    headers = {
        name: reply.headers.get(name) for name in ("X-Consul-KnownLeader", "X-Consul-LastContact", "X-Consul-Reason", "Allow")
    }
    kind = (reply.headers.get("Content-Type") or "").partition(";")[0]
    text = reply.data.decode()
    index = reply.headers.get("X-Consul-Index")
    return {
        "status": str(reply.status),
        "kind": kind if text else "",
        "headers": {name: value for name, value in headers.items() if value is not None}
        | ({"X-Consul-Index": "above zero" if int(index) > 0 else index} if index is not None else {}),
        "body": agent.plain(json.loads(text) if kind == "application/json" else text.strip()),
    }


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[Difference]:
    """Where two plain answers differ. Rows of lists are matched by what names them."""
    if isinstance(ours, list) and isinstance(theirs, list) and (_rows(ours) or _rows(theirs)):
        ours, theirs = _by_name(ours), _by_name(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            where = f"{at}.{key}" if at else key
            if key not in ours or key not in theirs:
                yield Difference(_wild(where), PRESENT if key in ours else ABSENT, PRESENT if key in theirs else ABSENT)
            else:
                yield from differences(ours[key], theirs[key], where)
    elif ours != theirs:
        yield Difference(_wild(at), _shown(ours), _shown(theirs))


def _rows(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(one, dict) for one in value)


def _by_name(rows: list[Any]) -> dict[str, Any]:
    return {f"[{_name(row)}]": row for row in rows}


def _name(row: Mapping[str, Any]) -> str:
    inner = row.get("Service")
    if isinstance(inner, dict):
        return str(inner["ID"])
    return next((str(row[key]) for key in KEYS if key in row), "?")


def _wild(at: str) -> str:
    """Our own checks are many, and differ from an agent's in one way."""
    begin = at.find("[rendermesh:")
    return at if begin < 0 else at[:begin] + "[rendermesh:*]"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:SHOWN_CHARS]


def listed() -> dict[Difference, list[str]]:
    """The committed list: calls by difference. Each entry has a reason."""
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["difference"]
    assert all(row["reason"].strip() for row in rows)
    return {Difference(row["at"], row["ours"], row["theirs"]): sorted(row["calls"]) for row in rows}
