"""Peers found by mDNS, on loopback, with the record that peers tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo, Zeroconf

from peer.cli import nearby
from peer.cli.client import MeshClient
from peer.cli.failures import CliError, Exit, Unreachable
from peer.cli.settings import Host, load, parse_url
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

GONE = Host("http://127.0.0.1:1")


@pytest.fixture
def told(peer: FakePeer) -> Iterator[FakePeer]:
    """The fake peer, told on loopback as peerd tells of itself; nothing names it."""
    zeroconf = Zeroconf(interfaces=["127.0.0.1"])
    name = f"fake-{int(peer.url.rpartition(':')[2]):08x}"
    info = ServiceInfo(
        nearby.TYPE, f"{name}.{nearby.TYPE}", port=int(peer.url.rpartition(":")[2]), server=f"{name}.local.",
        properties={"txtvers": "1", "tls": "0"}, parsed_addresses=["127.0.0.1"],
    )  # fmt: skip
    zeroconf.register_service(info, cooperating_responders=True)
    yield peer
    zeroconf.unregister_service(info)
    zeroconf.close()


def test_a_peer_of_this_network_is_found(told: FakePeer) -> None:
    assert told.url in nearby.find_urls(within_s=5.0, more_s=0.3)


def test_without_a_host_named_and_without_a_local_peer_one_nearby_is_asked(
    told: FakePeer, mesh: FakeMesh, peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PEERCTL_HOST")
    monkeypatch.delenv("PEERCTL_DISCOVERY")
    monkeypatch.setenv("PEERCTL_TOKEN", "mk_1_secret")
    monkeypatch.setattr("peer.cli.settings.DEFAULT_URL", GONE.url)
    monkeypatch.setattr(nearby, "find_urls", lambda: [told.url])  # others may run on this machine
    ran = peerctl("jobs")
    assert ran.code == 0
    assert f"{GONE.url} does not answer; going on with {told.url}" in ran.err
    assert all("Authorization" not in seen.headers for seen in mesh.seen)


def test_a_named_host_that_is_away_is_no_reason_to_look_around(monkeypatch: pytest.MonkeyPatch, peerctl: Peerctl) -> None:
    def look() -> list[str]:
        raise AssertionError("looked around")

    monkeypatch.delenv("PEERCTL_DISCOVERY")
    monkeypatch.setattr(nearby, "find_urls", look)
    assert peerctl("jobs", "-H", GONE.url).code == Exit.UNREACHABLE


@dataclass
class Finder:
    hosts: tuple[Host, ...] = ()
    asked: int = field(default=0)

    def __call__(self) -> tuple[Host, ...]:
        self.asked += 1
        return self.hosts


def client(*hosts: Host, finder: Finder) -> MeshClient:
    return MeshClient(hosts, named=False, say=lambda _: None, nearby=finder)


def test_a_host_that_answers_is_enough(peer: FakePeer) -> None:
    finder = Finder()
    client(Host(peer.url), finder=finder).get("/api/v1/jobs")
    assert finder.asked == 0


def test_a_conversation_that_has_begun_stays_in_its_mesh(mesh: FakeMesh, peer: FakePeer) -> None:
    finder = Finder((Host(mesh.start_peer("other").url),))
    asked = client(Host(peer.url), finder=finder)
    asked.get("/api/v1/jobs")
    peer.stop()
    with pytest.raises(Unreachable):
        asked.get("/api/v1/jobs")
    assert finder.asked == 0


def test_a_busy_local_peer_is_waited_for(mesh: FakeMesh, peer: FakePeer) -> None:
    finder = Finder((Host(mesh.start_peer("other").url),))
    mesh.busy(1, retry_after="3600")
    with pytest.raises(CliError) as caught:
        client(Host(peer.url), finder=finder).get("/api/v1/jobs")
    assert (caught.value.exit_code, finder.asked) == (Exit.BUSY, 0)


def test_a_stranger_that_wants_a_key_is_passed_over_and_named(mesh: FakeMesh, peer: FakePeer) -> None:
    mesh.token = "mk_1_secret"
    with pytest.raises(Unreachable) as caught:
        client(GONE, finder=Finder((Host(peer.url),))).get("/api/v1/jobs")
    assert caught.value.exit_code is Exit.UNREACHABLE
    assert peer.url in caught.value.why


def test_nobody_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Finder((GONE,))
    with pytest.raises(Unreachable, match="no peer can be reached") as caught:
        client(GONE, finder=finder).get("/")
    assert (finder.asked, caught.value.why) == (1, f"{GONE.url}: connection refused")


def test_no_network_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("zeroconf.Zeroconf", broken)
    assert nearby.find_urls() == []


def record(properties: dict[str, str | bytes | None], *addresses: str, port: int = 7700) -> ServiceInfo:
    return ServiceInfo(nearby.TYPE, f"x.{nearby.TYPE}", port=port, properties=properties, parsed_addresses=list(addresses))


@pytest.mark.parametrize(
    ("info", "url"),
    [
        (record({"txtvers": "1", "tls": "1"}, "10.0.0.5"), "https://10.0.0.5:7700"),
        (record({"txtvers": "1", "tls": "0"}, "10.0.0.5"), "http://10.0.0.5:7700"),
        (record({"txtvers": "1"}, "fd00::5"), "http://[fd00::5]:7700"),
        (record({"txtvers": "2", "tls": "1"}, "10.0.0.5"), None),
        (record({"txtvers": None}, "10.0.0.5"), None),
        (record({}, "10.0.0.5"), None),
        (record({"txtvers": "1"}), None),
        (record({"txtvers": "1"}, "10.0.0.5", port=0), None),
        (None, None),
    ],
)
def test_the_address_in_a_record(info: ServiceInfo | None, url: str | None) -> None:
    assert nearby.url_of(info) == url


def test_looking_around_can_be_switched_off() -> None:
    assert [load(environ=env).discovery for env in ({}, {"PEERCTL_DISCOVERY": "mdns"}, {"PEERCTL_DISCOVERY": "none"})] == [
        True, True, False,
    ]  # fmt: skip
    with pytest.raises(CliError, match="PEERCTL_DISCOVERY"):
        load(environ={"PEERCTL_DISCOVERY": "dns"})


KEYS = st.sampled_from([b"txtvers", b"tls"]) | st.binary(max_size=9)
VALUES = st.sampled_from([b"1", b"0"]) | st.binary(max_size=9) | st.none()


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.lists(st.ip_addresses(), max_size=3), st.integers(0, 65_535))
def test_any_record_is_a_host_that_can_be_asked_or_none(
    properties: dict[bytes, bytes | None], addresses: list[object], port: int
) -> None:
    info = ServiceInfo(
        nearby.TYPE, f"x.{nearby.TYPE}", port=port, properties=properties, parsed_addresses=[str(one) for one in addresses]
    )
    url = nearby.url_of(info)
    assert url is None or parse_url(url) == url


@given(st.binary(max_size=60), st.lists(st.binary(max_size=20), max_size=2), st.none() | st.integers(0, 65_535))
def test_any_bytes_of_a_record_are_read(text: bytes, addresses: list[bytes], port: int | None) -> None:
    """The TXT record as it comes over the wire, where a length may lead outside."""
    try:
        info = ServiceInfo(nearby.TYPE, f"x.{nearby.TYPE}", port=port, properties=text, addresses=addresses)
    except TypeError:  # zeroconf's own word for an address of a strange length
        return
    url = nearby.url_of(info)
    assert url is None or parse_url(url) == url
