"""A peer's renderers over its life, with a workshop that really runs and renderers that a test breaks, mends and upgrades."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from peer.ports import RendererMissing
from peer.render.find import Found
from peer.renderers import RendererWatch
from peer.selfchecks import SelfChecks
from peer.workshop import Workshop
from protocol.effects import Notice
from protocol.events import Event, RenderersFound
from protocol.jobs.results import Capabilities
from tests.fakes.shop import SCENE, LoglessBlobs, Shop, kind_of
from tests.fakes.workbench import FakeRenderer, FakeVerifier
from tests.waiting import wait_until

OLD = Capabilities("blender", "3.4.1", "old", "program")
NEW = Capabilities("blender", "4.2.0", "new", "program")
MISSING = ("auto: there is no Blender",)
FAR_S = 3_600.0


@dataclass(slots=True)
class Life:
    """A watch over what the test says is installed; every look starts renderers of its own. `idle` is what the peer's machines
    would say."""

    workshop: Workshop
    checks: SelfChecks
    installed: tuple[Capabilities, ...] = ()
    absent: tuple[str, ...] = ()
    idle: bool = True
    idle_asked: int = 0
    made: list[FakeRenderer] = field(default_factory=list)
    looks: int = 0
    told: list[RenderersFound] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def watch(self, *, soon_s: float = 0.001, again_s: float = 0.004, quiet_s: float = 0.001) -> RendererWatch:
        return RendererWatch(
            find=self._find, workshop=self.workshop, checks=self.checks, tell=self.told.append, on_notice=self.notices.append,
            is_idle=self._is_idle, soon_s=soon_s, again_s=again_s, quiet_s=quiet_s,
        )  # fmt: skip

    async def _find(self) -> Found:
        self.looks += 1
        fresh = [FakeRenderer() for _ in self.installed]
        self.made += fresh
        offers = tuple((one, (able,)) for one, able in zip(fresh, self.installed, strict=True))
        return Found(offers, () if self.installed else MISSING, self.absent)

    def _is_idle(self) -> bool:
        self.idle_asked += 1
        return self.idle

    @property
    def used(self) -> FakeRenderer:
        renderer = self.workshop.renderers["blender"]
        assert isinstance(renderer, FakeRenderer)
        return renderer

    @property
    def open(self) -> list[FakeRenderer]:
        return [renderer for renderer in self.made if not renderer.closed]

    async def offers(self, *able: Capabilities) -> None:
        """Wait until this, and nothing else, is what the others are told."""
        await wait_until(lambda: bool(self.told) and self.told[-1].capabilities == able)

    async def busy(self, more: int) -> None:
        """Wait until it was asked so many more times whether it is idle."""
        until = self.idle_asked + more
        await wait_until(lambda: self.idle_asked >= until)

    async def looked(self, more: int) -> None:
        """Wait for so many further looks."""
        until = self.looks + more
        await wait_until(lambda: self.looks >= until)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    folder = tmp_path / "work"
    folder.mkdir()
    blobs, verifier = LoglessBlobs(tmp_path / "store"), FakeVerifier()
    blobs.add(SCENE)
    events: list[Event] = []
    workshop = Workshop(slots=1, renderers={}, verifier=verifier, blobs=blobs, folder=folder, tell=events.append)
    running = asyncio.create_task(workshop.run())
    await asyncio.sleep(0)
    yield Shop(workshop, FakeRenderer(), verifier, blobs, folder, events, running)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.fixture
def life(shop: Shop, tmp_path: Path) -> Life:
    return Life(shop.workshop, SelfChecks(folder=tmp_path, tell=lambda _: None))


@contextlib.asynccontextmanager
async def running(watch: RendererWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_is_found_is_used_and_told_once(life: Life):
    life.installed = (OLD,)
    async with running(life.watch()):
        await life.offers(OLD)
        first = life.used
        await life.looked(3)
        assert life.used is first
        assert life.told == [RenderersFound((OLD,), ())]
        assert life.checks.renderers == ("blender 3.4.1 (program)",)
        assert [(one.event, one.level) for one in life.notices] == [("renderers_found", "info")]
        await wait_until(lambda: life.open == [first])


async def test_a_peer_without_a_renderer_looks_again_until_it_has_one(life: Life):
    async with running(life.watch()):
        await life.looked(3)
        assert life.told == [RenderersFound((), MISSING)]
        assert life.notices[0].level == "warning"
        life.installed = (NEW,)
        await life.offers(NEW)
        assert life.workshop.renderers == {"blender": life.used}
        assert life.checks.reasons == ()


async def test_what_nobody_asked_for_is_told_and_no_fault(life: Life):
    life.installed, life.absent = (OLD,), ("povray: there is no program",)
    assert await life.watch().look(), "nothing is missing"
    assert life.told == [RenderersFound((OLD,), life.absent)]
    assert life.checks.reasons == ()


async def test_a_complete_peer_does_not_look_while_it_is_busy_unless_one_has_failed(life: Life):
    life.installed = (OLD,)
    watch = life.watch()
    async with running(watch):
        await life.offers(OLD)
        life.idle = False
        await life.busy(1)
        looks = life.looks
        await life.busy(3)
        assert life.looks == looks
        watch.failed("blender")
        await life.looked(1)


async def test_each_look_in_vain_waits_twice_as_long_for_the_next(life: Life, monkeypatch: pytest.MonkeyPatch):
    watch = life.watch(soon_s=1.0, again_s=10.0)
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(watch, "_pause", pause)
    async with running(watch):
        await wait_until(lambda: len(waits) >= 6)
        assert waits[:6] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
        life.installed = (OLD,)
        await life.offers(OLD)
        life.installed = ()
        waits.clear()
        await life.offers()
        await wait_until(lambda: 1.0 in waits)  # the next time begins anew


async def test_a_renderer_that_does_not_start_when_it_is_wanted_is_looked_for_at_once(life: Life, shop: Shop):
    life.installed = (OLD,)
    watch = life.watch(again_s=FAR_S)
    life.workshop.on_renderer_failed = watch.failed
    async with running(watch):
        await life.offers(OLD)
        life.installed = ()
        life.used.look_faults.append(RendererMissing("Blender does not start: it has been taken away"))
        assert kind_of(await shop.looked(shop.inspect(1))) == "renderer"
        await life.offers()
        assert life.told[-1].reasons == MISSING


async def test_one_that_failed_and_is_back_is_started_afresh(life: Life):
    life.installed = (OLD,)
    watch = life.watch()
    async with running(watch):
        await life.offers(OLD)
        old = life.used
        life.installed = ()
        watch.failed("blender")
        await life.offers()
        life.installed = (OLD,)
        await life.offers(OLD)
        assert life.used is not old
        assert (old.closed, life.used.closed) == (True, False)


async def test_an_upgrade_waits_for_the_work_in_hand_and_no_more_is_taken_meanwhile(life: Life, shop: Shop):
    life.installed = (OLD,)
    watch = life.watch()
    async with running(watch):
        await life.offers(OLD)
        old = shop.renderer = life.used
        task = shop.render(1)
        session = await shop.rendering(1)
        life.installed, life.idle = (NEW,), False
        watch.failed("blender")  # a busy peer has no other reason to look
        await life.offers()
        assert "blender 4.2.0 (program) takes over" in life.told[-1].reasons[0]
        await life.busy(3)
        assert life.used is old
        session.finish()
        assert (await shop.rendered(task)).failure is None
        assert (old.closed, session.over) == (False, False)
        life.idle = True
        await life.offers(NEW)
        assert life.used is not old
        assert (old.closed, session.over, life.used.closed) == (True, True, False)
        shop.renderer = life.used
        shop.render(2)
        (await shop.rendering(2)).finish()


async def test_of_two_with_one_name_the_better_is_used_and_the_other_closed(life: Life):
    life.installed = (NEW, replace(OLD, home="bpy"))
    async with running(life.watch(again_s=FAR_S)):
        await life.offers(NEW)
        assert life.open == [life.used] == life.made[:1]


async def test_one_that_waits_for_its_turn_is_closed_when_the_peer_ends(life: Life):
    life.installed = (OLD,)
    watch = life.watch()
    async with running(watch):
        await life.offers(OLD)
        life.installed, life.idle = (NEW,), False
        watch.failed("blender")
        await life.offers()
    assert life.open == [life.used]
