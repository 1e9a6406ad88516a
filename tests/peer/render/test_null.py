from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.null import NullRenderer
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing, pixels
from tests.waiting import wait_until

HERE = Path()


def settings(**more) -> RenderSettings:
    return RenderSettings(renderer="null", settings={"frame_ms": 0, **more})


async def test_a_frame_is_a_small_whole_picture(attempt):
    session = await NullRenderer().open(HERE, "", settings())
    folder = attempt()
    heard: list[float] = []
    rendered = await session.render(7, folder, heard.append)
    (file,) = rendered.files
    assert (file.role, file.name, file.format, file.channels) == ("main", "main_0007.png", "PNG", 3)
    assert pixels(file.path)[0] == (file.width, file.height) == (320, 180)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


async def test_pixels_depend_on_the_frame_and_on_nothing_else(attempt):
    one, two = [await NullRenderer().open(HERE, "", settings()) for _ in range(2)]
    first = (await one.render(1, attempt(), nothing)).files[0].path
    same = (await two.render(1, attempt(), nothing)).files[0].path
    other = (await two.render(2, attempt(), nothing)).files[0].path
    assert pixels(first) == pixels(same)
    assert pixels(first) != pixels(other)


async def test_the_size_can_be_chosen_and_the_output_left_out(attempt):
    session = await NullRenderer().open(HERE, "", RenderSettings(renderer="null", resolution="64x48", settings={"frame_ms": 0}))
    assert pixels((await session.render(1, attempt(), nothing)).files[0].path)[0] == (64, 48)
    silent = await NullRenderer().open(HERE, "", settings(output="none"))
    folder = attempt()
    assert (await silent.render(1, folder, nothing)).files == ()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"frame_sm": 3}, "frame_sm"),
        ({"frame_ms": -1}, "frame_ms"),
        ({"frame_ms": "3"}, "frame_ms"),
        ({"output": "gif"}, "output"),
        ({"fail_frames": ["x"]}, "fail_frames"),
    ],
)
async def test_wrong_settings_are_named_with_those_there_are(wrong, word):
    renderer = NullRenderer()
    with pytest.raises(RenderFailed) as caught:
        await renderer.open(HERE, "", settings(**wrong))
    assert caught.value.failure.kind == "scene"
    assert word in caught.value.failure.reason
    assert "the null renderer knows frame_ms, output" in caught.value.failure.reason
    found = await renderer.inspect(HERE, "", settings(**wrong))
    assert found.error == caught.value.failure


async def test_an_inspection_says_frames_and_that_nothing_is_drawn():
    found = await NullRenderer().inspect(HERE, "", settings())
    assert (found.error, found.frame_start, found.frame_end, found.format) == (None, 1, 1, "PNG")
    assert "NULL" in found.notes[0]
    longer = await NullRenderer().inspect(HERE, "", settings(frame_start=3, frame_end=8))
    assert (longer.frame_start, longer.frame_end) == (3, 8)


async def test_overlapping_calls_render_in_their_order(attempt):
    session = await NullRenderer().open(HERE, "", settings())
    done: list[int] = []

    async def one(frame: int) -> None:
        await session.render(frame, attempt(), nothing)
        done.append(frame)

    await asyncio.gather(*(one(frame) for frame in (3, 1, 2)))
    assert done == [3, 1, 2]


async def test_frames_misbehave_as_asked(attempt):
    session = await NullRenderer().open(HERE, "", settings(fail_frames=[1], crash_frames=[2]))
    with pytest.raises(RenderFailed) as failed:
        await session.render(1, attempt(), nothing)
    assert failed.value.failure.kind == "scene"
    with pytest.raises(RenderFailed) as crashed:
        await session.render(2, attempt(), nothing)
    assert crashed.value.failure.kind == "crash"
    with pytest.raises(RenderFailed) as after:
        await session.render(3, attempt(), nothing)
    assert after.value.failure.kind == "infrastructure"


async def test_a_frame_that_hangs_times_out_and_takes_the_session_with_it(attempt):
    session = await NullRenderer().open(HERE, "", settings(hang_frames=[1]), frame_timeout_s=0.05)
    both = [session.render(frame, attempt(), nothing) for frame in (1, 2)]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert [result.failure.kind for result in results if isinstance(result, RenderFailed)] == ["timeout", "infrastructure"]


async def test_closing_the_renderer_ends_what_hangs(attempt):
    renderer = NullRenderer()
    session = await renderer.open(HERE, "", settings(hang_frames=[1]))
    frame = asyncio.create_task(session.render(1, attempt(), nothing))
    await wait_until(session._turn.locked)
    await renderer.close()
    with pytest.raises(RenderFailed) as caught:
        await frame
    assert caught.value.failure.kind == "infrastructure"
    assert renderer._sessions == set()


async def test_it_is_always_there_and_says_what_it_is():
    found = await NullRenderer().probe()
    assert (found.renderer, found.home, found.engines) == ("null", "null", ("NULL",))
