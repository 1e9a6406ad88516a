"""What comes from a network that means no good: seeds that lead nowhere, and datagrams that are none."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from peer.net.meshkey import LOOPBACK_FILE, load_or_make_loopback_key
from protocol.ids import PeerId
from protocol.wire.codec import encode_many
from protocol.wire.gossip import Ping
from protocol.wire.seal import KeyRing, MeshKey, Sealer
from tests.bench.flooder import bad_datagrams, in_turn
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

DATAGRAMS = 5_000
BURST = 50  # the kernel's buffer holds more


@contextlib.contextmanager
def a_silent_port() -> Iterator[int]:
    """A TCP port that takes connections and never says a word, with a UDP socket of the same number that hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(server.getsockname())
        yield server.getsockname()[1]


async def test_a_seed_that_is_the_peer_itself_silent_refused_or_no_name_keeps_nobody_from_the_others(mesh: Mesh) -> None:
    first = await mesh.start("first")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    with a_silent_port() as silent:
        seeds = [f"127.0.0.1:{own}", f"localhost:{own}", f"127.0.0.1:{silent}", "127.0.0.1:9", "nobody.invalid:7700", first.host]
        alone = await mesh.start("alone", "--port", str(own), *(word for seed in seeds for word in ("--join", seed)))
        assert alone.port == own
        await mesh.together([first, alone])
        await wait_until(lambda: "nobody.invalid" in alone.log)
    everybody = {first.id, alone.id}
    assert {row["id"] for row in alone.peers("alive", "suspect", "dead", "left")} == everybody
    assert {row["id"] for row in first.peers("alive", "suspect", "dead", "left")} == everybody
    assert "Traceback" not in alone.log
    job = alone.submit(frames="1-4", settings={"frame_ms": 5})
    assert (await first.until_ended(job))["state"] == "completed"


def key_of(mesh: Mesh) -> MeshKey:
    """The key that peers of this account share on loopback."""
    (path,) = Path(mesh.home).rglob(LOOPBACK_FILE)
    return load_or_make_loopback_key(path, mesh_name=mesh.name)


def dropped(peer: PeerProcess, reason: str = "") -> float:
    return peer.metric("rendermesh_datagrams_dropped_total", **({"reason": reason} if reason else {}))


async def test_bad_datagrams_of_every_kind_are_counted_and_nobody_is_called_dead(mesh: Mesh) -> None:
    """Noise, cut, too large, flipped, replayed, and nested or bloated under the mesh's own key; a job goes on meanwhile."""
    first, second = await mesh.start_many("first", "second")
    stranger = Sealer(KeyRing(key_of(mesh)), PeerId(secrets.token_hex(32)), secrets.token_bytes(16))
    recording = [stranger.seal(encode_many([Ping(number, PeerId(second.id))])) for number in range(50)]
    job = second.submit(frames="1-60", settings={"frame_ms": 20})
    sent = 0
    endless = in_turn(bad_datagrams(key_of(mesh), recording))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        while sent < DATAGRAMS:
            before = dropped(second)
            for datagram in islice(endless, BURST):
                raw.sendto(datagram, ("127.0.0.1", second.port))
            sent += BURST
            await wait_until(lambda before=before: dropped(second) > before)  # type: ignore[misc]
    for reason in ("short", "oversized", "forged", "replayed"):
        assert dropped(second, reason) > 0, reason
    assert (await second.until_ended(job))["state"] == "completed"
    for peer in (first, second):
        assert {row["id"] for row in peer.peers()} == {first.id, second.id}
        assert not [event for event in peer.events() if event["event"] in ("member_died", "member_left")]
        assert "Traceback" not in peer.log


async def test_peerctl_ping_reaches_a_peer_by_datagram_stream_and_a_helper(mesh: Mesh) -> None:
    first, second, third = await mesh.start_many("first", "second", "third")
    done = mesh.peerctl(first, "ping", "second", "--json")
    assert done.returncode == 0, done.stderr
    ways = json.loads(done.stdout)
    assert (ways["asker"], ways["peer"], ways["helpers"]) == (first.id, second.id, [third.id])
    for way in ("datagram", "stream", "indirect"):
        assert ways[way]["sent"] >= ways[way]["received"] == len(ways[way]["rtt_ms"]) > 0, ways  # a busy machine may be late
        assert all(0 < rtt_ms < 60_000 for rtt_ms in ways[way]["rtt_ms"])
