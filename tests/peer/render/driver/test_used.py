from __future__ import annotations

import pytest

from protocol.jobs.spec import RenderSettings

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def found(warm, kitchen, name, **settings) -> list[tuple[str, str]]:
    """Findings that touch the picture: code, and the name in quotes."""
    seen = await warm.inspect(kitchen.scenes, f"{name}.blend", RenderSettings(**settings))
    assert seen.error is None
    return sorted((warning.code, warning.text.split("'")[1]) for warning in seen.warnings if warning.kind == "picture")


async def test_what_no_picture_shows_holds_nothing(warm, kitchen):
    assert await found(warm, kitchen, "unseen") == []


async def test_a_scene_that_is_asked_for_is_looked_at_instead(warm, kitchen):
    seen = await warm.inspect(kitchen.scenes, "unseen.blend", RenderSettings(scene_name="Other"))
    assert [warning.text.split("'")[1] for warning in seen.warnings if warning.code == "missing_image"] == ["Sky"]


async def test_what_others_make_of_hidden_data_counts(warm, kitchen):
    assert await found(warm, kitchen, "by_others") == [
        ("missing_image", "bumps"),
        ("missing_image", "mixed"),
        ("unbaked_simulation", "Deeper"),
        ("unbaked_simulation", "Excluded"),
    ]
