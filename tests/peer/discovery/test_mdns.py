"""Multicast DNS on real sockets: loopback for what peers say, network namespaces for what networks do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from zeroconf import DNSQuestionType, ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from peer.discovery.advert import TYPE, Advert
from peer.discovery.links import Interface
from peer.discovery.mdns import MdnsProvider
from protocol.ids import Address
from tests.peer.discovery.adverts import Ear, make_advert, make_id, make_mesh, running
from tests.waiting import wait_until

LO = Interface("lo", ("127.0.0.1",))
ROOT = Path(__file__).parents[3]


def make_provider(advert: Advert, ear: Ear, interfaces: list[Interface] | None = None) -> MdnsProvider:
    listed = interfaces if interfaces is not None else [LO]
    return MdnsProvider(advert, on_notice=ear.notices.append, interfaces=lambda: list(listed), again_s=0.05, retry_s=0.05)


@contextlib.asynccontextmanager
async def bystander(*infos: ServiceInfo) -> AsyncIterator[AsyncZeroconf]:
    """Another program on loopback that registers `infos`."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        for info in infos:
            await (await zeroconf.async_register_service(info, cooperating_responders=True))
        yield zeroconf
    finally:
        await zeroconf.async_unregister_all_services()
        await zeroconf.async_close()


async def look_up(zeroconf: AsyncZeroconf, instance: str) -> AsyncServiceInfo | None:
    info = AsyncServiceInfo(TYPE, f"{instance}.{TYPE}")
    return info if await info.async_request(zeroconf.zeroconf, 500, DNSQuestionType.QM) else None


async def test_two_peers_of_one_mesh_find_each_other_and_nobody_else():
    mesh, one, two, other = make_mesh(), Ear(), Ear(), Ear()
    async with (
        running(make_provider(make_advert(mesh=mesh, port=1001), one), one),
        running(make_provider(make_advert(mesh=make_mesh(), port=1002), other), other),
        running(make_provider(make_advert(mesh=mesh, port=1003), two), two),
    ):
        await wait_until(lambda: one.found and two.found)
        assert (set(one.found), set(two.found)) == ({Address("127.0.0.1", 1003)}, {Address("127.0.0.1", 1001)})
        assert other.found == []
    assert one.notices + two.notices + other.notices == []


async def test_what_is_told_is_the_record_and_a_goodbye_takes_it_back():
    advert, ear = make_advert(mesh=make_mesh(), name="Oak.example", port=1004), Ear()
    async with bystander() as zeroconf:
        async with running(make_provider(advert, ear), ear):

            async def told() -> bool:
                return await look_up(zeroconf, advert.label) is not None

            await wait_until(told)
            info = await look_up(zeroconf, advert.label)
            assert info is not None
            assert (info.port, info.parsed_addresses()) == (1004, ["127.0.0.1"])
            assert info.decoded_properties == advert.fields()

        async def gone() -> bool:
            return await look_up(zeroconf, advert.label) is None

        await wait_until(gone)


async def test_a_taken_name_gets_a_number_and_the_peer_is_found_all_the_same():
    mesh, ear, finder = make_mesh(), Ear(), Ear()
    advert = make_advert(mesh=mesh, port=1005)
    taken = ServiceInfo(
        TYPE, f"{advert.label}.{TYPE}", port=9, properties={"id": make_id(), "m": make_mesh()}, server="x.local.",
        parsed_addresses=["127.0.0.1"],
    )  # fmt: skip
    async with (
        bystander(taken),
        running(make_provider(advert, ear), ear),
        running(make_provider(make_advert(mesh=mesh, port=1006), finder), finder),
    ):
        await wait_until(lambda: Address("127.0.0.1", 1005) in finder.found)
    assert ear.notices == []


async def test_odd_records_and_records_of_our_own_are_no_candidates():
    mesh, ear, advert = make_mesh(), Ear(), make_advert(port=1007)
    advert = make_advert(peer=advert.peer, mesh=mesh, port=1007)

    def record(number: int, properties: dict[str, str | bytes | None], address: str = "127.0.0.1") -> ServiceInfo:
        name = f"odd-{advert.peer[:8]}-{number}"
        return ServiceInfo(
            TYPE, f"{name}.{TYPE}", port=1008, properties=properties, server=f"{name}.local.", parsed_addresses=[address]
        )

    good: dict[str, str | bytes | None] = {"txtvers": "1", "id": make_id(), "m": mesh, "gp": "1009"}
    odd = [
        record(1, {}), record(2, {"id": b"\xff\x00", "m": b"\xff"}), record(3, good | {"id": advert.peer}),
        record(4, good | {"gp": "0"}), record(5, good | {"m": None}), record(6, good | {"txtvers": "9"}),
        record(7, good, "224.0.0.9"), record(8, good, "fe80::1"), record(9, good | {"id": make_id()}),
    ]  # fmt: skip
    async with bystander(*odd), running(make_provider(advert, ear), ear):
        await wait_until(lambda: ear.found)
        # The good record was told last of all, and each is looked at in turn.
    assert set(ear.found) == {Address("127.0.0.1", 1009)}
    assert ear.notices == []


async def test_an_interface_that_comes_and_goes():
    mesh, ear, other = make_mesh(), Ear(), Ear()
    interfaces: list[Interface] = []
    advert = make_advert(mesh=mesh, port=1010)
    async with (
        bystander() as zeroconf,
        running(make_provider(advert, ear, interfaces), ear),
        running(make_provider(make_advert(mesh=mesh, port=1011), other), other),
    ):
        await wait_until(lambda: ear.errors)
        assert "none that is up" in ear.errors[0]
        assert (ear.found, other.found) == ([], [])
        interfaces.append(LO)
        await wait_until(lambda: ear.found and other.found)
        assert ear.notices[-1].event == "discovery_recovered"
        interfaces.clear()

        async def gone() -> bool:
            return await look_up(zeroconf, advert.label) is None

        await wait_until(gone)


async def test_an_address_that_is_not_here_is_a_notice_and_is_tried_again():
    interfaces, ear = [Interface("eth9", ("127.0.0.1", "203.0.113.1"))], Ear()
    advert = make_advert(mesh=make_mesh(), bind="203.0.113.1")
    async with running(make_provider(advert, ear, interfaces), ear):
        await wait_until(lambda: ear.errors)
    assert ear.notices[0].fields["source"] == "eth9"


async def test_a_list_of_interfaces_that_cannot_be_read_is_a_notice():
    ear = Ear()

    def broken() -> list[Interface]:
        raise OSError("no netlink here")

    provider = MdnsProvider(make_advert(), on_notice=ear.notices.append, interfaces=broken, again_s=0.01)
    async with running(provider, ear):
        await wait_until(lambda: ear.errors)
    assert ear.errors == ["no netlink here"]


async def test_a_new_primary_key_is_told_and_an_old_one_still_found():
    old, new, ear, late = make_mesh(), make_mesh(), Ear(), Ear()
    ring = [old]
    advert = Advert(
        peer=make_id(), name="oak", meshes=lambda: tuple(ring), port=1012, tls=False, run_epoch=1, version="1", bind="127.0.0.1"
    )
    async with (
        running(make_provider(advert, ear), ear),
        running(make_provider(make_advert(mesh=new, port=1013), late), late),
    ):
        await wait_until(lambda: not ear.found)
        assert late.found == []
        ring[:] = [new, old]
        await wait_until(lambda: late.found)
        ahead = Ear()
        async with running(make_provider(make_advert(mesh=old, port=1014), ahead), ahead):
            await wait_until(lambda: Address("127.0.0.1", 1014) in ear.found)


IN_NAMESPACE = """
import asyncio, sys
from peer.discovery.links import list_interfaces
from peer.discovery.mdns import MdnsProvider
from tests.peer.discovery.adverts import Ear, make_advert
from tests.waiting import wait_until

async def main():
    bind, trouble, company = sys.argv[1], sys.argv[2] == "trouble", sys.argv[3] == "company"
    ear, other = Ear(), Ear()
    tasks = []
    for port, one in ((1001, ear), (1002, other)):
        advert = make_advert(bind=bind, port=port)
        provider = MdnsProvider(advert, on_notice=one.notices.append, again_s=0.1, retry_s=0.1)
        tasks.append(asyncio.create_task(provider.run(one.hear)))
    if trouble:
        await wait_until(lambda: ear.errors and other.errors)
    if company:
        await wait_until(lambda: ear.found and other.found)
    assert not any(task.done() for task in tasks), tasks
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    print("found", *sorted({str(address) for address in ear.found}), "errors", *ear.errors)

asyncio.run(main())
"""


ON_TWO_LINKS = """
import asyncio, socket, sys
from peer.discovery.links import list_interfaces
from peer.discovery.mdns import MdnsProvider
from tests.peer.discovery.adverts import Ear, make_advert
from tests.waiting import wait_until

async def main():
    ear, advert = Ear(), make_advert(bind="0.0.0.0")
    wires, heard = {}, {"lan1": b"", "wan1": b""}
    for name in heard:  # the far ends, on which all that goes over the wire can be seen
        wires[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        wires[name].bind((name, 0x0800))
        wires[name].setblocking(False)
    plugged = ["lan0"]
    plugged_in = lambda: [one for one in list_interfaces() if one.name in plugged]
    provider = MdnsProvider(advert, on_notice=ear.notices.append, again_s=0.1, interfaces=plugged_in)
    task = asyncio.create_task(provider.run(ear.hear))

    def told_thrice(*names):
        for name, wire in wires.items():
            try:
                while True:
                    heard[name] += wire.recv(65_535)
            except BlockingIOError:
                pass
        return all(heard[name].count(advert.peer.encode()) >= 3 for name in names)

    await wait_until(lambda: told_thrice("lan1"))
    plugged.append("wan0")
    await wait_until(lambda: told_thrice("lan1", "wan1"))
    task.cancel()
    await asyncio.wait([task])
    record = lambda last: b"\\x00\\x04" + bytes([10, 9, last, 2])  # length and data of an A record
    print([[record(last) in heard[name] for last in (1, 2)] for name in ("lan1", "wan1")])
    print(any((advert.label + "-2").encode() in wire for wire in heard.values()), *ear.errors)

asyncio.run(main())
"""


def in_namespace(setup: str, *words: str, script: str = IN_NAMESPACE) -> str:
    """Run a script, by default two peers, in a network namespace of its own. Returns what it prints."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs root, unshare and ip")
    command = f'{setup}\nprogram="$0"; exec "$program" -c "$@"'
    ran = subprocess.run(
        ["unshare", "--net", "sh", "-ec", command, sys.executable, script, *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def cable(near: str, far: str, address: str) -> str:
    """Commands that lay a cable whose near end has an address."""
    ends = f"ip link set {near} up; ip link set {far} up"
    return f"ip link add {near} type veth peer name {far}; ip addr add {address}/24 dev {near}; {ends}"


VETH = cable("lan0", "lan1", "10.9.0.2")


@pytest.mark.namespaces
def test_each_link_hears_its_own_address_only_and_we_are_no_rival_of_ourselves():
    setup = f"{cable('lan0', 'lan1', '10.9.1.2')}; {cable('wan0', 'wan1', '10.9.2.2')}"
    assert in_namespace(setup, script=ON_TWO_LINKS).splitlines() == ["[[True, False], [False, True]]", "False"]


@pytest.mark.namespaces
def test_without_any_interface_up_peers_live_on_and_say_so():
    assert "none that is up" in in_namespace("true", "127.0.0.1", "trouble", "alone")


@pytest.mark.namespaces
def test_on_loopback_no_multicast_route_is_needed():
    assert in_namespace("ip link set lo up", "127.0.0.1", "quiet", "company") == "found 127.0.0.1:1002 errors"


@pytest.mark.namespaces
def test_on_a_network_without_any_multicast_route_peers_find_each_other():
    setup = f"{VETH}; ip route flush table main"
    assert in_namespace(setup, "0.0.0.0", "quiet", "company") == "found 10.9.0.2:1002 errors"


@pytest.mark.namespaces
def test_a_link_that_forbids_multicast_is_trouble_and_no_end():
    setup = f"{VETH}; ip link set lan0 multicast off"
    assert "none that is up" in in_namespace(setup, "0.0.0.0", "trouble", "alone")


@pytest.mark.namespaces
def test_a_dropped_group_leaves_peers_alone_and_alive():
    if shutil.which("iptables") is None:
        pytest.skip("needs iptables")
    setup = "ip link set lo up; iptables -A OUTPUT -d 224.0.0.0/4 -j DROP"
    assert in_namespace(setup, "127.0.0.1", "quiet", "alone").startswith("found errors")
