from __future__ import annotations

import pytest

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_the_version_is_three_numbers_known_before_the_first_command(own):
    renderer = own()
    await renderer.prewarm()
    (process,) = renderer._idle
    assert [part.isdigit() for part in process.version.split(".")] == [True, True, True]
