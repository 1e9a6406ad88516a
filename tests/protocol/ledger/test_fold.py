"""A fold says the same whatever the order in which facts arrive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import AuthorId
from protocol.jobs.results import Failure, Inspection
from protocol.ledger.attic import MemoryAttic
from protocol.ledger.facts import Body, Closed, Control, Fact, Owner, ReplicaSet, Retried
from protocol.ledger.fold import JobFold
from tests.protocol.making import ANNA, BEN, JOB, ME, accepted, begun, done, ended, facts, failed, fence, folded, inspected, spec

AUTHORS = [AuthorId(letter * 16) for letter in "abc"]
FENCES = [fence(ME), fence(ANNA), fence(BEN), fence(ME, 2)]


def bodies() -> st.SearchStrategy[Body]:
    frames = st.integers(1, 4)
    counters = st.integers(1, 6)
    holds = st.sampled_from(FENCES)
    return st.one_of(
        st.builds(lambda ms: replace(accepted(), wall_ms=ms), st.integers(1, 3)),
        st.builds(Owner, holds),
        st.builds(lambda f, v, p: ReplicaSet(f, v, p), holds, st.integers(1, 3), st.just((ME, ANNA))),
        st.builds(lambda ms: replace(inspected(), wall_ms=ms), st.integers(1, 3)),
        st.builds(
            lambda f, c, g, ms: replace(ended(f, c, by=ANNA if c % 2 else BEN, generation=g), wall_ms=ms),
            frames,
            counters,
            st.integers(0, 2),
            st.integers(1, 3),
        ),
        st.builds(lambda f, c: ended(f, c, result=failed()), frames, counters),
        st.builds(lambda f, c, v: Control("paused", v, f, c, 1), holds, st.integers(1, 3), st.sampled_from(["", "1"])),
        st.builds(lambda f, g: Retried(str(f), g, 1), frames, st.integers(1, 2)),
        st.builds(lambda s, f, r: Closed(s, f, r, 1), st.sampled_from(["completed", "failed"]), holds, st.integers(0, 2)),
    )


def seen(fold: JobFold) -> dict[str, Any]:
    """Everything that a fold says, apart from the order of what has none."""
    frames = [] if fold.frames is None else list(fold.frames)
    return {
        "versions": fold.versions, "fence": fold.fence, "owners": sorted(fold.owners), "replicas": fold.replica_set,
        "closed": fold.is_closed,
        "accepted": fold.accepted, "inspected": fold.inspected,
        "winners": dict(sorted(fold.winners.items())), "done": fold.done, "paused": fold.paused, "frames": frames,
        "failed": fold.failed_frames() if fold.spec else [], "generations": [fold.generation(frame) for frame in range(1, 5)],
        "state": [(fold.is_done(frame), len(fold.current_failures(frame))) for frame in frames],
    }  # fmt: skip


def merged(logs: list[list[Fact]], order: list[int]) -> JobFold:
    """Facts of several authors, each in sequence, interleaved as `order` says."""
    fold = JobFold(JOB, MemoryAttic(2))
    rest = [list(log) for log in logs]
    for pick in order:
        if rest[pick % len(rest)]:
            assert fold.add(rest[pick % len(rest)].pop(0))
    for log in rest:
        for fact in log:
            assert fold.add(fact)
    return fold


@given(
    st.lists(st.lists(bodies(), max_size=8), min_size=3, max_size=3),
    st.lists(st.integers(0, 2), max_size=24),
    st.lists(st.integers(0, 2), max_size=24),
)
def test_facts_may_meet_in_any_order(written: list[list[Body]], one: list[int], other: list[int]):
    logs = [facts(*log, author=author) for author, log in zip(AUTHORS, written, strict=True)]
    assert seen(merged(logs, one)) == seen(merged(logs, other))


@given(st.lists(bodies(), max_size=8))
def test_a_fact_that_is_known_changes_nothing(written: list[Body]):
    fold = merged([facts(*written)], [])
    before = seen(fold)
    assert not any(fold.add(fact) for fact in facts(*written))
    assert seen(fold) == before


def test_a_gap_is_refused_and_leaves_no_trace():
    fold = JobFold(JOB)
    assert not fold.add(facts(accepted(), first=2)[0])
    assert fold.versions == {}


def test_the_lowest_attempt_wins_among_the_committed():
    fold = folded(*begun(), ended(1, 9, by=ANNA), ended(1, 4, by=BEN), ended(1, 7))
    assert fold.winners[1].peer == BEN
    assert fold.done == 1


def test_a_merge_tells_whose_result_another_owners_has_replaced():
    fold = folded(*begun(), ended(1, 9, by=ANNA), ended(2, 1, by=ANNA), ended(3, 9, by=ANNA), ended(4, 9, by=ANNA))
    other = facts(
        ended(1, 8, by=BEN), ended(1, 7, by=BEN), ended(2, 4, by=BEN), ended(3, 9, by=BEN),
        Retried("4", 1, 1), ended(4, 8, generation=1), ended(4, 7, generation=1), author=AUTHORS[1],
    )  # fmt: skip
    taken, replaced = fold.merge([*other, *other])
    assert taken == other
    assert replaced == {1: (ended(1, 9, by=ANNA), ended(1, 7, by=BEN))}
    assert fold.merge(facts(ended(1, 2, by=BEN), first=99, author=AUTHORS[1])) == ([], {}), "it leaves a gap"
    taken, replaced = fold.merge(facts(ended(4, 6, by=BEN, generation=1), Retried("4", 2, 1), first=8, author=AUTHORS[1]))
    assert (len(taken), replaced) == (2, {}), "it is wanted anew"
    assert fold.merge(facts(ended(4, 5, by=BEN, generation=1), first=10, author=AUTHORS[1]))[1] == {}, "it is not done any more"


def test_a_newer_generation_beats_a_lower_attempt_and_must_be_rendered_first():
    fold = folded(*begun(), ended(1, 1), Retried("1", 1, 1))
    assert not fold.is_done(1)
    fold.add(facts(ended(1, 99, generation=1), first=7)[0])
    assert fold.is_done(1)
    assert fold.winners[1].attempt.counter == 99


def test_a_frame_has_failed_when_its_attempts_are_used_up_and_is_whole_again_after_a_retry():
    fold = folded(*begun(spec(max_attempts=2)), ended(2, 1, result=failed()))
    assert fold.failed_frames() == []
    fold.add(facts(ended(2, 2, result=failed()), first=6)[0])
    assert fold.failed_frames() == [2]
    fold.add(facts(Retried("2", 1, 1), first=7)[0])
    assert fold.failed_frames() == []


def test_a_late_success_beats_recorded_failures():
    fold = folded(*begun(spec(max_attempts=1)), ended(2, 1, result=failed()), ended(2, 2))
    assert fold.failed_frames() == []
    assert fold.is_done(2)


def test_frames_follow_from_the_scene_where_the_client_named_none():
    fold = folded(accepted(spec(frames=None)), Owner(fence()), inspected(Inspection(frame_start=3, frame_end=9, frame_step=3)))
    assert fold.frames is not None
    assert list(fold.frames) == [3, 6, 9]


def test_results_outside_the_frames_do_not_count():
    assert folded(*begun(), ended(99, 1)).done == 0


def test_what_is_sent_weighs_what_it_carries_and_is_never_nothing():
    fold = folded(*begun(), *(ended(frame, frame) for frame in range(1, 5)))
    assert [fact.seq for fact in fold.since({}, 5)] == [1, 2, 3, 4]
    assert [fact.seq for fact in fold.since({facts(accepted())[0].author: 4}, 1)] == [5]
    assert len(fold.since({}, 1000)) == 8


def test_a_closed_job_opens_again_when_something_is_retried():
    fold = folded(*begun(), Closed("failed", fence(), 0, 1))
    assert fold.is_closed
    fold.add(facts(Retried("1", 1, 1), first=6)[0])
    assert not fold.is_closed


def test_a_fact_names_the_blobs_that_it_needs():
    fold = folded(*begun())
    assert list(fold.blobs_of(facts(ended(1, 1, result=done(1)))[0])) == [(done(1).outputs[0].digest, 100)]


def test_a_lesser_owners_last_word_does_not_bind_the_greater_one():
    fold = folded(*begun(), Closed("failed", fence(), 0, 1))
    fold.add(facts(Owner(fence(ANNA, 2)), first=6)[0])
    assert not fold.is_closed
    fold.add(facts(Closed("completed", fence(ANNA, 2), 0, 1), first=7)[0])
    assert fold.is_closed
    assert fold.closed is not None
    assert fold.closed.state == "completed"


def test_who_could_open_the_scene_outranks_who_could_not():
    broken = Inspection(error=Failure("crash", "it died"))
    for first, second in ((broken, Inspection(frame_end=9)), (Inspection(frame_end=9), broken)):
        seen = folded(accepted(), inspected(first), inspected(second)).inspection
        assert seen is not None
        assert seen.error is None
