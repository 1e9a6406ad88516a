from __future__ import annotations

import asyncio

from peer.bell import Bell


async def test_a_ring_wakes_all_who_wait_and_nobody_who_comes_later():
    bell, woken = Bell(), []

    async def waiting(name: str) -> None:
        await bell.wait(30)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(waiting("one"))
        group.create_task(waiting("two"))
        await asyncio.sleep(0)
        bell.ring(1)
    assert woken == ["one", "two"]
    await bell.wait(0.01)  # its time passes, for nothing rings


async def test_the_same_value_again_is_no_ring():
    bell = Bell()
    bell.ring(1)
    task = asyncio.create_task(bell.wait(30))
    await asyncio.sleep(0)
    bell.ring(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    bell.ring(2)
    await task


async def test_a_closed_bell_lets_everyone_go():
    bell = Bell()
    task = asyncio.create_task(bell.wait(30))
    await asyncio.sleep(0)
    bell.close()
    await task
    await bell.wait(30)
