"""Who is who between real hosts: another mesh, a copied data folder, recorded datagrams."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hosts import DEAD_S, PORT, Farm, farm, make_key
from tests.e2e.netns import Host, why_not

pytestmark = [pytest.mark.namespaces, pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
ETH_P_ALL = 3
UDP = 17


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(4, tmp_path_factory.mktemp("three"), running=3) as made:
        yield made


def test_another_mesh_on_the_same_network_is_counted_and_never_joins(three: Farm, tmp_path: Path):
    flags = three.fleet.flags
    three.fleet.flags = (*flags, "--mesh-key-file", str(make_key(tmp_path / "other.key")))
    try:
        stranger = three.start(3)
        counted = three.fleet.wait(lambda: three.drops(0).get("foreign_mesh", 0) >= 3, 20, None)
        assert counted, three.drops(0)
        assert stranger.view == {}
        assert [one.view.get(stranger.key) for one in three.fleet.daemons.values()] == [None] * 4
    finally:
        three.fleet.flags = flags
        three.fleet.kill(3)
        shutil.rmtree(three.fleet.folder / "p3")


def test_of_two_peers_with_one_id_the_later_one_ends_with_a_clear_error(three: Farm):
    assert three.agree(0, 1, 2)
    copied, copy = three.fleet.folder / "p2", three.fleet.folder / "p3"
    shutil.copytree(copied, copy, ignore=shutil.ignore_patterns("lock", "*.lock"))
    original = three.fleet.daemons[2]
    later = three.start(3)
    assert later.key == original.key
    ended = three.fleet.wait(lambda: later.process.poll() is not None, 60, None)
    story = list(later.lines)
    del three.fleet.daemons[3]
    if not ended:
        later.process.kill()
        later.process.wait()
    assert ended, story
    assert later.process.returncode == 2
    assert any(line.startswith("peerd: another peer with this peer's id runs at") for line in story), story
    assert original.process.poll() is None
    outlived = three.fleet.wait(lambda: any("member_outlived" in line for line in original.lines), 60, None)
    assert outlived, "the others held the copy for its restart, so it must come back in the copy's run"
    assert three.agree(0, 1, 2, timeout_s=60), three.fleet.doubts()


def test_recorded_datagrams_of_a_dead_peer_change_nothing_however_often_they_come_back(three: Farm):
    assert three.agree(0, 1, 2)
    listener, speaker = three.hosts[0], three.hosts[2]
    with listener.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with tap:
        tap.settimeout(20)
        recording = record(tap, sender=speaker, count=20)
    key = three.fleet.kill(2).key
    known_dead = three.fleet.wait(lambda: all(three.fleet.daemons[one].view.get(key) == "dead" for one in (0, 1)), DEAD_S, None)
    assert known_dead
    before, said = three.drops(0).get("replayed", 0), len(three.fleet.said)
    play(recording, speaker, listener)
    counted = three.fleet.wait(lambda: three.drops(0).get("replayed", 0) >= before + len(recording), 20, None)
    assert counted, three.drops(0)
    assert three.fleet.said[said:] == []

    restarted = three.fleet.kill(0).index
    three.start(restarted, [1])
    assert three.agree(0, 1)
    said = len(three.fleet.said)
    play(recording, speaker, listener)  # the new run has never seen them, and believes none of their salts
    assert not three.fleet.wait(
        lambda: any(one.about == key and one.state == "alive" for one in three.fleet.said[said:]), 3, None
    )


def record(tap: socket.socket, *, sender: Host, count: int) -> list[bytes]:
    """The next `count` gossip datagrams from `sender` that pass by."""
    found: list[bytes] = []
    while len(found) < count:
        frame = tap.recv(65_535)
        if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != UDP:
            continue
        header = 14 + 4 * (frame[14] & 15)
        source, target = struct.unpack_from(">HH", frame, header)
        if socket.inet_ntoa(frame[26:30]) == sender.address and source == target == PORT:
            found.append(frame[header + 8 :])
    return found


def play(recording: list[bytes], sender: Host, receiver: Host) -> None:
    """Send them again, from the same address and port."""
    with sender.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((sender.address, PORT))
        for datagram in recording:
            sock.sendto(datagram, (receiver.address, PORT))
