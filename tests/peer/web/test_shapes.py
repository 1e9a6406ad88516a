from __future__ import annotations

import pytest

from peer.web import shapes
from protocol.views import EventRow
from tests.fakes.mesh import peer_id


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_738_324_800_007, "2025-01-31T12:00:00.007Z"), (2**53, None)],
)
def test_times(wall_ms: int, text: str | None):
    if text is None:
        with pytest.raises((ValueError, OverflowError)):
            shapes.rfc3339(wall_ms)
    else:
        assert shapes.rfc3339(wall_ms) == text


def test_fields_of_an_event_cannot_pass_for_its_own_members():
    row = EventRow(7, 0, "frame_done", "info", None, {"observer": "forged", "event": "x", "frame": 3})
    assert shapes.event_json(row, peer_id("a")) == {
        "id": 7,
        "time": "1970-01-01T00:00:00.000Z",
        "event": "frame_done",
        "level": "info",
        "peer": peer_id("a"),
        "observer": peer_id("a"),
        "job": None,
        "frame": 3,
    }


def test_an_event_names_whom_it_is_about_and_who_noted_it():
    about = shapes.event_json(EventRow(7, 0, "member_died", "info", None, {"peer": peer_id("a"), "id": "lost"}), peer_id("b"))
    assert (about["peer"], about["observer"], about["id"]) == (peer_id("a"), peer_id("b"), 7)
    assert shapes.event_json(EventRow(8, 0, "store_full", "error", None, {}), peer_id("b"))["peer"] == peer_id("b")
