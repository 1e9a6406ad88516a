"""One key, one job, whichever peer is asked, whatever has become of the job (C2)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.e2e.mesh import Answer, Mesh, PeerProcess, everywhere
from tests.waiting import wait_until

NAMES = ("first", "second", "third", "fourth", "fifth")
QUICK = {"frame_ms": 10}


def send(peer: PeerProcess, key: str, **spec: Any) -> Answer:
    """A null job under a key, sent until the answer is none that asks for another try."""
    while True:
        body = {"renderer": "null", "settings": QUICK, "frames": "1-3", **spec}
        answer = peer.ask("POST", "/api/v1/jobs", json_body=body, headers={"Idempotency-Key": key})
        if answer.status != 503:
            return answer


def completed(peer: PeerProcess) -> list[str]:
    """The names of all jobs that this peer lists as completed."""
    return sorted(row["name"] for row in peer.get("/jobs")["jobs"] if row["state"] == "completed")


async def test_a_key_means_one_job_at_every_peer_at_once(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES)
    first = send(peers[0], "monday")
    assert first.status == 202, first.text
    job = first.json["id"]
    for peer in peers:  # at once: nobody may have heard of it yet
        again = send(peer, "monday")
        assert (again.status, again.json["id"]) == (202, job), again.text
        assert again.headers["Idempotency-Replayed"] == "true"
        other = send(peer, "monday", frames="1-4")
        assert (other.status, other.json["code"]) == (409, "key_reused")
        assert job in other.json["detail"]
    await wait_until(everywhere(peers, lambda peer: completed(peer) == ["null"]))
    assert [row["id"] for row in peers[4].get("/jobs")["jobs"]] == [job]


async def test_a_job_that_was_deleted_is_not_made_again_by_anybody(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES)
    job = send(peers[0], "monday").json["id"]
    await wait_until(everywhere(peers, lambda peer: peer.job(job)["state"] == "completed"))
    assert peers[1].ask("DELETE", f"/api/v1/jobs/{job}").status == 200
    for peer in peers:
        answer = send(peer, "monday")
        assert (answer.status, answer.json["code"]) == (409, "job_deleted"), answer.text


async def test_one_submission_sent_to_all_peers_in_the_same_instant_is_one_job(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES[:3])
    for turn in range(6):
        answers = await asyncio.gather(*(asyncio.to_thread(send, peer, f"key-{turn}", name=f"job-{turn}") for peer in peers))
        assert {answer.status for answer in answers} == {202}, [answer.text for answer in answers]
        assert len({answer.json["id"] for answer in answers}) == 1
    await wait_until(everywhere(peers, lambda peer: len(completed(peer)) == 6))
    for peer in peers:
        assert len(peer.get("/jobs")["jobs"]) == 6
        assert completed(peer) == [f"job-{turn}" for turn in range(6)]


async def test_two_specifications_under_one_key_in_the_same_instant_make_one_job(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES[:3])
    for turn in range(6):
        asks = [asyncio.to_thread(send, peer, f"key-{turn}", frames=f"1-{at + 1}") for at, peer in enumerate(peers)]
        answers = await asyncio.gather(*asks)
        made = [answer for answer in answers if answer.status == 202]
        assert len(made) == 1, [answer.text for answer in answers]
        assert {answer.json["code"] for answer in answers if answer.status != 202} == {"key_reused"}
    await wait_until(everywhere(peers, lambda peer: len(completed(peer)) == 6))
    for peer in peers:
        assert len(peer.get("/jobs")["jobs"]) == 6


async def test_a_key_outlives_every_peer_that_knew_it(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES[:3])
    job = send(peers[0], "monday").json["id"]
    await wait_until(lambda: len(peers[0].job(job)["replicas"]) == 3)
    for peer in peers:
        peer.kill()
    for peer in peers:
        await mesh.restart(peer)
    for peer in reversed(peers):
        assert send(peer, "monday").json["id"] == job
        assert send(peer, "monday", frames="1-4").json["code"] == "key_reused"


async def test_peers_that_are_down_cost_a_moment_and_no_submission(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES[:3])
    peers[2].running.send_signal(19)  # SIGSTOP: it takes connections and says nothing
    try:
        answer = send(peers[0], "monday")
        assert answer.status == 202, answer.text
    finally:
        peers[2].running.send_signal(18)
    assert send(peers[2], "monday").json["id"] == answer.json["id"]
