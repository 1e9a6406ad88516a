"""Steering a job from peers that neither own nor hold it; clients that want different things at once; the same asked twice."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

from tests.e2e.mesh import Mesh, PeerProcess, everywhere
from tests.waiting import wait_until

SLOW = {"frame_ms": 300}
NAMES = ("first", "second", "third", "fourth", "fifth")


def stranger_to(peers: list[PeerProcess], job: str, owner: PeerProcess) -> PeerProcess:
    """A peer that has heard of the job and holds nothing of it."""
    view = owner.job(job)
    return next(peer for peer in peers if peer.id not in (view["owner"], *view["replicas"]))


async def begin(mesh: Mesh, **spec: Any) -> tuple[list[PeerProcess], PeerProcess, PeerProcess, str]:
    """Five peers, a job on three of them: all, the owner, a stranger to the job, the job."""
    peers = await mesh.start_many(*NAMES)
    owner = peers[0]
    job = owner.submit(**spec)
    await wait_until(lambda: len(owner.job(job)["replicas"]) == 3)
    await wait_until(everywhere(peers, lambda peer: knows(peer, job)))
    return peers, owner, stranger_to(peers, job, owner), job


def knows(peer: PeerProcess, job: str) -> bool:
    return job in {row["id"] for row in peer.get("/jobs?limit=1000")["jobs"]}


def state_is(state: str, job: str) -> Any:
    return lambda peer: peer.job(job)["state"] == state


async def test_every_control_works_at_a_peer_that_does_not_hold_the_job(mesh: Mesh) -> None:
    peers, owner, stranger, job = await begin(mesh, frames="1-400", settings=SLOW, name="shot")
    assert stranger.post(f"/jobs/{job}/pause")["state"] == "paused"
    await wait_until(everywhere(peers, state_is("paused", job)))
    await wait_until(lambda: owner.job(job)["frames"]["running"] == 0)
    assert mesh.peerctl(stranger, "priority", "shot", "81").returncode == 0
    await wait_until(everywhere(peers, lambda peer: peer.job(job)["priority"] == 81))
    stranger.post("/jobs/shot/resume")
    done = owner.job(job)["frames"]["done"]
    await wait_until(lambda: owner.job(job)["frames"]["done"] > done)
    assert mesh.peerctl(stranger, "rm", "shot").returncode == 5, "it has not ended"
    assert mesh.peerctl(stranger, "cancel", "shot").returncode == 0
    assert mesh.peerctl(stranger, "cancel", "shot").returncode == 0, "it may be said twice"
    await wait_until(everywhere(peers, state_is("cancelled", job)))
    refused = mesh.peerctl(stranger, "retry", "shot")
    assert refused.returncode == 5
    assert "cancelled, which is final" in refused.stderr
    assert mesh.peerctl(stranger, "rm", "shot").returncode == 0
    await wait_until(everywhere(peers, lambda peer: peer.ask("GET", f"/api/v1/jobs/{job}").status == 404))


async def test_a_retry_of_an_unknown_frame_says_which_frames_there_are(mesh: Mesh) -> None:
    _, _, stranger, job = await begin(mesh, frames="1-4", settings={"frame_ms": 10, "crash_frames": [3]}, max_attempts=1)
    await stranger.until_ended(job)
    answer = stranger.ask("POST", f"/api/v1/jobs/{job}/retry", json_body={"frames": "3,9"})
    assert (answer.status, answer.json["code"]) == (422, "no_such_frame")
    assert "frame 9 is not one of the job's frames 1-4" in answer.json["detail"]
    assert stranger.job(job)["generation"] == 0, "nothing of it was done"
    ran = mesh.peerctl(stranger, "retry", job, "-f", "3")
    assert ran.returncode == 0, ran.stderr
    await wait_until(lambda: stranger.job(job)["generation"] == 1)
    assert (await stranger.until_ended(job))["state"] == "failed", "it crashes again"


async def test_a_rerender_that_is_asked_for_again_when_it_is_done_renders_nothing_twice(mesh: Mesh) -> None:
    _, owner, stranger, job = await begin(mesh, frames="1-3", settings={"frame_ms": 10})
    await stranger.until_ended(job)
    again = {"include_done": True, "replaces": stranger.job(job)["generation"]}
    for _ in range(2):
        stranger.post(f"/jobs/{job}/retry", again)
        await wait_until(lambda: owner.job(job)["generation"] == 1 and owner.job(job)["state"] == "completed")
    assert {row["generation"] for row in owner.frames(job)} == {1}
    commits = [row["frame"] for row in owner.events("frame_committed") if row["job"] == job]
    assert sorted(commits) == [1, 1, 2, 2, 3, 3]


async def test_clients_that_cancel_and_retry_at_once_leave_one_truth(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES[:3])
    dice = random.Random(3)
    for at in range(8):
        job = peers[at % 3].submit(frames="1-6", settings={"frame_ms": 5, "crash_frames": [2]}, max_attempts=1)
        await peers[0].until_ended(job)
        verbs = dice.sample(["cancel", "retry", "retry", "pause", "cancel"], 5)
        asks = [asyncio.to_thread(ask, dice.choice(peers), job, verb) for verb in verbs]
        answers = await asyncio.gather(*asks)
        codes = {answer.status if answer.status == 200 else answer.json["code"] for _, answer in answers}
        assert codes <= {200, "job_ended", "job_cancelled"}, [answer.text for _, answer in answers]
        cancelled = any(verb == "cancel" and answer.status == 200 for verb, answer in answers)
        paused = any(verb == "pause" and answer.status == 200 for verb, answer in answers)
        wanted = {"cancelled"} if cancelled else {"paused", "failed"} if paused else {"failed"}
        await wait_until(partial(agree, peers, job, wanted))


def agree(peers: list[PeerProcess], job: str, wanted: set[str]) -> bool:
    states = {peer.job(job)["state"] for peer in peers}
    return len(states) == 1 and states <= wanted


def ask(peer: PeerProcess, job: str, verb: str) -> tuple[str, Any]:
    """An answer once it is none that asks for another try."""
    while True:
        answer = peer.ask("POST", f"/api/v1/jobs/{job}/{verb}", json_body={})
        if answer.status != 503:
            return verb, answer


async def test_a_job_is_submitted_again_from_a_peer_that_never_had_its_scene(mesh: Mesh) -> None:
    scene = mesh.folder / "shot.blend"
    scene.write_bytes(random.Random(5).randbytes(100_000))
    peers = await mesh.start_many(*NAMES)
    ran = mesh.peerctl(peers[0], "submit", str(scene), "--renderer", "null", "-f", "1-5", "--label", "show=a", "-o", "name")
    old = ran.stdout.strip()
    await wait_until(everywhere(peers, state_is("completed", old)))
    stranger = stranger_to(peers, old, peers[0])
    peers[0].kill()
    ran = mesh.peerctl(stranger, "resubmit", old, "--wait", "-o", "name", "--idempotency-key", "monday")
    assert ran.returncode == 0, ran.stderr
    new = ran.stdout.splitlines()[-1].strip()
    assert new != old
    view = stranger.job(new)
    assert (view["state"], view["frame_ranges"], view["labels"], view["name"]) == ("completed", "1-5", ["show=a"], "shot")
    again = mesh.peerctl(peers[1], "resubmit", old, "-o", "name", "--idempotency-key", "monday")
    assert again.stdout.strip() == new


async def test_without_any_holder_a_peer_says_what_to_do(mesh: Mesh) -> None:
    peers, owner, stranger, job = await begin(mesh, frames="1-4", settings={"frame_ms": 10})
    await stranger.until_ended(job)
    holders = {owner.id, *owner.job(job)["replicas"]}
    for peer in peers:
        if peer.id in holders:
            peer.kill()
    await wait_until(lambda: not holders & {row["id"] for row in stranger.peers("alive", "suspect")})
    for verb in ("retry", "resubmit", "pause"):
        answer = stranger.ask("POST", f"/api/v1/jobs/{job}/{verb}", json_body={})
        assert (answer.status, answer.json["code"]) == (503, "peers_unreachable")
        assert "Retry-After" in answer.headers
        assert "start one of them again" in answer.json["detail"]
