"""Real peers that nobody has named to one another: by mDNS, by a name server, by a Consul agent, each way alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.mesh import READY_S, Mesh, PeerProcess
from tests.peer.discovery.agents import fake_agent, real_agent
from tests.peer.discovery.nameserver import name_server
from tests.waiting import wait_until

FOUND_S = 40.0


async def start(mesh: Mesh, name: str, *arguments: str) -> PeerProcess:
    """A peer without seeds."""
    peer = mesh.prepare(name, *arguments, discovery="")
    peer.arguments = without_seeds(peer.arguments)
    peer.begin()
    await wait_until(lambda: peer.is_ready, READY_S)
    return peer


def without_seeds(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if "--join" not in arguments:
        return arguments
    at = arguments.index("--join")
    return without_seeds(arguments[:at] + arguments[at + 2 :])


def free_port(*hosts: str) -> int:
    """A port that is free on all of these addresses."""
    with socket.socket() as sock:
        sock.bind((hosts[0], 0))
        return int(sock.getsockname()[1])


def knows_all(peers: list[PeerProcess]) -> bool:
    ids = {peer.id for peer in peers}
    return all({row["id"] for row in peer.peers()} == ids for peer in peers)


def noticed(peer: PeerProcess, text: str) -> bool:
    return any(text in str(row) for row in peer.events("discovery_failed"))


async def test_three_peers_find_one_another_by_mdns_alone_and_not_the_mesh_beside_them(mesh: Mesh):
    stranger = await start(mesh, "stranger", "--discovery", "mdns", "--mesh", f"{mesh.name}-other")
    peers = [await start(mesh, name, "--discovery", "mdns") for name in ("ash", "oak", "elm")]
    await wait_until(lambda: knows_all(peers), FOUND_S)
    assert [row["id"] for row in stranger.peers()] == [stranger.id]
    for peer in peers:
        peer.terminate()
        assert await peer.ended() == 0


async def test_mdns_is_on_unless_told_otherwise(mesh: Mesh):
    peers = [await start(mesh, name) for name in ("ash", "oak")]
    await wait_until(lambda: knows_all(peers), FOUND_S)


@pytest.mark.dnsmasq
async def test_peers_behind_one_name_find_one_another_and_a_record_that_comes_late(mesh: Mesh, tmp_path: Path):
    hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    port = free_port(*hosts)
    with name_server(tmp_path) as server:
        await server.started()
        await server.change({"peers.test": hosts[:2]})
        way = f"dns:peers.test:{port}@127.0.0.1:{server.port}"
        peers = [await start(mesh, f"p{host[-1]}", "--discovery", way, "--bind", host, "--port", str(port)) for host in hosts]
        await wait_until(lambda: knows_all(peers), FOUND_S)


@pytest.mark.dnsmasq
async def test_a_name_that_means_ourselves_and_nobody_is_no_harm_and_is_asked_again(mesh: Mesh, tmp_path: Path):
    port = free_port("127.0.0.2", "127.0.0.3")
    with name_server(tmp_path) as server:
        await server.started()
        await server.change({"peers.test": ("127.0.0.2", "127.0.0.9")})
        at = f"@127.0.0.1:{server.port}"
        arguments = ("--discovery", f"dns:peers.test:{port}{at},dns:nobody.test{at}", "--bind", "127.0.0.2", "--port", str(port))
        alone = await start(mesh, "alone", *arguments)
        await wait_until(lambda: noticed(alone, "there is no name nobody.test"), FOUND_S)
        assert [row["id"] for row in alone.peers()] == [alone.id]
        late = await start(mesh, "late", "--discovery", "static", "--bind", "127.0.0.3", "--port", str(port))
        await server.change({"peers.test": ("127.0.0.3",)})
        await wait_until(lambda: knows_all([alone, late]), FOUND_S)


@pytest.mark.dnsmasq
async def test_service_records_lead_to_peers_on_any_port(mesh: Mesh, tmp_path: Path):
    first = await start(mesh, "first", "--discovery", "static")
    name = "_rendermesh._tcp.farm.test"
    with name_server(tmp_path, services=(f"{name},first.farm.test,{first.port}",)) as server:
        await server.started()
        await server.change({"first.farm.test": ("127.0.0.1",)})
        second = await start(mesh, "second", "--discovery", f"dns:{name}@127.0.0.1:{server.port}")
        await wait_until(lambda: knows_all([first, second]), FOUND_S)


@pytest.mark.consul
async def test_peers_find_one_another_by_a_real_consul_agent_which_sees_them_healthy_and_leave_it_clean(
    mesh: Mesh, tmp_path: Path
):
    async with real_agent(tmp_path) as url:
        agent = PeerProcess("agent", tmp_path, (), {}, url=url)
        peers = [await start(mesh, name, "--discovery", f"consul:{url}") for name in ("ash", "oak", "elm")]
        await wait_until(lambda: knows_all(peers), FOUND_S)
        passing = agent.ask("GET", "/v1/health/service/rendermesh?passing").json
        assert {row["Service"]["Meta"]["id"] for row in passing} == {peer.id for peer in peers}

        def looked_at() -> bool:
            rows = list(agent.ask("GET", "/v1/agent/checks").json.values())
            return len(rows) == 3 and all(row["Status"] == "passing" and "200 OK" in row["Output"] for row in rows)

        await wait_until(looked_at, FOUND_S)
        peers[0].terminate()
        assert await peers[0].ended() == 0
        assert len(agent.ask("GET", "/v1/agent/services").json) == 2
        agent.close()


async def test_an_agent_that_lies_or_is_away_is_told_and_does_no_harm(mesh: Mesh):
    async with fake_agent() as agent:
        await agent.change(
            {"x": {"ID": "x", "Name": "rendermesh", "Address": "127.0.0.9", "Port": 9}, "y": {"Name": "rendermesh"}}
        )
        ways = f"consul:{agent.url},consul:http://127.0.0.1:1"
        peer = await start(mesh, "ash", "--discovery", ways)
        await wait_until(lambda: len(agent.services) == 3, FOUND_S)
        await wait_until(lambda: noticed(peer, "http://127.0.0.1:1"), FOUND_S)
        assert [row["id"] for row in peer.peers()] == [peer.id]
        peer.terminate()
        assert await peer.ended() == 0
        assert set(agent.services) == {"x", "y"}


async def test_a_peer_is_an_agent_too(mesh: Mesh):
    """The same calls against a peer's own API: whoever it serves finds one another, and then the whole mesh."""
    hub = await start(mesh, "hub", "--discovery", "static", "--mesh", f"{mesh.name}-other")
    peers = [await start(mesh, name, "--discovery", f"consul:{hub.url}") for name in ("ash", "oak")]
    await wait_until(lambda: knows_all(peers), FOUND_S)
    for peer in peers:
        peer.terminate()
        assert await peer.ended() == 0
    assert [name for name in hub.ask("GET", "/v1/agent/services").json if name.startswith("rendermesh-")] == []
