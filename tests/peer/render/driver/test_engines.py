from __future__ import annotations

import pytest

from peer.ports import RenderFailed
from tests.peer.render.pictures import nothing

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_capabilities_are_those_of_this_blender(capabilities, kitchen):
    found = capabilities
    assert (found.renderer, found.home, found.devices[0]) == ("blender", kitchen.home, "cpu")
    assert len(found.version.split(".")) == 3
    assert found.build
    assert "CYCLES" in found.engines


async def test_workbench_renders_where_it_is_advertised(capabilities, opened, attempt):
    if "BLENDER_WORKBENCH" in capabilities.engines:
        session = await opened("simple", engine="BLENDER_WORKBENCH", samples=8)
        rendered = await session.render(1, attempt(), nothing)
        assert rendered.device == "opengl"
        assert rendered.files[0].path.stat().st_size > 0
    else:
        with pytest.raises(RenderFailed):
            await (await opened("simple", engine="BLENDER_WORKBENCH")).render(1, attempt(), nothing)


@pytest.mark.parametrize("name", ["BLENDER_EEVEE", "BLENDER_EEVEE_NEXT"])
async def test_eevee_answers_to_both_of_its_names(warm, kitchen, name):
    from protocol.jobs.spec import RenderSettings

    found = await warm.inspect(kitchen.scenes, "simple.blend", RenderSettings(engine=name, samples=4))
    assert found.error is None
    assert found.engine in ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT")
