from __future__ import annotations

import pytest

from peer.ports import RenderFailed
from tests.peer.render.pictures import nothing

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_a_command_that_it_does_not_know_is_refused_and_the_next_one_done(own):
    renderer = own()
    process = await renderer._take(None)
    with pytest.raises(RenderFailed, match="does not know the command 'dance'"):
        await process.ask({"do": "dance"})
    assert (await process.ask({"do": "hello"})).result["version"] == process.version
    await renderer._give_back(process)


async def test_rendering_without_an_opened_scene_is_refused(own, tmp_path):
    renderer = own()
    process = await renderer._take(None)
    with pytest.raises(RenderFailed, match="no scene is open"):
        await process.ask({"do": "render", "frame": 1, "folder": str(tmp_path)})
    await renderer._give_back(process)


async def test_a_mistake_in_the_driver_is_the_renderers_failure_with_a_traceback_in_the_log(own):
    renderer = own()
    process = await renderer._take(None)
    with pytest.raises(RenderFailed) as caught:
        await process.ask({"do": "open"})
    assert caught.value.failure.kind == "renderer"
    assert "KeyError" in caught.value.failure.reason
    assert "Traceback" in caught.value.log
    await renderer._give_back(process)


async def test_a_failed_frame_does_not_end_the_session(opened, attempt, tmp_path):
    session = await opened("simple")
    (tmp_path / "file").write_text("a file where a folder should be")
    with pytest.raises(RenderFailed):
        await session.render(1, tmp_path / "file" / "attempt", nothing)
    assert (await session.render(1, attempt(), nothing)).files
