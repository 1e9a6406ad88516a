"""`/v1/agent`: this very peer's services and checks, and its place in the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiohttp import web

from peer.ports import Registry
from peer.web.consul.bodies import check_definition, registration, status_of
from peer.web.consul.fields import bad, plain_text, read_fields
from peer.web.consul.queries import FALSE, TRUE, done, is_set, registry_of, reply
from peer.web.consul.shapes import member_json, node_id, own_check_json, own_service_json
from peer.web.problems import Refused
from peer.web.site import site_of
from protocol import limits
from protocol.cards import CheckStatus
from protocol.errors import NotFound
from protocol.services import (
    CheckRow,
    DeregisterCheck,
    DeregisterService,
    NodeSeen,
    RegisterCheck,
    RegisterService,
    Service,
    SetMaintenance,
    UpdateTtl,
)

AGGREGATED: Final = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}
WORSE: Final = tuple(AGGREGATED)

# the mesh


async def get_self(request: web.Request) -> web.StreamResponse:
    """Who answers here."""
    registry = registry_of(request)
    me = _me(registry)
    version = site_of(request).options.version
    return reply(
        request,
        {
            "Config": {
                "Datacenter": registry.datacenter,
                "NodeName": me.name,
                "NodeID": node_id(me.peer),
                "Revision": "",
                "Server": True,
                "Version": version,
            },
            "Member": _members(registry, [me])[0],
            "Meta": dict(me.meta),
            "Stats": {
                "agent": {"checks": str(len(registry.own_checks())), "services": str(len(registry.own_services()))},
                "build": {"version": version},
                "mesh": {"members": str(len(registry.members())), "index": str(registry.index)},
            },
        },
    )


async def list_members(request: web.Request) -> web.StreamResponse:
    """Every peer, those that failed or left included."""
    registry = registry_of(request)
    return reply(request, _members(registry, registry.members()))


def _members(registry: Registry, nodes: Sequence[NodeSeen]) -> list[Any]:
    spoken = registry.protocols([node.peer for node in nodes])
    return [member_json(node, registry.datacenter, protocol) for node, protocol in zip(nodes, spoken, strict=True)]


async def join(request: web.Request) -> web.StreamResponse:
    """Meet a peer."""
    try:
        await registry_of(request).join(request.match_info["address"])
    except ValueError as error:
        raise bad(str(error)) from None
    return done()


async def leave(request: web.Request) -> web.StreamResponse:
    """Finish what is under way, leave the mesh, end."""
    await registry_of(request).leave()
    return done()


async def force_leave(request: web.Request) -> web.StreamResponse:
    """Take a failed peer out of the mesh."""
    text = request.match_info["node"]
    found = [node for node in registry_of(request).members() if text in (node.name, node.peer)]
    if not found:
        raise NotFound("no_such_node", f"agent: No node found with name '{text}'")
    await registry_of(request).force_leave(found[0].peer)
    return done()


# services


async def list_own_services(request: web.Request) -> web.StreamResponse:
    """By id."""
    return reply(request, {service.id: own_service_json(service) for service in registry_of(request).own_services()})


async def get_own_service(request: web.Request) -> web.StreamResponse:
    """One."""
    return reply(request, own_service_json(_service(registry_of(request), request.match_info["id"])))


async def register_service(request: web.Request) -> web.StreamResponse:
    """Add or replace one, with its checks."""
    registry = registry_of(request)
    replace = is_set(request, "replace-existing-checks")
    command: RegisterService = registration(await read_fields(request), registry.target_refusal, replace_checks=replace)
    await registry.change(command)
    return done()


async def deregister_service(request: web.Request) -> web.StreamResponse:
    """Forget one and its checks."""
    await registry_of(request).change(DeregisterService(request.match_info["id"]))
    return done()


async def maintain_service(request: web.Request) -> web.StreamResponse:
    """Out of order, or in order again."""
    text = request.query.get("enable", "")
    if not text:
        raise bad("Missing value for enable")
    if text not in TRUE | FALSE:
        raise bad(f'Invalid value for enable: "{text[:40]}"')
    reason = plain_text(request.query.get("reason", ""), "reason", limits.CHECK_NOTES_CHARS_MAX)
    await registry_of(request).change(SetMaintenance(request.match_info["id"], text in TRUE, reason))
    return done()


# checks


async def list_own_checks(request: web.Request) -> web.StreamResponse:
    """By id, with the newest output."""
    registry = registry_of(request)
    name, services = _me(registry).name, {service.id: service for service in registry.own_services()}
    rows = {check.id: own_check_json(check, name, services.get(check.service)) for check in registry.own_checks()}
    return reply(request, rows)


async def register_check(request: web.Request) -> web.StreamResponse:
    """Add or replace one."""
    registry = registry_of(request)
    await registry.change(RegisterCheck(check_definition(await read_fields(request), registry.target_refusal)))
    return done()


async def deregister_check(request: web.Request) -> web.StreamResponse:
    """Forget one."""
    await registry_of(request).change(DeregisterCheck(request.match_info["id"]))
    return done()


async def pass_check(request: web.Request) -> web.StreamResponse:
    """The application is well."""
    return await _update(request, "passing", request.query.get("note", ""))


async def warn_check(request: web.Request) -> web.StreamResponse:
    """The application is not quite well."""
    return await _update(request, "warning", request.query.get("note", ""))


async def fail_check(request: web.Request) -> web.StreamResponse:
    """The application is out of order."""
    return await _update(request, "critical", request.query.get("note", ""))


async def update_check(request: web.Request) -> web.StreamResponse:
    """The application says how it is, and why."""
    body = await read_fields(request)
    text, output = body.value("Status"), body.value("Output")
    status = status_of(text) if isinstance(text, str) else None
    if status is None:
        raise bad(f"Invalid check status: '{str(text or '')[:40]}'")
    return await _update(request, status, output if isinstance(output, str) else "")


async def _update(request: web.Request, status: CheckStatus, output: str) -> web.StreamResponse:
    await registry_of(request).change(UpdateTtl(request.match_info["id"], status, output))
    return done()


# health of this peer's services in a word


async def get_health_by_id(request: web.Request) -> web.StreamResponse:
    """One service here: 200 passing, 429 warning, 503 critical or in maintenance, 404 unknown."""
    registry, key = registry_of(request), request.match_info["id"]
    found = next((service for service in registry.own_services() if service.id == key), None)
    if found is None:
        nobody: dict[str, Any] = {"AggregatedStatus": "critical", "Service": None, "Checks": []}
        return _word(request, nobody, "critical", status=404, reason=f"ServiceId {_header(key)} not found")
    row = _aggregated(registry, found)
    return _word(request, row, row["AggregatedStatus"])


async def get_health_by_name(request: web.Request) -> web.StreamResponse:
    """Every instance here; the status is the worst of them."""
    registry, name = registry_of(request), request.match_info["service"]
    rows = [_aggregated(registry, service) for service in registry.own_services() if service.name == name]
    if not rows:
        return _word(request, [], "critical", status=404, reason=f"ServiceName {_header(name)} Not Found")
    return _word(request, rows, _worst(row["AggregatedStatus"] for row in rows))


def _aggregated(registry: Registry, service: Service) -> dict[str, Any]:
    checks = [check for check in registry.own_checks() if check.service in ("", service.id)]
    name = _me(registry).name
    rows = [own_check_json(check, name, service if check.service else None) for check in checks]
    return {
        "AggregatedStatus": _worst(_weight(check) for check in checks),
        "Service": own_service_json(service),
        "Checks": rows,
    }


def _weight(check: CheckRow) -> str:
    return "maintenance" if check.kind == "maintenance" else check.status


def _worst(words: Iterable[str]) -> str:
    return max(words, key=WORSE.index, default="passing")


def _word(request: web.Request, value: Any, word: str, *, status: int | None = None, reason: str = "") -> web.StreamResponse:
    code = AGGREGATED[word] if status is None else status
    headers = {"X-Consul-Reason": reason or word}
    if request.query.get("format") == "text" or "text/plain" in request.headers.get("Accept", ""):
        return web.Response(status=code, text=word, headers=headers)
    return reply(request, value, status=code, headers=headers)


def _header(text: str) -> str:
    """What may stand in a header."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text[:80])


def _service(registry: Registry, key: str) -> Service:
    for service in registry.own_services():
        if service.id == key:
            return service
    raise NotFound("no_such_service", f"unknown service ID: {key[:120]}")


def _me(registry: Registry) -> NodeSeen:
    me = next((node for node in registry.members() if node.peer == registry.me), None)
    if me is None:
        raise Refused(503, "starting", "this peer does not know itself yet; try again", headers={"Retry-After": "1"})
    return me
