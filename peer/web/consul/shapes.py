"""Nodes, services and checks as Consul shows them. Pure; field for field what its agent 1.8 answers."""

from __future__ import annotations

from typing import Any, Final

from protocol.ids import PeerId
from protocol.services import CheckRow, CheckSeen, NodeSeen, ProtocolSeen, Service, ServiceSeen, Stamped

MEMBER_STATUS: Final = {"alive": 1, "suspect": 1, "left": 3, "dead": 4}
ROLE: Final = "rendermesh"
Json = dict[str, Any]


def node_id(peer: PeerId) -> str:
    """The first half of a peer's id in the form of a UUID, which is what clients expect."""
    text = peer[:32]
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def node_json(node: NodeSeen, datacenter: str) -> Json:
    """`Node` of health answers, a row of `catalog/nodes`."""
    return {**_place(node, datacenter), "Meta": dict(node.meta), **_stamp(node.stamp)}


def service_json(seen: ServiceSeen) -> Json:
    """`Service` of health answers, a row of `catalog/node`."""
    service = seen.service
    return {
        **own_service_json(service),
        "Proxy": {"MeshGateway": {}, "Expose": {}},
        "Connect": {},
        **_stamp(seen.stamp),
    }


def own_service_json(service: Service) -> Json:
    """A row of `agent/services`."""
    tagged = {"TaggedAddresses": _tagged(service)} if service.tagged else {}
    return {
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Meta": dict(service.meta),
        "Port": service.port,
        "Address": service.address,
        **tagged,
        "Weights": {"Passing": service.weight_passing, "Warning": service.weight_warning},
        "EnableTagOverride": service.tag_override,
    }


def catalog_service_json(seen: ServiceSeen, datacenter: str) -> Json:
    """A row of `catalog/service/:name`."""
    service = seen.service
    tagged = {"ServiceTaggedAddresses": _tagged(service)} if service.tagged else {}
    return {
        **_place(seen.node, datacenter),
        "NodeMeta": dict(seen.node.meta),
        "ServiceKind": "",
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": list(service.tags),
        "ServiceAddress": service.address,
        **tagged,
        "ServiceWeights": {"Passing": service.weight_passing, "Warning": service.weight_warning},
        "ServiceMeta": dict(service.meta),
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.tag_override,
        "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
        **_stamp(seen.stamp),
    }


def check_json(seen: CheckSeen) -> Json:
    """A row of the health endpoints."""
    return {**own_check_json(seen.check, seen.node.name, seen.service), **_stamp(seen.stamp)}


def own_check_json(check: CheckRow, node: str, service: Service | None) -> Json:
    """A row of `agent/checks`."""
    return {
        "Node": node,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service,
        "ServiceName": service.name if service is not None else "",
        "ServiceTags": list(service.tags) if service is not None else [],
        "Type": check.kind,
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }


def member_json(node: NodeSeen, datacenter: str, protocol: ProtocolSeen) -> Json:
    """A row of `agent/members`."""
    return {
        "Name": node.name,
        "Addr": node.host,
        "Port": node.port,
        "Tags": {"build": node.version, "dc": datacenter, "id": node_id(node.peer), "peer": node.peer, "role": ROLE},
        "Status": MEMBER_STATUS[node.state],
        "ProtocolMin": protocol.lowest,
        "ProtocolMax": protocol.highest,
        "ProtocolCur": protocol.current,
        "DelegateMin": protocol.lowest,
        "DelegateMax": protocol.highest,
        "DelegateCur": protocol.current,
    }


def address_text(node: NodeSeen) -> str:
    """HOST:PORT of a peer's user port."""
    return f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"


def _place(node: NodeSeen, datacenter: str) -> Json:
    version = 6 if ":" in node.host else 4
    return {
        "ID": node_id(node.peer),
        "Node": node.name,
        "Address": node.host,
        "Datacenter": datacenter,
        "TaggedAddresses": {
            "lan": node.host,
            f"lan_ipv{version}": node.host,
            "wan": node.host,
            f"wan_ipv{version}": node.host,
        },
    }


def _tagged(service: Service) -> Json:
    return {name: {"Address": address, "Port": port} for name, address, port in service.tagged}


def _stamp(stamp: Stamped) -> Json:
    return {"CreateIndex": stamp.created, "ModifyIndex": stamp.changed}
