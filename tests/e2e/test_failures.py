"""Peers and renderers that die, hang or leave in the middle of a job: it completes, and every frame is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psutil
import pytest

from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import BLENDER_S, PeerProcess, everywhere
from tests.scenes import build as scenes
from tests.waiting import wait_until

SLOW = {"frame_ms": 400}


def unfinished_lease(owner: PeerProcess, thief: PeerProcess, job: str) -> list[int]:
    """Frames that the thief holds under a lease and has not committed yet, after it has committed some."""
    leased = [
        frame for row in owner.events("frames_leased") if row["job"] == job and row["to"] == thief.id for frame in row["frames"]
    ]
    done = [row["frame"] for row in owner.events("frame_committed") if row["job"] == job and row["by"] == thief.id]
    return sorted(set(leased) - set(done)) if done else []


def all_done_once(owner: PeerProcess, job: str, count: int) -> None:
    """Every frame is done, and was committed exactly once."""
    rows = owner.frames(job)
    assert [row["frame"] for row in rows] == list(range(1, count + 1))
    assert {row["state"] for row in rows} == {"done"}
    commits = Counter(row["frame"] for row in owner.events("frame_committed") if row["job"] == job)
    assert set(commits.values()) <= {1}


async def all_right(peer: PeerProcess, job: str, count: int, folder: Path) -> None:
    """The bytes of every frame, from this peer, decode to the pixels that were committed."""
    await peer.until_ended(job)  # as this peer sees it: facts come a moment later than where they are made
    for row in peer.frames(job):
        answer = peer.ask("GET", f"/api/v1/jobs/{job}/frames/{row['frame']}")
        assert answer.status == 200, f"frame {row['frame']}: {answer.status} {answer.text}"
        path = folder / f"{row['frame']}.png"
        path.write_bytes(answer.body)
        assert pixel_hash(path) == row["pixel_hash"]
    assert len(peer.frames(job)) == count


async def test_a_thief_killed_with_an_unfinished_lease_costs_nothing_but_time(mesh, tmp_path):
    owner, thief, other = await mesh.start_many("owner", "thief", "other")
    job = owner.submit(frames="1-40", settings=SLOW)
    await wait_until(lambda: unfinished_lease(owner, thief, job) != [])
    thief.kill()
    ended = await owner.until_ended(job)
    assert ended["state"] == "completed"
    all_done_once(owner, job, 40)
    await all_right(other, job, 40, tmp_path)
    assert owner.events("frames_requeued") != []


async def test_an_owner_killed_in_mid_job_and_started_again_completes_it(mesh, tmp_path):
    owner, thief = await mesh.start_many("owner", "thief")
    job = owner.submit(frames="1-30", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 3)
    done = {row["frame"]: row["digest"] for row in owner.frames(job) if row["state"] == "done"}
    owner.kill()
    await mesh.restart(owner)
    ended = await owner.until_ended(job, 90)
    assert ended["state"] == "completed"
    rows = owner.frames(job)
    assert {row["state"] for row in rows} == {"done"}
    assert len(rows) == 30
    assert {row["frame"]: row["digest"] for row in rows if row["frame"] in done} == done
    await all_right(thief, job, 30, tmp_path)


async def test_every_peer_killed_at_once_loses_no_accepted_job(mesh, tmp_path):
    first, second = await mesh.start_many("first", "second")
    job = first.submit(frames="1-20", settings=SLOW)
    await wait_until(lambda: first.job(job)["frames"]["done"] >= 2)
    for peer in (first, second):
        peer.kill()
    for peer in (first, second):
        await mesh.restart(peer)
    assert (await first.until_ended(job, 90))["state"] == "completed"
    await all_right(second, job, 20, tmp_path)


async def test_a_peer_that_drains_hands_back_what_it_has_not_begun_and_ends_with_0(mesh):
    owner, leaver = await mesh.start_many("owner", "leaver")
    job = owner.submit(frames="1-60", settings=SLOW)
    await wait_until(lambda: len(unfinished_lease(owner, leaver, job)) >= 4, 40)  # two at most are begun
    leaver.terminate()
    assert await leaver.ended(45) == 0, leaver.log
    assert (await owner.until_ended(job, 90))["state"] == "completed"
    all_done_once(owner, job, 60)
    back = [row for row in owner.events() if row["event"] in ("frames_returned", "frames_requeued") and row["job"] == job]
    assert back != []
    after = [
        row
        for row in owner.events("member_left", "frames_leased")
        if row.get("to") == leaver.id or row["event"] != "frames_leased"
    ]
    assert after[-1]["event"] == "member_left", "the leaver got frames after it had said that it leaves"
    assert owner.peers("left")[0]["id"] == leaver.id


async def test_an_owner_that_is_told_to_end_in_mid_job_keeps_it_for_its_next_start(mesh):
    [owner] = await mesh.start_many("owner")
    job = owner.submit(frames="1-40", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 2)
    owner.terminate()
    assert await owner.ended(45) == 0, owner.log
    await mesh.restart(owner)
    assert 2 <= owner.job(job)["frames"]["done"] < 40
    assert (await owner.until_ended(job, 90))["state"] == "completed"


async def test_a_renderer_that_crashes_on_one_frame_fails_that_frame_with_a_reason_and_no_other(mesh):
    first, second = await mesh.start_many("first", "second")
    job = first.submit(frames="1-8", settings={"frame_ms": 20, "crash_frames": [5]})
    ended = await first.until_ended(job)
    assert ended["state"] == "failed"
    rows = {row["frame"]: row for row in second.frames(job)}
    assert [frame for frame, row in rows.items() if row["state"] == "failed"] == [5]
    assert rows[5]["attempts"] == 3
    assert "crash" in rows[5]["error"]
    assert sum(row["state"] == "done" for row in rows.values()) == 7


async def test_a_frame_that_hangs_ends_by_its_time_limit_and_fails_with_that_reason(mesh):
    first, _ = await mesh.start_many("first", "second")
    job = first.submit(frames="1-6", frame_timeout_s=1.0, max_attempts=2, settings={"frame_ms": 20, "hang_frames": [3]})
    assert (await first.until_ended(job))["state"] == "failed"
    rows = {row["frame"]: row for row in first.frames(job)}
    assert [frame for frame, row in rows.items() if row["state"] == "failed"] == [3]
    assert "frame_timeout_s" in rows[3]["error"]
    assert rows[3]["attempts"] == 2


# with real Blender


@pytest.mark.blender
async def test_a_blender_killed_in_mid_frame_is_replaced_and_the_job_completes(mesh, tmp_path):
    scene = scenes.build("quick", tmp_path / "scene", scenes.any_home())
    [peer] = await mesh.start_many("alone", renderer="")
    job = peer.submit(scene, frames="1-4", samples=60, threads=1)
    await wait_until(lambda: peer.job(job)["frames"]["running"] > 0, BLENDER_S)
    await wait_until(lambda: peer.renderers() != [])
    first = peer.renderers()
    for pid in first:
        psutil.Process(pid).kill()
    ended = await peer.until_ended(job, BLENDER_S)
    assert ended["state"] == "completed", ended
    assert not set(peer.renderers()) & set(first)
    await all_right(peer, job, 4, tmp_path)


@pytest.mark.blender
async def test_a_blender_frame_that_takes_too_long_is_stopped_and_fails_with_that_reason(mesh, tmp_path):
    scene = scenes.build("heavy", tmp_path / "scene", scenes.any_home())
    [peer] = await mesh.start_many("alone", renderer="")
    job = peer.submit(scene, frames="1", frame_timeout_s=2.0, max_attempts=1)
    ended = await peer.until_ended(job, BLENDER_S)
    assert ended["state"] == "failed"
    [row] = peer.frames(job)
    assert "frame_timeout_s" in row["error"]


@pytest.mark.blender
async def test_no_blender_survives_its_peer_neither_a_drain_nor_a_kill(mesh, tmp_path):
    scene = scenes.build("heavy", tmp_path / "scene", scenes.any_home())
    drained, killed = await mesh.start_many("drained", "killed", renderer="", arguments=("--drain-grace-s", "1"))
    job = drained.submit(scene, frames="1-2")
    await wait_until(everywhere([drained, killed], lambda peer: peer.renderers() != []), BLENDER_S)
    await wait_until(lambda: drained.job(job)["frames"]["running"] == 2, BLENDER_S)
    renderers = {pid for peer in (drained, killed) for pid in peer.renderers()}
    killed.kill()
    drained.terminate()
    assert await drained.ended(45) == 0, drained.log
    await wait_until(lambda: not any(psutil.pid_exists(pid) for pid in renderers))
    assert drained.relatives() == killed.relatives() == []
