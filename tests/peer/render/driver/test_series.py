"""Which file of a series a frame needs: the rules are Blender's, compared with its own pictures by the table of scenes."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import pytest


@pytest.fixture
def series(monkeypatch):
    """The module without Blender: it is plain arithmetic and a look at a folder."""
    blender = types.ModuleType("peer.render.driver.blender")
    vars(blender)["bpy"] = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "peer.render.driver.blender", blender)
    monkeypatch.delitem(sys.modules, "peer.render.driver.series", raising=False)
    import peer.render.driver.series as module

    yield module
    sys.modules.pop("peer.render.driver.series", None)


def user(**given):
    return SimpleNamespace(**{"frame_duration": 3, "frame_start": 1, "frame_offset": 0, "use_cyclic": False, **given})


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({}, [0, 1, 2, 3, 3, 3]),
        ({"frame_start": 3}, [0, 0, 0, 1, 2, 3]),
        ({"frame_offset": 10}, [10, 11, 12, 13, 13, 13]),
        ({"use_cyclic": True}, [3, 1, 2, 3, 1, 2]),
        ({"frame_duration": 0}, [None] * 6),
    ],
)
def test_an_image_user_picks_files_by_frame(series, given, numbers):
    assert [series.image_number(user(**given))(frame) for frame in range(6)] == numbers


def test_a_compositor_node_needs_no_file_before_it_begins(series):
    assert [series.image_number(user(frame_start=3), waits=True)(frame) for frame in range(6)] == [None] * 3 + [1, 2, 3]
    assert series.image_number(user(frame_start=3, use_cyclic=True), waits=True)(1) == 2


@pytest.mark.parametrize(
    ("mode", "numbers"),
    [
        ("CLIP", [None, 1, 2, 3, None, None, None]),
        ("EXTEND", [1, 1, 2, 3, 3, 3, 3]),
        ("REPEAT", [3, 1, 2, 3, 1, 2, 3]),
        ("PING_PONG", [2, 1, 2, 3, 2, 1, 2]),
    ],
)
def test_a_volume_picks_files_by_its_mode(series, mode, numbers):
    number = series.volume_number(user(sequence_mode=mode))
    assert [number(frame) for frame in range(7)] == numbers


def test_the_first_hole_is_named_and_a_series_without_any_file_is_not_one(series, tmp_path):
    def holes(last):
        path = tmp_path / "plate_0001.png"
        return [hole[2].name for hole in series._hole("plate", "//plate_0001.png", path, range(1, last + 1), lambda frame: frame)]

    assert holes(3) == []
    for number in (1, 2, 5):
        (tmp_path / f"plate_{number:04}.png").touch()
    assert holes(2) == []
    assert holes(5) == ["plate_0003.png"]
