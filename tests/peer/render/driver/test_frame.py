from __future__ import annotations

import asyncio

import pytest

from tests.peer.render.pictures import nothing, pixels

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_a_frame_decodes_and_differs_from_the_next(opened, attempt):
    session = await opened("simple")
    first, second = [await session.render(frame, attempt(), nothing) for frame in (1, 2)]
    assert pixels(first.files[0].path)[0] == (64, 36)
    assert pixels(first.files[0].path) != pixels(second.files[0].path)
    assert 0 < first.seconds < 60
    assert "Saved" in first.log
    assert "\x1e" not in first.log


async def test_calls_may_overlap_and_each_log_is_its_own(opened, attempt):
    session = await opened("simple")
    frames = (4, 1, 3, 2)
    results = await asyncio.gather(*(session.render(frame, attempt(), nothing) for frame in frames))
    for frame, result in zip(frames, results, strict=True):
        assert result.files[0].name == f"main_{frame:04d}.png"
        assert f"main_{frame:04d}.png" in result.log
        assert result.log.count("main_") == 1


async def test_progress_rises_to_one(opened, attempt):
    heard: list[float] = []
    session = await opened("simple", samples=64, resolution="320x180")
    await session.render(1, attempt(), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


async def test_frames_far_out_and_below_zero(opened, attempt):
    session = await opened("simple")
    far = await session.render(1_048_574, attempt(), nothing)
    assert far.files[0].name == "main_1048574.png"
    below = await session.render(-2, attempt(), nothing)
    assert [file.name for file in below.files] == ["main_-0002.png"]
    assert (await session.render(1, attempt(), nothing)).files[0].name == "main_0001.png"


@pytest.mark.parametrize(("scene", "names"), [
    ("outputs", ["main_-0002.png", "Plain/out_1_-0002.png", "Layered/layers-0002.exr"]),
    ("stereo", ["main_-0002_L.png", "main_-0002_R.png"]),
])  # fmt: skip
async def test_frames_below_zero_have_all_their_outputs(opened, attempt, scene, names):
    session = await opened(scene)
    assert [file.name for file in (await session.render(-2, attempt(), nothing)).files] == names
    assert all("-" not in file.name for file in (await session.render(2, attempt(), nothing)).files)
