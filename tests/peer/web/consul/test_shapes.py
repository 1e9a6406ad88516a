from __future__ import annotations

import uuid

import pytest

from peer.web.consul.shapes import address_text, member_json, node_id, node_json, own_check_json
from protocol.ids import PeerId
from protocol.services import CheckRow, NodeSeen, ProtocolSeen, Stamped
from protocol.signals import MemberState

PEER = PeerId("0123456789abcdef" * 4)


def node(host: str = "10.0.0.1", state: MemberState = "alive") -> NodeSeen:
    return NodeSeen(PEER, "oak-01234567", state, host, 7700, (("gpu", "rtx"),), "1.0", Stamped(5, 9))


def test_an_id_has_the_form_of_a_uuid():
    assert node_id(PEER) == str(uuid.UUID(PEER[:32]))


def test_a_node_tells_its_address_by_family():
    assert node_json(node(), "mesh") == {
        "ID": node_id(PEER), "Node": "oak-01234567", "Address": "10.0.0.1", "Datacenter": "mesh",
        "TaggedAddresses": {"lan": "10.0.0.1", "lan_ipv4": "10.0.0.1", "wan": "10.0.0.1", "wan_ipv4": "10.0.0.1"},
        "Meta": {"gpu": "rtx"}, "CreateIndex": 5, "ModifyIndex": 9,
    }  # fmt: skip
    assert "lan_ipv6" in node_json(node("fd00::1"), "mesh")["TaggedAddresses"]
    assert (address_text(node()), address_text(node("fd00::1"))) == ("10.0.0.1:7700", "[fd00::1]:7700")


@pytest.mark.parametrize(("state", "number"), [("alive", 1), ("suspect", 1), ("left", 3), ("dead", 4)])
def test_a_members_state_is_serfs_number(state: MemberState, number: int):
    assert member_json(node(state=state), "mesh", ProtocolSeen(1, 1, 1))["Status"] == number


def test_a_member_tells_which_versions_it_speaks_and_which_is_spoken_now():
    row = member_json(node(), "mesh", ProtocolSeen(2, 5, 3))
    assert [row[f"{of}{which}"] for of in ("Protocol", "Delegate") for which in ("Min", "Max", "Cur")] == [2, 5, 3] * 2


def test_a_check_whose_service_is_not_known_yet_has_no_name_and_no_null():
    row = own_check_json(CheckRow("c", "c", "passing", service="web-1"), "oak", None)
    assert (row["ServiceID"], row["ServiceName"], row["ServiceTags"]) == ("web-1", "", [])
