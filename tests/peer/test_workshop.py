"""The workshop over a fake renderer and an in-memory store: order, sessions, stopping, failures; one event for every effect."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
import structlog

from peer.ports import Corrupt, RendererMissing, RenderFailed, StoreBroken, StoreFull
from peer.workshop import Workshop
from protocol import limits
from protocol.effects import StopTask, Verify
from protocol.errors import NotFound
from protocol.events import Event, FrameProgressed, FrameRendered, FrameVerified, InspectEnded
from protocol.ids import Digest, TaskId
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry
from protocol.jobs.results import Failure, FailureClass
from protocol.jobs.spec import RenderSettings
from tests.fakes.memory_store import digest_of
from tests.fakes.shop import JOB, SCENE, LoglessBlobs, Shop, kind_of, log_of
from tests.fakes.workbench import FakeRenderer, FakeSession, FakeVerifier
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks of provoked mistakes are for logs of real peers."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    folder = tmp_path / "work"
    folder.mkdir()
    blobs, renderer, verifier = LoglessBlobs(tmp_path / "store"), FakeRenderer(), FakeVerifier()
    blobs.add(SCENE)
    events: list[Event] = []
    workshop = Workshop(
        slots=2, renderers={"blender": renderer}, verifier=verifier, blobs=blobs, folder=folder, tell=events.append
    )
    running = asyncio.create_task(workshop.run())
    await asyncio.sleep(0)
    yield Shop(workshop, renderer, verifier, blobs, folder, events, running)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert renderer.open_sessions == []
    assert renderer.closed
    assert verifier.closed


def failed(kind: FailureClass, reason: str = "why", log: str = "its words") -> RenderFailed:
    return RenderFailed(Failure(kind, reason), log=log)


# frames


async def test_a_frame_is_rendered_verified_and_taken_in_and_its_folder_goes(shop: Shop):
    task = shop.render(7)
    (await shop.rendering(7)).finish()
    assert (await shop.rendered(task)).failure is None
    assert shop.leftovers() == [task]
    result = await shop.verified(task)
    [output] = result.outputs
    assert (output.role, output.name, output.width, output.height, output.format) == ("main", "0007.png", 320, 180, "PNG")
    assert shop.blobs.blobs[output.digest] == b"picture of frame 7"
    assert shop.blobs.blobs[log_of(result)] == b"rendered\n"
    assert (result.log_size, result.seconds, result.device) == (9, 0.25, "cpu")
    assert shop.blobs.pins[JOB] == {output.digest, log_of(result)}
    assert shop.leftovers() == []


async def test_progress_begins_with_zero_when_the_frame_is_handed_over(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PROGRESS_APART_S", 0.0)
    task = shop.render(7)
    await shop.rendering(7)
    assert shop.events == [FrameProgressed(task, 0.0), FrameProgressed(task, 0.5)]


async def test_progress_that_comes_too_soon_is_not_told(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PROGRESS_APART_S", 3_600.0)
    task = shop.render(7)
    await shop.rendering(7)
    assert shop.events == [FrameProgressed(task, 0.0)]


async def test_a_picture_that_cannot_be_pinned_is_an_infrastructure_failure(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    async def pin(_owner: str, _digests: Sequence[Digest]) -> None:
        raise StoreFull("full")

    monkeypatch.setattr(shop.blobs, "pin", pin)
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    await shop.rendered(task)
    assert (await shop.verified(task)).failure == Failure("infrastructure", "full")
    assert shop.leftovers() == []


async def test_frames_of_one_bench_reach_one_session_in_order_two_at_a_time(shop: Shop):
    first, second = shop.render(1), shop.render(2)
    session = await shop.rendering(1)
    assert session.asked == [1, 2]
    session.finish()
    await shop.rendering(2)
    third = shop.render(3)
    session.finish()
    await shop.rendering(3)
    session.finish()
    for task in (first, second, third):
        assert (await shop.rendered(task)).failure is None
    assert [event.task for event in shop.ends(FrameRendered)] == [first, second, third]
    assert len(shop.renderer.opened) == 1


async def test_while_a_frame_is_verified_the_next_one_renders(shop: Shop):
    task = shop.render(1)
    shop.render(2)
    (await shop.rendering(1)).finish()
    await shop.rendering(2)
    assert (await shop.verified(task)).failure is None
    assert shop.session.rendering == 2


async def test_benches_render_at_the_same_time(shop: Shop):
    shop.render(1, slot=0)
    shop.render(2, slot=1)
    assert await shop.rendering(1) is not await shop.rendering(2)


async def test_other_settings_wait_for_what_runs_and_open_a_session_of_their_own(shop: Shop):
    shop.render(1)
    other = shop.render(2, settings=RenderSettings(samples=8))
    session = await shop.rendering(1)
    assert len(shop.renderer.opened) == 1
    session.finish()
    assert await shop.rendering(2) is not session
    assert session.over
    assert [settings.samples for _, _, settings, _ in shop.renderer.opened] == [4, 8]
    shop.session.finish()
    assert (await shop.rendered(other)).failure is None


async def test_a_job_without_a_scene_needs_no_tree(shop: Shop):
    task = shop.render(1, manifest=EMPTY)
    (await shop.rendering(1)).finish()
    assert (await shop.rendered(task)).failure is None
    assert shop.renderer.opened[0][0] == shop.folder


# failures


@pytest.mark.parametrize("kind", ["crash", "timeout", "memory", "stalled", "renderer"])
async def test_after_a_failure_of_the_renderer_the_next_frame_opens_a_new_session(shop: Shop, kind: FailureClass):
    task = shop.render(1)
    session = await shop.rendering(1)
    session.die(Failure(kind, "gone"))
    result = await shop.rendered(task)
    assert result.failure == Failure(kind, "gone")
    assert shop.blobs.blobs[log_of(result)] == b"last words"
    shop.render(2)
    assert await shop.rendering(2) is not session
    assert shop.leftovers() == ["t2"]


async def test_the_frame_that_waited_behind_a_crash_is_not_blamed(shop: Shop):
    first, second = shop.render(1), shop.render(2)
    (await shop.rendering(1)).die(Failure("crash", "gone"))
    assert (await shop.rendered(first)).failure == Failure("crash", "gone")
    assert kind_of(await shop.rendered(second)) == "infrastructure"


async def test_a_failure_of_the_scene_keeps_the_session(shop: Shop):
    task = shop.render(1)
    session = await shop.rendering(1)
    session.finish(failed("scene", "no such camera"))
    assert (await shop.rendered(task)).failure == Failure("scene", "no such camera")
    shop.render(2)
    assert await shop.rendering(2) is session


async def test_a_scene_that_does_not_open_fails_the_frame_with_its_log(shop: Shop):
    shop.renderer.open_faults.append(failed("scene", "not a scene"))
    result = await shop.rendered(shop.render(1))
    assert result.failure == Failure("scene", "not a scene")
    assert shop.blobs.blobs[log_of(result)] == b"its words"
    (await _after(shop, 2)).finish()


async def _after(shop: Shop, number: int) -> FakeSession:
    shop.render(number)
    return await shop.rendering(number)


async def test_a_renderer_that_is_not_here_is_nobodys_fault(shop: Shop):
    result = await shop.rendered(shop.render(1, settings=RenderSettings(renderer="null")))
    assert result.failure == Failure("infrastructure", "this peer has no renderer 'null'")
    assert result.log is None


async def test_a_scene_that_has_left_the_store_is_nobodys_fault(shop: Shop):
    gone = Manifest("gone.blend", (ManifestEntry("gone.blend", digest_of(b"gone"), 4),))
    assert kind_of(await shop.rendered(shop.render(1, manifest=gone))) == "infrastructure"


async def test_a_mistake_of_ours_fails_the_frame_and_not_the_peer(shop: Shop):
    task = shop.render(1)
    (await shop.rendering(1)).finish(ZeroDivisionError("by nought"))
    failure = (await shop.rendered(task)).failure
    assert failure == Failure("crash", "the peer itself failed: ZeroDivisionError: by nought")
    shop.renderer.open_faults.append(KeyError("what"))
    assert kind_of(await shop.rendered(shop.render(2, settings=RenderSettings(samples=9)))) == "crash"
    assert shop.leftovers() == []
    assert not shop.running.done()


@pytest.mark.parametrize("error", [StoreFull("full"), StoreBroken("broken"), OSError("gone")])
async def test_a_picture_that_cannot_be_kept_is_an_infrastructure_failure(
    shop: Shop, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    async def adopt(_path: Path) -> tuple[Digest, int]:
        raise error

    monkeypatch.setattr(shop.blobs, "adopt", adopt)
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    await shop.rendered(task)
    assert (await shop.verified(task)).failure == Failure("infrastructure", str(error))
    assert shop.leftovers() == []


async def test_a_picture_that_does_not_verify_fails_with_the_renderers_log(shop: Shop):
    shop.verifier.faults.append(failed("verification", "0001.png: cut off", log=""))
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    await shop.rendered(task)
    result = await shop.verified(task)
    assert result.failure == Failure("verification", "0001.png: cut off")
    assert shop.blobs.blobs[log_of(result)] == b"rendered\n"
    assert result.outputs == ()
    assert shop.leftovers() == []


async def test_a_frame_whose_log_cannot_be_kept_is_done_without_it(shop: Shop):
    shop.blobs.full = StoreFull("full")
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    await shop.rendered(task)
    result = await shop.verified(task)
    assert (len(result.outputs), result.failure, result.log, result.log_size) == (1, None, None, 0)


async def test_a_failed_frame_whose_log_cannot_be_kept_still_fails_as_it_did(shop: Shop):
    shop.blobs.full = StoreFull("full")
    task = shop.render(1)
    (await shop.rendering(1)).die(Failure("crash", "gone"))
    result = await shop.rendered(task)
    assert (result.failure, result.log) == (Failure("crash", "gone"), None)


async def test_a_verify_of_what_never_rendered_is_answered(shop: Shop):
    assert (await shop.verified(TaskId("never"))).failure == Failure("infrastructure", "its files are gone")


# stopping


async def test_a_frame_that_is_stopped_before_its_turn_never_begins(shop: Shop):
    shop.render(1)
    waiting = shop.render(2, settings=RenderSettings(samples=8))
    session = await shop.rendering(1)
    shop.workshop.stop(StopTask(waiting))
    assert kind_of(await shop.rendered(waiting)) == "infrastructure"
    assert session.rendering == 1
    assert len(shop.renderer.opened) == 1


async def test_a_frame_that_is_stopped_while_it_renders_ends_its_session(shop: Shop):
    task = shop.render(1)
    session = await shop.rendering(1)
    shop.workshop.stop(StopTask(task))
    assert kind_of(await shop.rendered(task)) == "infrastructure"
    assert session.over
    assert await _after(shop, 2) is not session
    assert shop.leftovers() == ["t2"]


async def test_a_frame_that_is_stopped_while_its_scene_opens_does_not_wait_for_it(shop: Shop):
    shop.renderer.hold_open = asyncio.Event()
    task = shop.render(1)
    await wait_until(lambda: shop.renderer.opened)
    shop.workshop.stop(StopTask(task))
    assert (await shop.rendered(task)).failure == Failure("infrastructure", "stopped")
    shop.renderer.hold_open = None
    (await _after(shop, 2)).finish()


async def test_a_frame_that_is_stopped_before_anything_has_happened_is_answered(shop: Shop):
    task = shop.render(1)
    for steps in range(4):
        await asyncio.sleep(0)
        shop.workshop.stop(StopTask(task))
        assert kind_of(await shop.rendered(task)) == "infrastructure"
        task = shop.render(2 + steps)
        for _ in range(steps):
            await asyncio.sleep(0)


async def test_an_inspection_that_is_stopped_does_not_wait_for_its_end(shop: Shop):
    shop.renderer.hold_look = asyncio.Event()
    task = shop.inspect()
    await wait_until(lambda: shop.renderer.looking)
    shop.workshop.stop(StopTask(task))
    assert (await shop.looked(task)).error == Failure("infrastructure", "stopped")
    (await _after(shop, 2)).finish()


async def test_a_frame_that_is_stopped_just_after_its_end_leaves_nothing(shop: Shop):
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    await shop.rendered(task)
    shop.workshop.stop(StopTask(task))
    await wait_until(lambda: shop.leftovers() == [])
    assert len(shop.ends(FrameRendered)) == 1
    assert (await shop.verified(task)).failure == Failure("infrastructure", "its files are gone")


async def test_a_stop_that_meets_the_end_of_its_frame_leaves_nothing(shop: Shop):
    task = shop.render(1)
    session = await shop.rendering(1)
    session.finish()
    shop.workshop.stop(StopTask(task))
    assert (await shop.rendered(task)).failure == Failure("infrastructure", "stopped")
    await wait_until(lambda: shop.leftovers() == [])


async def test_stopping_what_nobody_knows_is_harmless_and_forgotten(shop: Shop):
    shop.workshop.stop(StopTask(TaskId("t1")))
    task = shop.render(1)
    (await shop.rendering(1)).finish()
    assert (await shop.rendered(task)).failure is None


# inspection


async def test_an_inspection_waits_until_nothing_renders_on_its_bench(shop: Shop):
    shop.render(1)
    session = await shop.rendering(1)
    task = shop.inspect()
    assert shop.renderer.looking == 0
    session.finish()
    assert await shop.looked(task) == shop.renderer.inspection


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (failed("scene"), "scene"),
        (failed("crash"), "crash"),
        (RendererMissing("no libX11"), "renderer"),
        (StoreFull("full"), "infrastructure"),
        (Corrupt("damaged"), "infrastructure"),
        (NotFound("no_such_blob", "gone"), "infrastructure"),
        (ZeroDivisionError("by nought"), "crash"),
    ],
)
async def test_an_inspection_that_fails_says_of_what(shop: Shop, fault: Exception, kind: FailureClass):
    shop.renderer.look_faults.append(fault)
    error = (await shop.looked(shop.inspect())).error
    assert error is not None
    assert error.kind == kind
    assert (await shop.looked(shop.inspect(100))).error is None


async def test_an_inspection_without_its_renderer_says_so(shop: Shop):
    inspection = await shop.looked(shop.inspect(settings=RenderSettings(renderer="null")))
    assert inspection.error == Failure("infrastructure", "this peer has no renderer 'null'")


# all of it together


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens_every_effect_is_answered_once_and_nothing_is_left(shop: Shop, seed: int):
    dice = Random(seed)
    shop.renderer.instant = True
    tasks: list[TaskId] = []
    for number in range(1, 30):
        if dice.random() < 0.2:
            shop.renderer.open_faults.append(dice.choice([failed("scene"), StoreFull("full"), KeyError("x")]))
        if dice.random() < 0.2:
            shop.verifier.faults.append(dice.choice([failed("verification"), StoreFull("full"), KeyError("x")]))
        if dice.random() < 0.2:
            tasks.append(shop.inspect(number))
        settings = RenderSettings(samples=dice.choice([4, 4, 4, 8]))
        tasks.append(shop.render(number, slot=dice.randrange(2), settings=settings))
        if dice.random() < 0.3:
            shop.workshop.stop(StopTask(dice.choice(tasks)))
        for session in shop.renderer.open_sessions:
            if dice.random() < 0.1:
                session.die(Failure("crash", "gone"))
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
    verified: set[TaskId] = set()

    def all_ended() -> bool:
        for event in shop.ends(FrameRendered):
            if event.result.failure is None and event.task not in verified:
                verified.add(event.task)
                shop.workshop.verify(Verify(event.task, JOB))
        ends = len(shop.ends(FrameRendered)) + len(shop.ends(InspectEnded))
        return ends == len(tasks) and len(shop.ends(FrameVerified)) == len(verified)

    await wait_until(all_ended)
    ends = Counter(event.task for event in shop.ends(FrameRendered)) + Counter(event.task for event in shop.ends(InspectEnded))
    assert ends == Counter(tasks)
    assert Counter(event.task for event in shop.ends(FrameVerified)) == Counter(verified)
    await wait_until(lambda: shop.leftovers() == [])


async def test_a_workshop_that_ends_in_mid_frame_ends_every_session(shop: Shop):
    shop.render(1)
    shop.render(2, slot=1)
    await shop.rendering(1)
    await shop.rendering(2)
    shop.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shop.running
    assert shop.renderer.open_sessions == []


# renderers that come and go


async def test_a_renderer_that_gives_way_is_closed_with_its_sessions(shop: Shop):
    shop.render(1)
    (await shop.rendering(1)).finish()
    await wait_until(lambda: shop.ends(FrameRendered))
    old, shop.renderer = shop.renderer, FakeRenderer()
    await shop.workshop.equip({"blender": shop.renderer})
    assert old.closed
    assert old.open_sessions == []
    await shop.workshop.equip({"null": FakeRenderer()})
    assert not shop.renderer.closed
    shop.render(2)
    (await shop.rendering(2)).finish()


async def test_it_is_told_which_renderer_did_not_start_and_of_no_other_failure(shop: Shop):
    told: list[str] = []
    shop.workshop.on_renderer_failed = told.append
    for fault in (failed("scene"), failed("infrastructure"), failed("renderer")):
        shop.renderer.open_faults.append(fault)
    for number in (1, 2):
        await shop.rendered(shop.render(number))
    assert told == []
    assert kind_of(await shop.rendered(shop.render(3))) == "renderer"
    assert told == ["blender"]
