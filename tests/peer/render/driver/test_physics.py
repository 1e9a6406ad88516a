from __future__ import annotations

import pytest

from protocol.jobs.spec import RenderSettings

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def unbaked(warm, kitchen, name) -> list[str]:
    found = await warm.inspect(kitchen.scenes, f"{name}.blend", RenderSettings())
    assert found.error is None
    warnings = [warning for warning in found.warnings if warning.code == "unbaked_simulation"]
    assert {warning.kind for warning in warnings} <= {"picture"}
    return sorted(warning.text.partition(" is not baked")[0] for warning in warnings)


async def test_each_simulation_that_is_rendered_and_not_baked_is_named(warm, kitchen):
    assert await unbaked(warm, kitchen, "stepped") == [
        "the cloth of 'Cloth'",
        "the particle system of 'Sparks'",
        "the rigid body world of 'Scene'",
        "the soft body of 'Soft'",
    ]


async def test_baked_ones_are_not(warm, kitchen):
    assert await unbaked(warm, kitchen, "baked") == []


async def test_a_scene_without_simulations_has_none(warm, kitchen):
    assert await unbaked(warm, kitchen, "simple") == []
