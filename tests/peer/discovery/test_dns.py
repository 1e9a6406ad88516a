"""Names resolved by a real dnsmasq, and servers that are silent, absent or lying."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.discovery.dns import Answer, DnsProvider, next_look_s
from peer.discovery.ways import DnsWay
from protocol import limits
from protocol.ids import Address
from tests.fuzzing import changed, examples, texts
from tests.peer.discovery.adverts import Ear, make_advert, running
from tests.peer.discovery.nameserver import NameServer, free_port, name_server
from tests.waiting import wait_until

SERVICE = "_rendermesh._tcp.farm.test"


def make_provider(ear: Ear, name: str, port: int, *, bind: str = "0.0.0.0", gossip: int = 7700, answer_s: float = 2.0):
    way = DnsWay(name, gossip, ("127.0.0.1", port))
    return DnsProvider(
        way, make_advert(bind=bind), on_notice=ear.notices.append, is_alone=lambda: True, answer_s=answer_s,
        pause_s=lambda **_: 0.02,
    )  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NameServer]:
    services = (f"{SERVICE},a.farm.test,7701", f"{SERVICE},b.farm.test,7702", f"{SERVICE},gone.farm.test,7703")
    with name_server(tmp_path, services=services) as started:
        await started.started()
        await started.change(
            {"farm.test": ("10.0.0.1", "10.0.0.2", "fd00::1"), "a.farm.test": ("10.0.0.3",), "b.farm.test": ("10.0.0.4",)}
        )
        yield started


@pytest.mark.dnsmasq
async def test_addresses_of_our_family_are_candidates(server: NameServer):
    four, six = Ear(), Ear()
    ttl_s = await make_provider(four, "farm.test", server.port).look(four.hear)
    await make_provider(six, "farm.test", server.port, bind="::", gossip=81).look(six.hear)
    assert ttl_s == 1
    assert set(four.found) == {Address("10.0.0.1", 7700), Address("10.0.0.2", 7700)}
    assert six.found == [Address("fd00::1", 81)]
    assert four.notices + six.notices == []


@pytest.mark.dnsmasq
async def test_service_records_carry_the_ports_and_a_target_without_address_hurts_no_other(server: NameServer):
    ear = Ear()
    await make_provider(ear, SERVICE, server.port).look(ear.hear)
    assert set(ear.found) == {Address("10.0.0.3", 7701), Address("10.0.0.4", 7702)}


@pytest.mark.dnsmasq
async def test_changed_records_are_seen(server: NameServer):
    ear = Ear()
    async with running(make_provider(ear, "farm.test", server.port), ear):
        await wait_until(lambda: ear.found)
        await server.change({"farm.test": ("10.0.0.9",)})
        await wait_until(lambda: Address("10.0.0.9", 7700) in ear.found)


@pytest.mark.dnsmasq
async def test_a_name_that_does_not_exist_is_a_notice_until_it_does(server: NameServer):
    ear = Ear()
    async with running(make_provider(ear, "late.test", server.port), ear):
        await wait_until(lambda: ear.errors)
        assert "there is no name late.test" in ear.errors[0]
        await server.change({"late.test": ("10.0.0.7",)})
        await wait_until(lambda: ear.found)
    assert [notice.event for notice in ear.notices] == ["discovery_failed", "discovery_recovered"]


@pytest.mark.dnsmasq
async def test_a_name_with_addresses_of_the_other_family_only_is_a_notice(server: NameServer):
    await server.change({"four.test": ("10.0.0.1",)})
    ear = Ear()
    await make_provider(ear, "four.test", server.port, bind="::").look(ear.hear)
    assert "can be reached from ::" in ear.errors[0]


@pytest.mark.dnsmasq
async def test_a_service_without_records_is_a_notice(server: NameServer):
    ear = Ear()
    assert await make_provider(ear, "_none._tcp.farm.test", server.port).look(ear.hear) is None
    assert len(ear.errors) == 1


@pytest.mark.dnsmasq
async def test_a_server_that_falls_silent_is_a_notice_and_is_asked_again(server: NameServer):
    ear = Ear()
    async with running(make_provider(ear, "farm.test", server.port, answer_s=0.3), ear):
        await wait_until(lambda: ear.found)
        server.pause()
        await wait_until(lambda: ear.errors)
        assert "no name server answered" in ear.errors[0]
        server.resume()
        await wait_until(lambda: ear.notices[-1].event == "discovery_recovered")


@pytest.mark.dnsmasq
async def test_an_answer_too_long_for_a_datagram_comes_over_tcp_and_some_of_it_are_candidates(server: NameServer):
    await server.change({"many.test": tuple(f"10.1.{n // 250}.{n % 250 + 1}" for n in range(300))})
    ear = Ear()
    await make_provider(ear, "many.test", server.port).look(ear.hear)
    assert len(ear.found) == limits.DISCOVERY_CANDIDATES_MAX


async def test_no_server_at_all_is_a_notice():
    ear = Ear()
    assert await make_provider(ear, "farm.test", free_port(), answer_s=0.2).look(ear.hear) is None
    assert ear.found == []
    assert len(ear.errors) == 1


@contextlib.asynccontextmanager
async def liar(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A name server that answers with whatever `answer` makes of a question. Yields its port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        while True:
            question, where = await loop.sock_recvfrom(sock, 4_096)
            await loop.sock_sendto(sock, answer(question), where)

    task = asyncio.create_task(serve())
    try:
        yield int(sock.getsockname()[1])
    finally:
        task.cancel()
        await asyncio.wait([task])
        sock.close()


def replying(*texts: str) -> Callable[[bytes], bytes]:
    """The same answer to every question, record by record, whatever was asked."""

    def answer(question: bytes) -> bytes:
        asked = dns.message.from_wire(question)
        reply = dns.message.make_response(asked)
        for text in texts:
            name, ttl, _, kind, value = text.split(" ", 4)
            reply.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, value))
        return reply.to_wire()

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda question: b"",
        lambda question: b"\xff" * 1_400,
        lambda question: question,
        lambda question: question[:2] + b"\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff",
        replying("other.test. 5 IN A 10.0.0.1"),
        replying("farm.test. 5 IN CNAME farm.test."),
        replying(*(f"c{n}.test. 5 IN CNAME c{n + 1}.test." for n in range(30))),
    ],
)
async def test_a_lying_server_is_a_notice(answer: Callable[[bytes], bytes]):
    async with liar(answer) as port:
        ear = Ear()
        assert await make_provider(ear, "farm.test.", port, answer_s=0.2).look(ear.hear) is None
    assert ear.found == []
    assert len(ear.errors) == 1


async def test_addresses_that_mean_nobody_are_left_out():
    answer = replying("farm.test. 5 IN A 0.0.0.0", "farm.test. 5 IN A 224.0.0.5", "farm.test. 5 IN A 10.0.0.6")
    async with liar(answer) as port:
        ear = Ear()
        await make_provider(ear, "farm.test.", port).look(ear.hear)
    assert set(ear.found) == {Address("10.0.0.6", 7700)}


async def test_a_service_that_says_there_is_none_is_a_notice():
    async with liar(replying(f"{SERVICE}. 5 IN SRV 0 0 0 .")) as port:
        ear = Ear()
        assert await make_provider(ear, f"{SERVICE}.", port, answer_s=0.3).look(ear.hear) is None
    assert "none of its 0 targets" in ear.errors[0]


async def test_without_a_server_named_the_systems_own_are_asked(monkeypatch: pytest.MonkeyPatch):
    ear = Ear()
    provider = DnsProvider(DnsWay("farm.test"), make_advert(), on_notice=ear.notices.append, is_alone=lambda: True)
    resolver = provider._resolver()
    assert resolver.nameservers
    assert resolver.lifetime == limits.DNS_ANSWER_S


@pytest.mark.parametrize(
    ("alone", "ttl_s", "expected"),
    [
        (True, None, limits.DNS_ALONE_S),
        (True, 3_600.0, limits.DNS_ALONE_S),
        (False, None, limits.DNS_REFRESH_S),
        (False, 0.0, limits.DNS_REFRESH_S),
        (False, 100.0, 100.0),
        (False, 1e9, limits.DNS_TTL_S_MAX),
    ],
)
def test_when_to_look_again(alone: bool, ttl_s: float | None, expected: float):
    assert next_look_s(alone=alone, ttl_s=ttl_s) == expected


RECORDS = ("farm.test. 5 IN A 10.0.0.6", "farm.test. 5 IN AAAA fd00::6", f"{SERVICE}. 5 IN SRV 0 0 7701 farm.test.")


@examples(30)
@given(st.sampled_from(["farm.test.", f"{SERVICE}."]), st.data())
async def test_whatever_a_server_sends_a_look_ends_and_names_what_can_be_dialled(name: str, data: st.DataObject):
    """A damaged answer is passed over until the time is up, as dnspython does against forgers."""

    def answer(question: bytes) -> bytes:
        return data.draw(changed(replying(*RECORDS)(question)) | st.just(replying(*RECORDS)(question)))

    async with liar(answer) as port:
        ear = Ear()
        ttl_s = await make_provider(ear, name, port, answer_s=0.05).look(ear.hear)
    assert ttl_s is None or 0 <= ttl_s < 2**31
    assert all(ipaddress.ip_address(address.host).version == 4 for address in ear.found)
    assert all(1 <= address.port <= 65_535 for address in ear.found)


@given(st.lists(st.tuples(texts | st.ip_addresses().map(str), st.integers(1, 65_535)), max_size=200))
def test_any_answer_names_a_bounded_number_of_candidates(hosts: list[tuple[str, int]]):
    found = make_provider(Ear(), "farm.test", 53)._candidates(Answer(tuple(hosts), 1.0))
    assert len(found) <= limits.DISCOVERY_CANDIDATES_MAX
    assert all(ipaddress.ip_address(address.host).version == 4 for address in found)
