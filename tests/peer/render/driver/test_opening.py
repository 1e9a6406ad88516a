from __future__ import annotations

import pytest

from peer.ports import RenderFailed
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing, pixels

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", ["truncated.blend", "text.blend", "absent.blend"])
async def test_what_does_not_open_is_a_failure_and_the_next_scene_is_not_its_predecessor(warm, kitchen, opened, attempt, name):
    before = await (await opened("simple")).render(2, attempt(), nothing)
    with pytest.raises(RenderFailed) as caught:
        await warm.open(kitchen.scenes, name, RenderSettings())
    assert caught.value.failure.kind == ("infrastructure" if name == "absent.blend" else "scene")
    assert name in caught.value.failure.reason
    assert str(kitchen.scenes) not in caught.value.failure.reason
    after = await (await opened("simple")).render(2, attempt(), nothing)
    assert pixels(before.files[0].path) == pixels(after.files[0].path)


@pytest.mark.parametrize("name", ["truncated.blend", "text.blend"])
async def test_an_inspection_of_what_does_not_open_carries_the_error(warm, kitchen, name):
    found = await warm.inspect(kitchen.scenes, name, RenderSettings())
    assert found.error is not None
    assert found.error.kind == "scene"
    assert "cannot open" in found.error.reason


async def test_a_scene_that_would_run_scripts_opens_without_them_every_time(opened, kitchen, attempt):
    for name in ("refused", "simple", "refused"):
        await (await opened(name)).render(1, attempt(), nothing)
    assert not (kitchen.scenes / "ran").exists()


async def test_reopening_with_other_settings_leaks_nothing(warm, own, kitchen, attempt):
    """A warm process that has seen other scenes and settings gives the pixels of a fresh one."""
    for name, settings in (
        ("choices", {"camera": "Other", "resolution": "200x100"}),
        ("outputs", {}),
        ("simple", {"samples": 9, "format": "JPEG", "color_mode": "BW", "threads": 1}),
    ):
        session = await warm.open(kitchen.scenes, f"{name}.blend", RenderSettings(**settings))
        await session.render(2, attempt(), nothing)
        await session.close()
    plain = RenderSettings(samples=2)
    used = await warm.open(kitchen.scenes, "simple.blend", plain)
    fresh = await own().open(kitchen.scenes, "simple.blend", plain)
    for frame in (3, 1):
        one = (await used.render(frame, attempt(), nothing)).files
        two = (await fresh.render(frame, attempt(), nothing)).files
        assert [file.name for file in one] == [file.name for file in two] == [f"main_{frame:04d}.png"]
        assert pixels(one[0].path) == pixels(two[0].path)
    await used.close()
    await fresh.close()
