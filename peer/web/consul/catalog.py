"""`/v1/catalog`, `/v1/health` and `/v1/status`: everyone's services and checks, from any peer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from peer.ports import Registry
from peer.web.consul.queries import answer, fits_meta, fits_tags, is_set, registry_of, reply
from peer.web.consul.shapes import address_text, catalog_service_json, check_json, node_json, service_json
from protocol.services import ALL_CHECKS, ALL_NODES, ALL_SERVICES, CheckSeen, ServiceSeen, node_topic, service_topic

# catalog


async def list_datacenters(request: web.Request) -> web.StreamResponse:
    """This mesh."""
    return reply(request, [registry_of(request).datacenter])


async def list_nodes(request: web.Request) -> web.StreamResponse:
    """Peers that have not left."""

    def make(registry: Registry) -> Any:
        return [node_json(node, registry.datacenter) for node in registry.nodes() if fits_meta(request, node)]

    return await answer(request, [ALL_NODES], make)


async def list_services(request: web.Request) -> web.StreamResponse:
    """Names, each with the tags of all its instances."""

    def make(registry: Registry) -> Any:
        if "node-meta" not in request.query:
            return registry.names()
        tags: dict[str, set[str]] = {}
        for node in registry.nodes():
            for seen in registry.services(node) if fits_meta(request, node) else ():
                tags.setdefault(seen.service.name, set()).update(seen.service.tags)
        return {name: sorted(tags[name]) for name in sorted(tags)}

    return await answer(request, [ALL_SERVICES], make)


async def list_instances(request: web.Request) -> web.StreamResponse:
    """The instances of a service, whatever their health."""
    name = request.match_info["service"]

    def make(registry: Registry) -> Any:
        return [catalog_service_json(seen, registry.datacenter) for seen in _instances(request, registry, name)]

    return await answer(request, [service_topic(name)], make)


async def get_node(request: web.Request) -> web.StreamResponse:
    """A peer and its services; null when there is none of that name."""

    def make(registry: Registry) -> Any:
        node = registry.node(request.match_info["node"])
        if node is None:
            return None
        services = {seen.service.id: service_json(seen) for seen in registry.services(node)}
        return {"Node": node_json(node, registry.datacenter), "Services": services}

    return await answer(request, _node_topics(request), make)


# health


async def list_health(request: web.Request) -> web.StreamResponse:
    """The instances of a service with every check that speaks about them; `?passing`: only where all of them pass."""
    name, passing = request.match_info["service"], is_set(request, "passing")

    def make(registry: Registry) -> Any:
        rows = []
        for seen in _instances(request, registry, name):
            checks = registry.checks_for(seen)
            if not passing or all(check.check.status == "passing" for check in checks):
                rows.append(
                    {
                        "Node": node_json(seen.node, registry.datacenter),
                        "Service": service_json(seen),
                        "Checks": [check_json(check) for check in checks],
                    }
                )
        return rows

    return await answer(request, [service_topic(name)], make)


async def list_node_checks(request: web.Request) -> web.StreamResponse:
    """Every check of a peer."""

    def make(registry: Registry) -> Any:
        node = registry.node(request.match_info["node"])
        return [] if node is None else [check_json(check) for check in registry.checks(node)]

    return await answer(request, _node_topics(request), make)


async def list_service_checks(request: web.Request) -> web.StreamResponse:
    """The checks of a service's instances, those of their peers not included."""
    name = request.match_info["service"]

    def make(registry: Registry) -> Any:
        checks = (check for check in registry.checks_of_all() if check.service is not None and check.service.name == name)
        return _fitting(request, checks)

    return await answer(request, [service_topic(name)], make)


async def list_checks_by_state(request: web.Request) -> web.StreamResponse:
    """Checks of a status, or of `any`."""
    state = request.match_info["state"]

    def make(registry: Registry) -> Any:
        return _fitting(request, (check for check in registry.checks_of_all() if state in ("any", check.check.status)))

    return await answer(request, [ALL_CHECKS], make)


# status


async def get_leader(request: web.Request) -> web.StreamResponse:
    """There is none, and none is needed: the live peer that comes first by a hash, so that all name the same one."""
    leader = registry_of(request).leader()
    return reply(request, "" if leader is None else address_text(leader))


async def list_status_peers(request: web.Request) -> web.StreamResponse:
    """Every live peer: each answers for all."""
    nodes = registry_of(request).nodes()
    return reply(request, [address_text(node) for node in nodes if node.state in ("alive", "suspect") and node.port])


def _instances(request: web.Request, registry: Registry, name: str) -> list[ServiceSeen]:
    return [seen for seen in registry.instances(name) if fits_tags(request, seen) and fits_meta(request, seen.node)]


def _fitting(request: web.Request, checks: Iterable[CheckSeen]) -> list[dict[str, Any]]:
    return [check_json(check) for check in checks if fits_meta(request, check.node)]


def _node_topics(request: web.Request) -> list[str]:
    """A peer that is not there yet may come: then the whole list is what can change."""
    node = registry_of(request).node(request.match_info["node"])
    return [ALL_NODES] if node is None else [node_topic(node.peer)]
