from peer.cli.client import MeshClient
from peer.cli.eventstream import event_line, followed_events, kept_events
from peer.cli.settings import Host
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def client(peer: FakePeer) -> MeshClient:
    return MeshClient([Host(peer.url)], named=True, say=lambda _: None)


def test_kept_events_after_an_id(mesh: FakeMesh, peer: FakePeer) -> None:
    mesh.events = [{"id": str(number), "event": "e"} for number in (1, 2, 3)]
    assert [event_id for event_id, _ in kept_events(client(peer), "/api/v1/events", last_id="1")] == ["2", "3"]


def test_followed_events_go_on(mesh: FakeMesh, peer: FakePeer) -> None:
    mesh.events = [{"id": "1", "event": "e"}]
    stream = followed_events(client(peer), "/api/v1/events", silent_s=5)
    assert next(stream) == {"id": "1", "event": "e"}
    mesh.events.append({"id": "2", "event": "f"})
    assert next(stream) == {"id": "2", "event": "f"}
    stream.close()  # type: ignore[attr-defined]


def test_a_line_for_people() -> None:
    event = {
        "id": "4",
        "time": "T",
        "event": "steal",
        "job": "ab" * 16,
        "frame": 0,
        "peer": None,
        "frames": [1, 2],
        "note": "a\x1bb",
    }
    assert event_line(event) == "T  steal  job=abababababab  frame=0  frames=[1, 2]  note=a\\x1bb"
