"""The node routes: everything to everybody, depth first, and never round and round."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from protocol.effects import Persist, Render, Reply, SendStream, Verify
from protocol.events import Booted, FrameRendered, FrameVerified, LocateAsked, RenderersFound, SubmitAsked
from protocol.ids import Address, AuthorId, JobId, PeerId, RequestId
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import FrameResult
from protocol.kernel import Now
from protocol.ledger.facts import ReplicaSet
from protocol.membership.options import LAN
from protocol.node import Node, NodeOptions
from protocol.signals import CatalogChanged, FrameCommitted, MemberChanged, Send, SlotsUsed
from protocol.summaries import job_key, summary_to_bytes
from protocol.wire.work import Wake
from tests.protocol.making import ANNA, BEN, JOB, ME, NULL, attempt, begun, card, done, facts, fence, job_view, spec

NOW = Now(100.0, 1_700_000_000_000)


class Machine:
    """One that says nothing."""

    def handle(self, event: object, now: Now) -> list[Any]:
        return []

    def on_deadline(self, now: Now) -> list[Any]:
        return []

    def next_deadline(self) -> float | None:
        return None


def begin(booted: Booted = Booted((), {}), **fields: Any) -> Node:
    dice = Random(7)
    options = NodeOptions(
        me=ME, author=AuthorId("a" * 16), run_epoch=1, address=Address("10.0.0.9", 7400), mesh_port=7401, nonce=bytes(8),
        token=lambda: dice.getrandbits(64), seed=1, card=card(capabilities=(), name="me"), swim=LAN,
    )  # fmt: skip
    node = Node(replace(options, **fields))
    node.start(booted, NOW)
    return node


def submitted() -> tuple[Node, JobId]:
    node = begin()
    node.handle(SubmitAsked(RequestId("r"), spec(), EMPTY, "client", "key"), NOW)
    (view,) = node.jobs()
    return node, view.id


def test_a_job_on_a_lonely_peer_is_accepted_and_waits_for_somebody_who_can_render_it():
    node, job = submitted()
    assert node.ledger.owns(job)
    assert node.where(job) == [ME]
    assert node.explain(job)[0].code == "no_capable_peer"
    assert [row.state for row in node.frames(job, state=None, after=1, limit=2)] == ["pending", "pending"]
    assert node.spec(job) == spec()
    assert node.files(job, 1) is None


def test_as_soon_as_there_is_a_renderer_it_renders():
    node, job = submitted()
    effects = node.handle(RenderersFound((NULL,), ()), NOW)
    assert [getattr(one, "frame", None) for one in effects if type(one).__name__ == "Render"] == [1]
    assert [row.frame for row in node.frames(job, state="running", after=None, limit=9)] == [1]
    assert node.busy(NOW) is not None


def test_what_a_machine_said_after_a_signal_comes_after_everything_that_the_signal_led_to():
    class Talker(Machine):
        def handle(self, event: object, now: Now) -> list[Any]:
            if event == SlotsUsed(99):
                return [FrameCommitted(JOB, 1, 0, attempt(1), ANNA, done(1)), Reply(RequestId("after"), None)]
            return [Persist(())] if isinstance(event, FrameCommitted) else []

    node = begin()
    node._machines = [Talker()]
    effects: list[Any] = []
    node._tell(SlotsUsed(99), NOW, effects, 0)
    assert effects == [Persist(()), Reply(RequestId("after"), None)]


def test_machines_that_talk_in_circles_are_stopped():
    class Echo(Machine):
        def handle(self, event: object, now: Now) -> list[Any]:
            return [event]

    node = begin()
    node._machines = [Echo()]
    with pytest.raises(AssertionError, match="round and round"):
        node._tell(SlotsUsed(1), NOW, [], 0)


def test_a_message_to_this_very_peer_comes_back_at_once_and_one_to_nobody_fails_at_once():
    heard: list[Any] = []

    class Ear(Machine):
        def handle(self, event: object, now: Now) -> list[Any]:
            heard.append(event)
            return []

    node = begin()
    node._machines = [Ear()]
    effects: list[Any] = []
    node._absorb([Send(ME, Wake(JOB)), Send(ANNA, Wake(JOB))], NOW, effects, 0)
    assert effects == []
    assert [type(one).__name__ for one in heard] == ["StreamReceived", "StreamFailed"]
    assert heard[1].refused is False


def test_a_message_to_a_member_goes_to_its_mesh_port():
    node = begin()
    node.roster.handle(MemberChanged(ANNA, "alive", 1, Address("10.0.0.1", 7400), 7444, b""), NOW)
    effects: list[Any] = []
    node._absorb([Send(ANNA, Wake(JOB))], NOW, effects, 0)
    assert effects == [SendStream(ANNA, Address("10.0.0.1", 7444), Wake(JOB))]


def test_deadlines_are_met_once_and_move_on():
    node = begin()
    now = NOW
    for _ in range(200):
        due = node.next_deadline()
        assert due is not None
        assert due >= now.monotonic_s
        now = Now(due, 0)
        node.on_deadline(now)
        after = node.next_deadline()
        assert after is not None
        assert after > due
    assert now.monotonic_s > NOW.monotonic_s + 10


def test_an_unknown_job_is_nowhere():
    node = begin()
    assert node.job(JOB) is None
    assert node.where(JOB) == []
    assert node.frames(JOB, state=None, after=None, limit=1) == []
    assert node.explain(JOB) == []
    assert node.spec(JOB) is None
    assert node.scene(JOB) is None
    assert [type(one) for one in node.handle(LocateAsked(RequestId("r"), JOB), NOW)] == [Reply]


def test_a_job_whose_owner_is_gone_says_so():
    node = begin()
    effects: list[Any] = []
    node._tell(CatalogChanged(ANNA, job_key(JOB), summary_to_bytes(job_view())), NOW, effects, 0)
    assert node.explain(JOB)[0].code == "owner_unreachable"
    assert [view.owner for view in node.jobs()] == [ANNA]
    assert PeerId(ANNA) not in node.where(JOB)


def holding(*replicas: PeerId) -> Node:
    """Starts with the facts of a job of Anna's that `replicas` keep, and with Anna alive."""
    first = begun(owner=ANNA)
    kept = facts(first[0], first[1], ReplicaSet(fence(ANNA), 2, replicas), first[3])
    node = begin(Booted(tuple(kept), {}))
    node._tell(MemberChanged(ANNA, "alive", 1, Address("10.0.0.1", 7400), 7444, b""), NOW, [], 0)
    return node


def publish(node: Node, *replicas: PeerId, epoch: int = 1) -> None:
    view = job_view(replicas=replicas, epoch=epoch)
    node._tell(CatalogChanged(ANNA, job_key(JOB), summary_to_bytes(view)), NOW, [], 0)


def test_a_peer_that_is_no_replica_any_more_does_not_answer_from_its_old_copy():
    node = holding(ANNA, ME)
    assert node.where(JOB) == [ANNA, ME]
    publish(node, ANNA, ME)
    assert node.where(JOB) == [ANNA, ME]
    publish(node, ANNA, BEN)
    assert node.where(JOB) == [ANNA]


def test_an_old_copy_answers_when_nobody_else_can():
    node = holding(ANNA, ME)
    publish(node, ANNA, BEN, epoch=2)
    node._tell(MemberChanged(ANNA, "dead", 1, Address("10.0.0.1", 7400), 7444, b""), NOW, [], 0)
    assert node.where(JOB) == [ME]


def test_a_peer_that_steals_from_itself_does_not_talk_itself_to_death():
    """Frames of a millisecond: the thief could use a hundred of them ahead, one question and answer after the other."""
    node = begin()
    node.handle(RenderersFound((NULL,), ()), NOW)
    effects = node.handle(SubmitAsked(RequestId("r"), spec(frames="1-500"), EMPTY, "client", "key"), NOW)
    rendered, now_s = 0, NOW.monotonic_s
    while effects:
        effects, before = [], effects
        now_s += 0.001
        for effect in before:
            if isinstance(effect, Render):
                effects += node.handle(FrameRendered(effect.task, FrameResult((), None, 0.001)), Now(now_s, 1))
            elif isinstance(effect, Verify):
                rendered += 1
                effects += node.handle(FrameVerified(effect.task, FrameResult((), None, 0.001)), Now(now_s, 1))
    assert rendered == 500
    assert [view.state for view in node.jobs()] == ["completed"]
