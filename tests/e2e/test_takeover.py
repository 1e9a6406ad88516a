"""An owner that dies for good, or leaves: another peer takes its job over, and every frame comes out right and once."""

from __future__ import annotations

from tests.e2e.mesh import PeerProcess
from tests.e2e.test_failures import SLOW, all_right
from tests.waiting import wait_until


def has_taken_over(peer: PeerProcess, job: str, others: list[PeerProcess]) -> bool:
    view = peer.job(job)
    return view["owner"] in {other.id for other in others} and view["epoch"] >= 2


async def test_an_owner_killed_for_good_in_mid_job_is_taken_over_and_the_job_completes(mesh, tmp_path):
    owner, second, third = await mesh.start_many("owner", "second", "third")
    job = owner.submit(frames="1-60", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 4)
    done = {row["frame"]: row["digest"] for row in owner.frames(job) if row["state"] == "done"}
    owner.kill()
    left = [second, third]
    await wait_until(lambda: all(has_taken_over(peer, job, left) for peer in left))
    heir = mesh.by_id(second.job(job)["owner"])
    other = next(peer for peer in left if peer is not heir)
    shown = mesh.peerctl(other, "jobs", "--json")
    assert shown.returncode == 0, shown.stderr
    assert heir.id in shown.stdout
    taken = [row for row in heir.events("job_taken_over") if row["job"] == job]
    assert [row["from"] for row in taken] == [owner.id]
    assert (await other.until_ended(job, 120))["state"] == "completed"
    await all_right(other, job, 60, tmp_path)
    rows = {row["frame"]: row["digest"] for row in other.frames(job)}
    kept = [frame for frame, digest in done.items() if rows[frame] == digest]
    assert len(kept) >= len(done) - 2, "what was committed a moment ago may not have left the owner"


async def test_an_owner_that_returns_after_it_was_taken_over_follows_its_heir(mesh):
    owner, second, third = await mesh.start_many("owner", "second", "third")
    job = owner.submit(frames="1-60", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 2)
    owner.kill()
    await wait_until(lambda: has_taken_over(second, job, [second, third]))
    heir = second.job(job)["owner"]
    await mesh.restart(owner)
    assert (await second.until_ended(job, 120))["state"] == "completed"
    await wait_until(lambda: owner.job(job)["state"] == "completed" and owner.job(job)["owner"] == heir)
    assert {row["state"] for row in owner.frames(job)} == {"done"}


async def test_an_owner_that_leaves_hands_its_job_over_before_it_goes(mesh, tmp_path):
    owner, second, third = await mesh.start_many("owner", "second", "third")
    job = owner.submit(frames="1-60", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 2)
    owner.terminate()
    assert await owner.ended(45) == 0, owner.log
    assert "left_unsafe" not in owner.log
    await wait_until(lambda: has_taken_over(third, job, [second, third]))
    heir = mesh.by_id(third.job(job)["owner"])
    assert [row["from"] for row in heir.events("job_handed_over") if row["job"] == job] == [owner.id]
    assert (await third.until_ended(job, 120))["state"] == "completed"
    await all_right(second, job, 60, tmp_path)


async def test_all_peers_killed_at_once_and_started_again_complete_the_job(mesh, tmp_path):
    peers = await mesh.start_many("first", "second", "third")
    job = peers[0].submit(frames="1-30", settings=SLOW)
    await wait_until(lambda: peers[0].job(job)["frames"]["done"] >= 2)
    for peer in peers:
        peer.kill()
    for peer in peers:
        await mesh.restart(peer)
    assert (await peers[1].until_ended(job, 120))["state"] == "completed"
    await all_right(peers[2], job, 30, tmp_path)
