"""What every `Journal` promises. Subclass, and give a fixture `journal`."""

from __future__ import annotations

import asyncio
import random

import pytest

from peer.ports import Journal
from protocol import limits
from protocol.errors import Malformed
from protocol.ids import AttemptId, AuthorId, Fence, JobId, PeerId
from protocol.jobs.results import Failure, FrameResult
from protocol.ledger.facts import Fact, FrameEnded, Owner
from protocol.records import DropValue, ForgetJob, PutFact, PutValue

PEER = PeerId("ab" * 32)


def job(number: int) -> JobId:
    return JobId(f"{number:032x}")


def owner_fact(job_number: int, seq: int, *, author: str = "00" * 8, epoch: int = 1) -> Fact:
    return Fact(job(job_number), AuthorId(author), seq, Owner(Fence(epoch, PEER)))


def bad_fact() -> Fact:
    """One that could be written but never be read back."""
    failure = Failure("crash", "x" * (limits.REASON_CHARS_MAX + 1))
    ended = FrameEnded(1, 0, AttemptId(1, PEER, 1), PEER, FrameResult((), failure, 1.0), 0)
    return Fact(job(1), AuthorId("00" * 8), 1, ended)


class JournalSuite:
    async def test_an_empty_journal_has_no_facts_and_no_values(self, journal: Journal):
        assert await journal.facts() == []
        assert dict(await journal.values()) == {}

    async def test_facts_come_back_ordered_by_job_author_and_sequence(self, journal: Journal):
        facts = [owner_fact(j, seq, author=author) for j in (1, 2) for author in ("00" * 8, "0f" * 8) for seq in (1, 2, 11)]
        shuffled = random.Random(7).sample(facts, len(facts))
        await journal.commit([PutFact(fact) for fact in shuffled])
        assert await journal.facts() == facts

    async def test_a_fact_stored_again_changes_nothing(self, journal: Journal):
        await journal.commit([PutFact(owner_fact(1, 1))])
        await journal.commit([PutFact(owner_fact(1, 1)), PutFact(owner_fact(1, 1, epoch=99))])
        assert await journal.facts() == [owner_fact(1, 1)]

    async def test_a_value_replaces_an_older_one_and_can_be_dropped(self, journal: Journal):
        await journal.commit([PutValue("a", b"1"), PutValue("b", b""), PutValue("a", b"\x00\xff")])
        assert dict(await journal.values()) == {"a": b"\x00\xff", "b": b""}
        await journal.commit([DropValue("a"), DropValue("never there")])
        assert dict(await journal.values()) == {"b": b""}

    async def test_forgetting_a_job_leaves_the_others(self, journal: Journal):
        await journal.commit([PutFact(owner_fact(1, 1)), PutFact(owner_fact(1, 2)), PutFact(owner_fact(2, 1))])
        await journal.commit([ForgetJob(job(1)), ForgetJob(job(3))])
        assert await journal.facts() == [owner_fact(2, 1)]

    async def test_records_apply_in_the_order_given(self, journal: Journal):
        await journal.commit(
            [PutFact(owner_fact(1, 1)), ForgetJob(job(1)), PutFact(owner_fact(1, 2)), DropValue("a"), PutValue("a", b"x")]
        )
        assert await journal.facts() == [owner_fact(1, 2)]
        assert dict(await journal.values()) == {"a": b"x"}

    async def test_an_unreadable_fact_refuses_its_whole_call_and_nothing_else(self, journal: Journal):
        async def good() -> None:
            await journal.commit([PutValue("good", b"1")])

        async def bad() -> None:
            with pytest.raises(Malformed):
                await journal.commit([PutValue("bad", b"1"), PutFact(bad_fact())])

        await asyncio.gather(good(), bad(), good())
        assert dict(await journal.values()) == {"good": b"1"}
        assert await journal.facts() == []

    @pytest.mark.parametrize("fact", [owner_fact(1, 0), Fact(JobId("ff"), AuthorId("00" * 8), 1, Owner(Fence(1, PEER)))])
    async def test_a_fact_with_an_impossible_identity_is_refused(self, journal: Journal, fact: Fact):
        with pytest.raises(Malformed):
            await journal.commit([PutFact(fact)])

    @pytest.mark.parametrize("key", ["", "k" * (limits.VALUE_KEY_CHARS_MAX + 1)])
    async def test_a_key_beyond_the_limits_is_refused(self, journal: Journal, key: str):
        with pytest.raises(ValueError, match="key"):
            await journal.commit([PutValue(key, b"")])

    async def test_committing_nothing_is_harmless(self, journal: Journal):
        await journal.commit([])
        assert await journal.facts() == []

    async def test_many_callers_at_once_are_all_stored(self, journal: Journal):
        await asyncio.gather(*(journal.commit([PutFact(owner_fact(number % 5, number + 1))]) for number in range(200)))
        assert len(await journal.facts()) == 200
