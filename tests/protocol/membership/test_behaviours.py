"""What no single part promises, in meshes without helpers of chance: keys of two rings, no seeds, a cut, a vanished target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.effects import SendStream, SendToSeed
from protocol.events import SeedsFound
from protocol.ids import PeerId
from protocol.membership.options import LAN
from protocol.wire.gossip import Dead, Ping, Suspect
from protocol.wire.seal import Dropped
from tests.protocol.membership.mesh import KEY, Mesh
from tests.protocol.membership.rig import A, B, C, D, alive, at, knowing, next_ping, says, swim

NEW = replace(KEY, key=b"n" * 32)


def accusations(mesh: Mesh) -> list[str]:
    names = ("member_suspected", "member_died")
    return [notice.event for peer in mesh.peers.values() for notice in peer.notices if notice.event in names]


def test_peers_in_the_middle_of_a_rotation_hear_one_another_and_one_with_the_old_key_only_does_not() -> None:
    mesh = Mesh().start_many(5)
    rings = [peer.ring for peer in mesh.peers.values()]
    for ring in rings:
        ring.install(NEW)
        mesh.run(3)
    for ring in rings[:3]:
        ring.use(NEW.fingerprint)
    mesh.run(60)
    assert mesh.all_alive()
    for ring in rings[3:]:
        ring.use(NEW.fingerprint)
    for ring in rings[:4]:
        ring.remove(KEY.fingerprint)
    mesh.run(60)
    assert mesh.all_alive()
    assert accusations(mesh) == []
    mesh.start(5, seeds=[0])
    mesh.run(20)
    assert mesh.peers[0].sees(5) == "unknown"
    assert set(mesh.peers[0].dropped) == {Dropped.WRONG_KEY}


def test_a_partition_longer_than_the_gossip_to_the_dead_heals_without_seeds_too() -> None:
    mesh = Mesh().start_many(6)
    for peer in mesh.peers.values():
        peer.swim._healing._seeds.clear()
    mesh.drops = lambda sender, receiver, kind: (sender < 3) != (receiver < 3)
    mesh.run(LAN.gossip_to_dead_s + 60)
    assert all(mesh.peers[one].sees(other) == "dead" for one in range(3) for other in range(3, 6))
    mesh.drops = lambda sender, receiver, kind: False
    healed_s = mesh.run_until(mesh.all_alive, 30)
    assert healed_s is not None
    assert healed_s < 10.0


def test_a_one_way_cut_leads_to_no_suspicion_at_all() -> None:
    mesh = Mesh().start_many(5)
    mesh.drops = lambda sender, receiver, kind: (sender, receiver) == (0, 1)
    mesh.run(120)
    assert mesh.all_alive()
    assert accusations(mesh) == []


def test_a_target_that_vanishes_in_mid_probe_says_nothing_about_our_health() -> None:
    book = knowing(A, B, C, D)
    next_ping(book, to=A)
    book.wait(0.5)
    book.silent = (A, B, C, D)
    book.feed(says(B, Dead(A, 1, 1, B))).forget().wait(0.9)
    assert book.machine.health_score == 0


def test_whose_datagrams_are_blocked_joins_over_a_stream_and_stays() -> None:
    mesh = Mesh().start_many(3)
    mesh.drops = lambda sender, receiver, kind: kind == "datagram" and 3 in (sender, receiver)
    mesh.start(3, seeds=[0])
    joined_s = mesh.run_until(mesh.all_alive, 30)
    assert joined_s is not None
    mesh.run(120)
    assert mesh.all_alive()
    assert "member_died" not in accusations(mesh)
    assert "member_udp_blocked" in {notice.event for notice in mesh.peers[0].notices}


def test_a_seed_that_is_reached_by_datagram_is_not_asked_by_stream() -> None:
    book = swim().forget()
    book.feed(SeedsFound((at(A),))).wait(1)
    book.feed(says(A, Ping(9, None), alive(A)))
    book.wait(60)
    book.expect_no(SendToSeed)


@pytest.mark.parametrize(("members", "least", "most"), [(4, 1.0, 1.0), (60, 0.03, 0.2)])
def test_the_larger_the_mesh_the_fewer_ask_at_once_about_a_refused_connection(members: int, least: float, most: float) -> None:
    """Each hearer with probability min(1, 3k/n), so that about three times as many as needed ask, whatever the size."""
    asked, rounds = 0, 150
    crowd = [PeerId(f"{number:064x}") for number in range(1, members)]
    for seed in range(rounds):
        book = knowing(A, B, seed=seed)
        book.feed(*(says(B, alive(peer, address=at(C))) for peer in crowd)).forget()
        book.feed(says(B, Suspect(A, 1, 1, B, True)))
        asked += bool(book.take(SendStream, peer=A))
    assert least <= asked / rounds <= most
