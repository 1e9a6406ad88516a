"""Which interfaces are used, and what is told on each."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.discovery.links import Interface, Link, choose_links, list_interfaces, looks_virtual
from protocol import limits

LO = Interface("lo", ("127.0.0.1", "::1"))
ETH = Interface("eth0", ("10.0.0.2", "fd00::2", "fe80::2%eth0"))
WIFI = Interface("wlan0", ("192.168.1.7", "fe80::7%wlan0"))
DOCKER = Interface("docker0", ("172.17.0.1",), virtual=True)
ALL = (LO, ETH, WIFI, DOCKER)


def test_a_peer_on_loopback_is_told_on_loopback_only():
    assert choose_links(ALL, bind="127.0.0.1") == (Link("lo", ("127.0.0.1",), "127.0.0.1", True),)
    assert choose_links(ALL, bind="127.8.8.8") == (Link("lo", ("127.0.0.1",), "127.8.8.8", True),)


def test_ipv6_loopback_is_told_over_ipv4_for_it_has_no_multicast():
    assert choose_links(ALL, bind="::1") == (Link("lo", ("127.0.0.1",), "::1", True),)
    assert choose_links([Interface("lo", ("::1",))], bind="::1") == ()


def test_each_link_is_told_its_own_address_only():
    assert choose_links(ALL, bind="0.0.0.0") == (
        Link("eth0", ("10.0.0.2",), "10.0.0.2", False),
        Link("wlan0", ("192.168.1.7",), "192.168.1.7", False),
    )


def test_a_link_with_nothing_but_a_scoped_address_is_no_link_for_ipv6():
    assert choose_links(ALL, bind="::") == (Link("eth0", ("10.0.0.2", "fd00::2"), "fd00::2", False),)


def test_a_bound_address_is_told_on_its_own_link_only():
    assert choose_links(ALL, bind="192.168.1.7") == (Link("wlan0", ("192.168.1.7",), "192.168.1.7", False),)
    assert choose_links(ALL, bind="192.168.1.8") == ()


def test_a_virtual_interface_is_used_when_it_is_named_or_bound_to():
    link = Link("docker0", ("172.17.0.1",), "172.17.0.1", False)
    assert choose_links(ALL, bind="0.0.0.0", only=["docker0"]) == (link,)
    assert choose_links(ALL, bind="172.17.0.1") == (link,)
    assert choose_links(ALL, bind="0.0.0.0", only=["eth9"]) == ()


def test_an_advertised_address_of_one_link_is_told_there():
    assert choose_links(ALL, bind="0.0.0.0", advertise="10.0.0.2") == (Link("eth0", ("10.0.0.2",), "10.0.0.2", False),)


def test_an_advertised_address_of_no_link_is_told_everywhere():
    found = choose_links(ALL, bind="0.0.0.0", advertise="203.0.113.9")
    assert [(link.name, link.address) for link in found] == [("eth0", "203.0.113.9"), ("wlan0", "203.0.113.9")]


@pytest.mark.parametrize("change", [{"up": False}, {"multicast": False}])
def test_a_link_that_is_down_or_has_no_multicast_is_left_alone(change: dict[str, bool]):
    assert choose_links([Interface("eth0", ("10.0.0.2",), **change)], bind="0.0.0.0") == ()


def test_cut_off_from_every_network_there_are_still_the_peers_of_this_machine():
    assert choose_links([LO, DOCKER], bind="0.0.0.0") == (Link("lo", ("127.0.0.1",), "127.0.0.1", True),)


def test_there_are_at_most_so_many_links():
    many = [Interface(f"eth{n}", (f"10.0.{n}.2",)) for n in range(100)]
    assert len(choose_links(many, bind="0.0.0.0")) == limits.LINKS_MAX


@pytest.mark.parametrize("name", ["docker0", "br-1f", "veth12", "virbr0", "tun0", "tap1", "wg0", "utun3", "cni0", "tailscale0"])
def test_bridges_and_tunnels_are_known_by_their_names(name: str, tmp_path: Path):
    assert looks_virtual(name, tmp_path)


@pytest.mark.parametrize("name", ["eth0", "enp3s0", "wlan0", "en0", "bond0", "lo"])
def test_real_links_are_not(name: str, tmp_path: Path):
    assert not looks_virtual(name, tmp_path)


@pytest.mark.parametrize("mark", ["bridge", "tun_flags"])
def test_or_by_the_kernels_word(mark: str, tmp_path: Path):
    (tmp_path / "lan" / mark).mkdir(parents=True)
    assert looks_virtual("lan", tmp_path)


def test_this_machine_has_a_loopback_that_can_be_used():
    links = choose_links(list_interfaces(), bind="127.0.0.1")
    assert [link.address for link in links] == ["127.0.0.1"]
