"""Every peer answers for every job, from the moment that any peer has accepted it."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.e2e.mesh import Answer, Mesh, PeerProcess, everywhere
from tests.waiting import wait_until

NAMES = ("first", "second", "third", "fourth", "fifth")
SLOW = {"frame_ms": 200}
VIEWS = ("", "/frames", "/why", "/inspection", "/events?follow=false")


def ask(peer: PeerProcess, path: str) -> Answer:
    return peer.ask("GET", "/api/v1/jobs/" + path)


def is_in(job: str, state: str, peer: PeerProcess) -> bool:
    """Whether a peer shows the job in this state."""
    return bool(peer.job(job)["state"] == state)


async def test_at_once_after_the_202_every_peer_answers_for_the_job(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES)
    for turn in range(10):
        owner = peers[turn % len(peers)]
        job = owner.submit(frames="1-2", settings=SLOW, name=f"shot-{turn}")
        # nothing is waited for: most of them have not heard of it yet, and each is asked first in one of the turns
        others = [peers[(turn + step) % len(peers)] for step in range(1, len(peers) + 1)]
        views = await asyncio.gather(*(asyncio.to_thread(ask, peer, job) for peer in others))
        assert [view.status for view in views] == [200] * len(peers), [view.text for view in views]
        assert {(view.json["id"], view.json["name"], view.json["owner"]) for view in views} == {(job, f"shot-{turn}", owner.id)}
    for peer in peers:
        unknown = ask(peer, "00000000")
        assert (unknown.status, unknown.json["code"]) == (404, "no_such_job")


async def test_whatever_is_asked_of_a_job_any_peer_answers_at_once_after_the_202(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES)
    for at, view in enumerate(VIEWS):
        job = peers[at % len(peers)].submit(frames="1-2", settings=SLOW)
        stranger = peers[(at + 1) % len(peers)]
        answer = ask(stranger, job + view)
        assert answer.status == 200, (view, answer.text)


async def test_a_job_is_steered_at_once_after_the_202_from_a_peer_that_has_not_heard_of_it(mesh: Mesh) -> None:
    peers = await mesh.start_many(*NAMES)
    for turn, verb in enumerate(("pause", "cancel", "pause", "cancel")):
        job = peers[turn].submit(frames="1-50", settings=SLOW)
        answer = peers[turn + 1].ask("POST", f"/api/v1/jobs/{job}/{verb}", json_body={})
        assert answer.status in (200, 202), answer.text
        await wait_until(everywhere(peers, partial(is_in, job, {"pause": "paused", "cancel": "cancelled"}[verb])))
