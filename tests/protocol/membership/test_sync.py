from __future__ import annotations

import pytest

from protocol import limits
from protocol.effects import SendDatagram, SendStream
from protocol.events import StreamFailed
from protocol.ids import Address, PeerId
from protocol.membership.sync import scaled_interval
from protocol.signals import MemberState
from protocol.wire.codec import encode
from protocol.wire.gossip import Dead, Left, MemberNews, PushPull, SyncDigest, SyncVersions
from tests.protocol.membership.rig import ME, A, B, C, alive, knowing, mine, says, streams


@pytest.mark.parametrize(("live", "factor"), [(2, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (1_000, 6)])
def test_the_interval_grows_with_the_logarithm_above_32_members(live: int, factor: int) -> None:
    assert scaled_interval(30.0, live=live) == 30.0 * factor


def test_a_round_begins_with_a_digest_of_two_dozen_bytes() -> None:
    book = knowing(A, B)
    digests: list[SendStream] = []
    while not digests and book.now_s < 1_100:
        book.wait(1)
        digests = [effect for effect in book.take(SendStream) if isinstance(effect.message, SyncDigest)]
    assert digests[0].urgent
    assert len(encode(digests[0].message)) < 24


def test_equal_digests_end_the_round() -> None:
    book = knowing(A, B)
    book.feed(streams(A, SyncDigest(book.machine._sync.root())))
    book.expect_no(SendStream)


def test_a_digest_that_differs_is_answered_with_versions() -> None:
    book = knowing(A, B)
    book.feed(says(A, Left(B, 1, 4)))
    book.feed(streams(A, SyncDigest(bytes(16))))
    answered = book.expect(SendStream, peer=A)
    assert answered.address == Address("10.0.0.11", 7_001)
    assert answered.message == SyncVersions(((ME, 5, 1, "alive"), (A, 1, 1, "alive"), (B, 1, 4, "left")))


def test_only_what_differs_is_sent_and_asked_for() -> None:
    book = knowing(A, B)
    rows: tuple[tuple[PeerId, int, int, MemberState], ...] = ((ME, 5, 1, "alive"), (A, 1, 7, "alive"), (C, 3, 1, "alive"))
    book.feed(streams(A, SyncVersions(rows)))
    message = book.expect(SendStream, peer=A).message
    assert message == PushPull((MemberNews(alive(B), "alive"),), (A, C), False)
    book.feed(streams(A, PushPull((), (ME, B), False)))
    asked = book.expect(SendStream, peer=A).message
    assert asked == PushPull((MemberNews(mine(), "alive"), MemberNews(alive(B), "alive")), (), False)


def test_the_dead_are_told_to_those_who_hold_them_up_and_not_to_those_who_never_knew_them() -> None:
    book = knowing(A, B)
    book.feed(says(A, Dead(B, 1, 1, A))).forget()
    book.feed(streams(A, SyncVersions(((ME, 5, 1, "alive"), (A, 1, 1, "alive"), (B, 1, 1, "alive")))))
    assert book.expect(SendStream).message == PushPull((MemberNews(alive(B), "dead"),), (), False)
    book.feed(streams(A, SyncVersions(((ME, 5, 1, "alive"), (A, 1, 1, "alive")))))
    book.expect_no(SendStream)


def test_two_tables_agree_on_the_digest_whatever_the_order_of_learning() -> None:
    assert knowing(A, B, C).machine._sync.root() == knowing(C, A, B).machine._sync.root()
    assert knowing(A, B, C).machine._sync.root() != knowing(A, B).machine._sync.root()


def test_who_asks_for_everything_gets_everything_and_is_taken_in() -> None:
    book = knowing(A)
    book.feed(streams(B, PushPull((MemberNews(alive(B), "alive"),), (), True)))
    message = book.expect(SendStream, peer=B).message
    assert isinstance(message, PushPull)
    assert {news.alive.peer for news in message.news} == {ME, A, B}
    assert not message.everything


def test_a_table_too_large_for_one_message_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SYNC_NEWS_MAX", 2)
    book = knowing(A, B, C)
    book.feed(streams(A, PushPull((), (), True)))
    pieces = [effect.message for effect in book.take(SendStream, peer=A)]
    assert [len(piece.news) for piece in pieces if isinstance(piece, PushPull)] == [2, 2]


def test_a_failed_pull_is_tried_again_a_few_times() -> None:
    book = knowing(A)
    book.machine._sync.pull(book.machine._ctx.members.get(A))
    book.out += book.machine._ctx.drain()
    tries = 0
    for _ in range(1_200):
        for effect in book.take(SendStream, peer=A):
            if isinstance(effect.message, PushPull):
                tries += 1
                book.feed(StreamFailed(A, effect.message, refused=False))
        book.wait(0.05).take(SendDatagram)
    assert tries == 6


def test_state_from_a_stranger_without_its_own_news_is_taken_but_cannot_be_answered() -> None:
    book = knowing(A)
    book.feed(streams(C, PushPull((MemberNews(alive(B), "alive"),), (), True)), streams(C, SyncVersions(())))
    book.expect_no(SendStream)
