"""The routes under `/v1`, with their permissions: reading needs viewer, changing a peer's services and checks operator."""

from __future__ import annotations

from typing import Final, Literal

from peer.web.consul import agent, catalog
from peer.web.route import Answer, Query, Route
from peer.web.site import Handler

PLAIN: Final = "text/plain"
_DONE: Final = (Answer(200, "Done; no body"), Answer(400, "What is wrong", PLAIN))
_NODE_META: Final = Query("node-meta", "Only of peers with this label, key:value; repeat")
_WAITING: Final = (
    Query("index", "Wait until this is no longer the newest: the X-Consul-Index of an earlier answer", "integer"),
    Query("wait", "At most so long: 30s, 5m; 5m when nothing is said, at most 10m"),
    Query("dc", "The mesh's name"),
    Query("stale", "Taken, and without effect: every peer answers from what it knows"),
    Query("consistent", "Taken, and without effect"),
    Query("pretty", "For people to read"),
)
_TAGS: Final = (Query("tag", "Only with this tag; repeat"), _NODE_META)
_NOTE: Final = (Query("note", "Shown as the check's output"),)
_WORD: Final = (
    Answer(200, "Passing", "application/json"),
    Answer(404, "Unknown", "application/json"),
    Answer(429, "Warning", "application/json"),
    Answer(503, "Critical, or in maintenance", "application/json"),
)
_FORMAT: Final = (Query("format", "text: one word instead of JSON"),)


def _read(path: str, handler: Handler, summary: str, *queries: Query) -> Route:
    """A list or a row; `_WAITING` among the queries says that it may wait."""
    return Route("GET", f"/v1/{path}", handler, "viewer", summary, (Answer(200, summary, "application/json"),), queries=queries)


def _change(
    path: str, handler: Handler, summary: str, *queries: Query, permission: Literal["operator", "admin"] = "operator"
) -> Route:
    return Route("PUT", f"/v1/{path}", handler, permission, summary, _DONE, queries=queries)


def _word(path: str, handler: Handler, summary: str) -> Route:
    return Route("GET", f"/v1/{path}", handler, "viewer", summary, _WORD, queries=_FORMAT)


CONSUL: Final = (
    _read("agent/self", agent.get_self, "This peer."),
    _read("agent/members", agent.list_members, "Peers with their states: 1 alive, 3 left, 4 failed."),
    _read("agent/services", agent.list_own_services, "Services registered at this peer."),
    _read("agent/service/{id:.+}", agent.get_own_service, "One service of this peer."),
    _change(
        "agent/service/register",
        agent.register_service,
        "Register a service and its checks at this peer.",
        Query("replace-existing-checks", "Its other checks go", "boolean"),
    ),
    _change("agent/service/deregister/{id:.+}", agent.deregister_service, "Forget a service and its checks."),
    _change(
        "agent/service/maintenance/{id:.+}",
        agent.maintain_service,
        "Mark a service as out of order.",
        Query("enable", "true or false"),
        Query("reason", "Shown with it"),
    ),
    _read("agent/checks", agent.list_own_checks, "Checks registered at this peer."),
    _change("agent/check/register", agent.register_check, "Register a check."),
    _change("agent/check/deregister/{id:.+}", agent.deregister_check, "Forget a check."),
    _change("agent/check/pass/{id:.+}", agent.pass_check, "A TTL check passes.", *_NOTE),
    _change("agent/check/warn/{id:.+}", agent.warn_check, "A TTL check warns.", *_NOTE),
    _change("agent/check/fail/{id:.+}", agent.fail_check, "A TTL check fails.", *_NOTE),
    _change("agent/check/update/{id:.+}", agent.update_check, "Status and output of a TTL check."),
    _word("agent/health/service/name/{service:.+}", agent.get_health_by_name, "A service at this peer, in a word."),
    _word("agent/health/service/id/{id:.+}", agent.get_health_by_id, "One instance at this peer, in a word."),
    _change("agent/join/{address:.+}", agent.join, "Meet the peer at this address."),
    _change("agent/leave", agent.leave, "Finish what is under way, leave the mesh and end.", permission="admin"),
    _change("agent/force-leave/{node}", agent.force_leave, "Take a failed peer out of the mesh."),
    _read("catalog/datacenters", catalog.list_datacenters, "The mesh's name."),
    _read("catalog/nodes", catalog.list_nodes, "Peers that have not left.", *_WAITING, _NODE_META),
    _read("catalog/services", catalog.list_services, "Names of services with all their tags.", *_WAITING, _NODE_META),
    _read("catalog/service/{service:.+}", catalog.list_instances, "Instances of a service.", *_WAITING, *_TAGS),
    _read("catalog/node/{node}", catalog.get_node, "A peer and its services.", *_WAITING),
    _read(
        "health/service/{service:.+}",
        catalog.list_health,
        "Instances of a service with their checks.",
        *_WAITING,
        *_TAGS,
        Query("passing", "Only where every check passes"),
    ),
    _read("health/node/{node}", catalog.list_node_checks, "Checks of a peer.", *_WAITING),
    _read("health/checks/{service:.+}", catalog.list_service_checks, "Checks of a service.", *_WAITING, _NODE_META),
    _read("health/state/{state}", catalog.list_checks_by_state, "Checks of a status, or any.", *_WAITING, _NODE_META),
    _read("status/leader", catalog.get_leader, "The live peer that comes first by a hash; it has no authority."),
    _read("status/peers", catalog.list_status_peers, "Every live peer."),
)
