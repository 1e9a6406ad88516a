from __future__ import annotations

import ipaddress

import pytest

from peer.checktargets import CheckTargets, own_addresses

MINE = ipaddress.ip_address("192.0.2.7")


def targets(*allow: str) -> CheckTargets:
    return CheckTargets([ipaddress.ip_network(text) for text in allow], own=lambda: frozenset({MINE}))


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.1", "::1", "192.0.2.7", "::ffff:127.0.0.1", "[::1]", "::ffff:192.0.2.7"])
def test_a_peer_may_look_at_itself(text: str):
    assert targets().refusal(text) is None


@pytest.mark.parametrize("text", ["192.0.2.8", "10.0.0.1", "8.8.8.8", "2001:db8::1", "0.0.0.0", "::"])
def test_others_only_where_the_operator_has_opened_them(text: str):
    assert "--check-allow" in (targets().refusal(text) or "")
    assert targets("10.0.0.0/8").refusal("10.0.0.1") is None
    assert targets("2001:db8::/32").refusal("2001:db8::1") is None
    assert targets("10.0.0.0/8").refusal("192.0.2.8") is not None


METADATA = ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "fe80::1%2"]


@pytest.mark.parametrize("text", METADATA)
def test_metadata_services_never(text: str):
    networks = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    everything = CheckTargets(networks, own=lambda: frozenset({ipaddress.ip_address("169.254.169.254")}))
    assert "credentials" in (everything.refusal(text) or "")


def test_a_name_is_judged_when_it_has_been_looked_up():
    assert targets().literal_refusal("localhost") is None
    assert targets().literal_refusal("10.0.0.1") is not None
    assert targets().refusal("localhost") is not None


def test_this_machine_has_addresses():
    assert ipaddress.ip_address("127.0.0.1") in own_addresses()
