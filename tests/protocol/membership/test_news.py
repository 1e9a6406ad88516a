from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol import limits
from protocol.effects import Notice, SendStream
from protocol.events import StreamFailed
from protocol.ids import Address, PeerId
from protocol.membership.options import LAN
from protocol.signals import MemberChanged, MemberForgotten
from protocol.wire.gossip import Ack, Alive, Dead, Left, MemberNews, Ping, PushPull, StreamPing, Suspect
from tests.playbook import Playbook
from tests.protocol.membership.rig import (
    ME,
    A,
    B,
    C,
    D,
    alive,
    at,
    incarnation,
    knowing,
    mine,
    next_ping,
    says,
    sent,
    state,
    streams,
)


def queued(book: Playbook, peer: PeerId) -> tuple[object, ...]:
    return tuple(book.machine._ctx.broadcasts.about(peer))


# ---- alive -------------------------------------------------------------------------------------------------------


def test_a_new_member_is_told_and_gossiped_on_and_a_replay_does_neither() -> None:
    book = knowing(B)
    book.feed(says(B, alive(A)))
    told = book.expect(MemberChanged)
    assert (told.peer, told.state, told.run_epoch, told.address, told.mesh_port, told.meta) == (A, "alive", 1, at(A), 7_001, b"m")
    assert queued(book, A) == (alive(A),)
    book.wait(10).forget()
    before = queued(book, A)
    book.feed(says(B, alive(A)))
    book.expect_no(MemberChanged)
    assert queued(book, A) == before == ()


def test_in_a_full_table_the_one_down_for_longest_gives_way_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS_MAX", 3)
    book = knowing(A, B, C)
    book.feed(says(A, alive(D)))
    assert state(book, D) == "unknown"
    book.feed(says(A, Dead(C, 1, 1, A)), says(A, Left(B, 1, 1)), says(A, alive(D)))
    assert book.take(MemberForgotten) == [MemberForgotten(C)]
    assert (state(book, B), state(book, C), state(book, D)) == ("left", "unknown", "alive")


@pytest.mark.parametrize(("theirs", "older"), [((1, 2), "that one"), ((6, 9), "this one")])
def test_a_member_without_a_protocol_version_in_common_is_told_of_once(theirs: tuple[int, int], older: str) -> None:
    book = knowing(B)
    book.machine._ctx.me = replace(book.machine._ctx.me, versions=(3, 5))
    book.feed(
        says(B, alive(A, versions=theirs)), says(B, alive(A, 2, versions=theirs)), says(B, alive(A, epoch=2, versions=theirs))
    )
    (told,) = book.take(Notice, event="member_versions_apart")
    assert (told.level, told.fields["peer"], told.fields["address"]) == ("warning", A, str(at(A)))
    assert told.fields["text"] == f"it speaks protocol versions {theirs[0]} to {theirs[1]}, this peer 3 to 5: upgrade {older}"
    assert state(book, A) == "alive"  # gossip itself is understood by every version
    book.feed(says(A, alive(A, epoch=3, versions=(5, 9))))  # a version that this peer speaks, too
    book.expect_no(Notice, event="member_versions_apart")


def test_versions_that_overlap_in_one_are_no_news() -> None:
    book = knowing(B)
    book.machine._ctx.me = replace(book.machine._ctx.me, versions=(3, 5))
    book.feed(says(B, alive(A, versions=(1, 3)), alive(C, versions=(5, 7)), alive(D, versions=(4, 4))))
    book.expect_no(Notice, event="member_versions_apart")


def test_changed_metadata_is_an_update() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 2, meta=b"new")))
    assert book.expect(MemberChanged).meta == b"new"


def test_a_mere_refutation_is_gossiped_on_but_told_to_nobody() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 2)))
    book.expect_no(MemberChanged)
    assert queued(book, A) == (alive(A, 2),)


def test_a_restart_under_the_same_id_is_accepted_at_once_whatever_the_incarnation() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 900)))
    book.feed(says(A, alive(A, 1, epoch=2, nonce=b"another!", address=Address("10.9.9.9", 7))))
    told = book.expect(MemberChanged, run_epoch=2)
    assert told.address == Address("10.9.9.9", 7)
    assert state(book, A) == "alive"


def test_rumours_about_an_old_run_neither_kill_nor_revive_the_new_one() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 1, epoch=2, nonce=b"another!"))).forget()
    book.feed(says(B, Suspect(A, 1, 99, B, False), Dead(A, 1, 99, B), Left(A, 1, 99), alive(A, 100)))
    book.expect_no(MemberChanged)
    assert (state(book, A), incarnation(book, A)) == ("alive", 1)
    book.feed(says(B, Dead(A, 2, 1, B))).forget()
    book.feed(says(B, alive(A, 100)))
    assert state(book, A) == "dead"


@pytest.mark.parametrize("changes", [{"address": Address("10.9.9.9", 7)}, {"nonce": b"another!"}])
def test_a_conflicting_address_for_a_live_id_is_refused_and_told_once(changes: dict[str, Any]) -> None:
    book = knowing(A)
    for _ in range(3):
        book.feed(says(B, alive(A, 5, **changes)))
    assert len(book.take(Notice, event="member_conflict")) == 1
    assert incarnation(book, A) == 1
    book.expect_no(MemberChanged)


def test_alive_news_about_me_with_other_metadata_is_refuted() -> None:
    book = knowing(A)
    book.feed(says(A, mine(1, meta=b"forged")))
    assert incarnation(book) == 2
    assert queued(book, ME) == (mine(2),)


def test_alive_news_about_me_as_i_am_changes_nothing() -> None:
    book = knowing(A)
    book.feed(says(A, mine(1), mine(0), mine(9, epoch=4, nonce=b"old-run!")))
    assert incarnation(book) == 1


def test_others_word_for_another_process_with_my_id_makes_me_ask_it() -> None:
    book = knowing(A)
    for _ in range(2):
        book.feed(says(A, mine(1, nonce=b"a-copied", address=at(D))))
    book.expect_no(Notice, event="member_duplicate_id")
    assert len(sent(book, Ping, to=D)) == 1


@pytest.mark.parametrize(("epoch", "nonce", "i_stop"), [(5, b"a-copied", True), (6, b"a-copied", False), (4, b"zzzzzzzz", True)])
def test_of_two_processes_with_one_id_the_later_one_is_to_stop(epoch: int, nonce: bytes, i_stop: bool) -> None:
    book = knowing(A)
    book.feed(says(A, mine(1, epoch=6, nonce=nonce, address=at(D))))
    (asked,) = sent(book, Ping, to=D)
    answer = says(ME, Ack(asked.seq, 7_001), mine(1, epoch=epoch, nonce=nonce, address=at(D)), trusted=False)
    book.feed(answer)
    notice = book.expect(Notice, event="member_duplicate_id")
    assert (notice.level, notice.fields["i_stop"], notice.fields["other"]) == ("error", i_stop, str(at(D)))
    book.expect_no(Notice, event="member_duplicate_id")


def test_members_learned_in_a_minute_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS_LEARNED_PER_MINUTE_MAX", 2)
    book = knowing(A, B)
    book.feed(says(A, alive(C)))
    assert state(book, C) == "unknown"
    book.wait(61).feed(says(A, alive(C)))
    assert state(book, C) == "alive"


# ---- suspect -----------------------------------------------------------------------------------------------------


def test_a_suspicion_of_the_unknown_or_by_an_old_incarnation_is_ignored() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 3))).forget()
    book.feed(says(B, Suspect(C, 1, 1, B, False), Suspect(A, 1, 2, B, False), Suspect(A, 2, 1, B, False), Dead(C, 1, 1, B)))
    assert (state(book, A), state(book, C)) == ("alive", "unknown")
    book.expect_no(MemberChanged)


def test_each_new_confirmer_is_gossiped_on_and_shortens_the_wait() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 1, B, False)))
    book.expect(MemberChanged, state="suspect")
    member = book.machine._ctx.members.get(A)
    first = book.machine._desk.ends_s(member)
    book.feed(says(C, Suspect(A, 1, 1, C, False)))
    second = book.machine._desk.ends_s(member)
    assert second < first
    assert set(queued(book, A)) == {Suspect(A, 1, 1, B, False), Suspect(A, 1, 1, C, False)}
    book.feed(says(C, Suspect(A, 1, 1, C, False)))
    assert book.machine._desk.ends_s(member) == second
    book.expect_no(MemberChanged)


def test_a_suspicion_runs_out_into_one_death() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 1, B, False)), says(C, Suspect(A, 1, 1, C, False)), says(D, Suspect(A, 1, 1, D, False)))
    book.forget().wait(4.0)  # two confirmations of two: the shortest time
    told = book.expect(MemberChanged, peer=A)
    assert told.state == "dead"
    book.feed(says(B, Dead(A, 1, 1, B)), says(C, Dead(A, 1, 1, C)))
    book.expect_no(MemberChanged, peer=A)
    assert len(book.take(Notice, event="member_died")) == 1


def test_the_k_of_a_suspicion_follows_the_living() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 1, B, False)))
    member = book.machine._ctx.members.get(A)
    assert book.machine._desk.needed(member) == 2
    book.feed(says(B, Dead(C, 1, 1, B), Dead(D, 1, 1, B)))
    assert book.machine._desk.needed(member) == 1  # myself alone could still confirm
    book.feed(says(B, Dead(A, 1, 1, B), alive(A, 2)))
    book.machine._desk.accuse(member, book.now_s, refused=False)
    book.feed(says(C, Dead(B, 1, 1, C)))
    assert book.machine._desk.needed(member) == 0


def test_a_refutation_ends_the_suspicion() -> None:
    book = knowing(A, B)
    book.feed(says(B, Suspect(A, 1, 1, B, False)), says(A, alive(A, 2)))
    assert state(book, A) == "alive"
    assert [told.state for told in book.take(MemberChanged)] == ["suspect", "alive"]
    book.feed(says(B, Suspect(A, 1, 1, B, False), Dead(A, 1, 1, B)))
    assert state(book, A) == "alive"


def test_an_accusation_of_me_is_refuted_above_it_and_a_stale_one_is_not() -> None:
    book = knowing(A)
    book.feed(says(A, Suspect(ME, 5, 7, A, False)))
    assert incarnation(book) == 8
    assert book.machine.health_score == 1
    book.feed(says(A, Suspect(ME, 5, 7, A, False), Dead(ME, 4, 99, A), Left(ME, 4, 99)))
    assert incarnation(book) == 8
    book.feed(says(A, Dead(ME, 5, 8, A)))
    assert incarnation(book) == 9


# ---- the accused is asked ----------------------------------------------------------------------------------------


def test_while_a_suspicion_lasts_the_accused_is_asked_again_and_again_and_once_over_a_stream() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 3, B, False)), says(C, Suspect(A, 1, 3, C, False)), says(D, Suspect(A, 1, 3, D, False)))
    book.wait(0.9).forget()
    asked = []
    for _ in range(3):
        asked.append([ping.suspicion for ping in sent(book.forget().wait(0.2), Ping, to=A)])
        book.wait(0.8)
    assert [Suspect(A, 1, 3, B, False) in accusations for accusations in asked] == [True, True, True]
    book.wait(0.5)
    assert state(book, A) == "dead"


def test_a_question_over_a_stream_says_what_is_held_against_the_accused_and_wants_its_own_news() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 3, B, False))).wait(3.5)
    (question,) = [one for one in book.take(SendStream) if isinstance(one.message, PushPull)]
    assert (question.peer, question.message) == (A, PushPull((MemberNews(alive(A, 3), "suspect"),), (A,), False))
    book.feed(streams(A, PushPull((MemberNews(alive(A, 4), "alive"),), (), False)))
    assert state(book, A) == "alive"


@pytest.mark.parametrize("held", [1, 7])
def test_who_is_asked_over_a_stream_answers_with_news_above_the_accusation(held: int) -> None:
    book = knowing(A)
    book.feed(says(A, Suspect(ME, 5, 3, A, False))).forget()  # refuted with 4
    book.feed(streams(A, PushPull((MemberNews(mine(held), "suspect"),), (ME,), False)))
    (told,) = [one.message.news for one in book.take(SendStream) if isinstance(one.message, PushPull)]
    assert told == (MemberNews(mine(max(4, held + 1)), "alive"),)


def test_nobody_is_asked_any_more_once_it_has_refuted() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 1, B, False)), says(A, alive(A, 2))).wait(0.1).forget().wait(10)
    pings = sent(book, Ping, to=A)
    assert [ping.suspicion for ping in pings] == [None] * len(pings)
    assert len(pings) < 5  # the probe cycle's alone
    assert [one for one in book.take(SendStream) if isinstance(one.message, PushPull)] == []


# ---- refused connections -----------------------------------------------------------------------------------------


def test_an_accusation_of_silence_makes_its_hearer_ask_the_accused_too_and_once_only() -> None:
    book = knowing(A, B)
    book.forget().feed(says(B, Suspect(A, 1, 1, B, False)))
    assert [ping.target for ping in sent(book, Ping, to=A)] == [A]
    book.forget().feed(says(B, Suspect(A, 1, 1, B, False)))
    assert sent(book, Ping, to=A) == []


@pytest.mark.parametrize("verdict", [Dead(A, 1, 1, B), Left(A, 1, 1)])
def test_who_still_accuses_a_member_that_has_gone_is_told_the_verdict(verdict: Dead | Left) -> None:
    book = knowing(A, B, C)
    book.feed(says(B, verdict)).forget().feed(says(C, Suspect(A, 1, 1, C, True)))
    assert book.out == []  # in the first moment everybody's accusations are still on their way
    book.wait(5).forget()
    book.feed(says(C, Suspect(A, 1, 1, C, True))).feed(says(C, Suspect(A, 1, 1, C, True)))
    (told,) = sent(book, type(verdict), to=C)
    assert (told.peer, told.run_epoch, told.incarnation) == (A, 1, 1)
    assert state(book, A) == state(book.wait(5), A)


def test_an_accuser_that_fails_to_reach_the_accused_again_says_so_again() -> None:
    book = knowing(A, B, C)
    book.silent = (A,)
    while state(book, A) != "suspect":
        book.wait(0.5)
    book.wait(2)
    assert queued(book, A) == ()
    book.forget().wait(8)
    assert state(book, A) == "suspect"
    assert Suspect(A, 1, 1, ME, False) in sent(book, Suspect)


def test_a_refused_suspicion_makes_its_hearer_ask_at_once_over_the_stream() -> None:
    book = knowing(A, B, C)
    book.feed(says(B, Suspect(A, 1, 1, B, True)))
    ping = book.expect(SendStream, peer=A)
    assert isinstance(ping.message, StreamPing)
    assert sent(book, Ping, to=A)[0].suspicion == Suspect(A, 1, 1, B, False)


def test_refusals_met_by_enough_others_are_death_without_the_floor() -> None:
    book = knowing(A, B, C, D)
    book.silent = (A,)
    began_s = book.now_s
    book.feed(says(B, Suspect(A, 1, 1, B, True)))
    ping = book.expect(SendStream, peer=A).message
    book.feed(StreamFailed(A, ping, refused=True)).wait(0.2)
    assert state(book, A) == "suspect"  # one confirmation of two
    book.feed(says(C, Suspect(A, 1, 1, C, True)))
    assert state(book, A) == "dead"
    assert book.now_s - began_s < LAN.suspicion_mult * LAN.probe_interval_s


def test_with_nobody_to_ask_two_refusals_a_second_apart_are_death() -> None:
    book = knowing(A)
    next_ping(book, to=A)
    began_s = book.now_s
    while state(book, A) != "dead" and book.now_s < began_s + 10:
        for effect in book.take(SendStream, peer=A):
            book.feed(StreamFailed(A, effect.message, refused=True))
        book.wait(0.05)
    assert LAN.probe_timeout_s + 0.9 <= book.now_s - began_s <= LAN.probe_timeout_s + 1.3


def test_an_answer_by_datagram_outweighs_a_refused_stream() -> None:
    book = knowing(A, B, C)
    book.feed(says(B, Suspect(A, 1, 1, B, True)))
    ping = book.expect(SendStream, peer=A).message
    book.feed(StreamFailed(A, ping, refused=True), says(A, alive(A, 2)))
    book.wait(0.2)
    assert state(book, A) == "alive"


# ---- dead and left -----------------------------------------------------------------------------------------------


def test_alive_1_dead_1_dead_10_alive_2_stays_dead() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 1, B), Dead(A, 1, 10, B), alive(A, 2)))
    assert (state(book, A), incarnation(book, A)) == ("dead", 10)
    book.feed(says(B, alive(A, 11)))
    assert state(book, A) == "alive"


def test_a_stale_alive_about_the_dead_is_answered_with_the_accusation_to_itself() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 3, B))).forget()
    book.feed(says(B, alive(A, 2)), says(B, alive(A, 2)))
    pings = sent(book, Ping, to=A)
    assert [ping.suspicion for ping in pings] == [Suspect(A, 1, 3, ME, False)]  # once a second at most


def test_the_left_are_never_suspected_and_never_die() -> None:
    book = knowing(A, B)
    book.feed(says(A, Left(A, 1, 1)))
    assert book.expect(MemberChanged).state == "left"
    book.feed(says(B, Suspect(A, 1, 1, B, False), Dead(A, 1, 5, B), alive(A, 1)))
    assert state(book, A) == "left"
    book.expect_no(MemberChanged)


def test_a_goodbye_heard_after_a_death_makes_it_left() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 1, B)), says(B, Left(A, 1, 1)))
    assert state(book, A) == "left"


# ---- whole tables ------------------------------------------------------------------------------------------------


def test_a_remote_dead_becomes_a_suspect_here() -> None:
    book = knowing(A, B)
    book.feed(streams(B, PushPull((MemberNews(alive(A), "dead"),), (), False)))
    assert state(book, A) == "suspect"


def test_a_remote_dead_about_the_unknown_is_nothing_and_about_me_is_refuted() -> None:
    book = knowing(B)
    book.feed(streams(B, PushPull((MemberNews(alive(A), "dead"), MemberNews(mine(4), "dead")), (), False)))
    assert state(book, A) == "unknown"
    assert incarnation(book) == 5


def test_a_remote_suspect_is_suspected_but_confirms_nothing() -> None:
    book = knowing(A, B, C, D)
    book.feed(streams(B, PushPull((MemberNews(alive(A), "suspect"),), (), False)))
    member = book.machine._ctx.members.get(A)
    ends_s = book.machine._desk.ends_s(member)
    book.feed(streams(C, PushPull((MemberNews(alive(A), "suspect"),), (), False)))
    assert state(book, A) == "suspect"
    assert book.machine._desk.ends_s(member) == ends_s


def test_a_member_left_elsewhere_is_left_here() -> None:
    book = knowing(A, B)
    book.feed(streams(B, PushPull((MemberNews(alive(A), "left"),), (), False)))
    assert state(book, A) == "left"


def test_unknown_fields_of_news_are_handed_on() -> None:
    book = knowing(B)
    news = alive(A, extra=b"\x91\x07")
    book.feed(says(B, news))
    book.wait(1)
    assert news in sent(book, Alive)


# ---- a disk that was put back -------------------------------------------------------------------------------------


def test_whoever_says_something_in_a_known_run_and_is_another_is_told_who_is_known() -> None:
    book = knowing(A, B)
    other = replace(alive(A), nonce=b"-other--", incarnation=5)
    for _ in range(2):
        book.feed(says(B, other))
    assert [one.fields["refused"] for one in book.take(Notice) if one.event == "member_conflict"] == [str(at(A))]
    assert sent(book, Alive, to=A).count(alive(A)) == 1, "not at each word"
    assert incarnation(book, A) == 1
    book.feed(says(B, Dead(A, 1, 1, B)), says(B, other))
    assert state(book, A) == "dead", "and not when the known one is gone either"
    book.feed(says(B, replace(other, run_epoch=2)))
    assert state(book, A) == "alive"


def test_who_hears_of_itself_in_a_run_that_its_disk_does_not_know_goes_on_after_it() -> None:
    book = knowing(A)

    def me() -> tuple[int, int]:
        view = book.machine.me()
        return view.run_epoch, view.incarnation

    before = replace(alive(ME), nonce=b"-before-")
    book.feed(says(A, replace(before, run_epoch=8)))
    assert me() == (9, 1)
    assert [one.fields["run_epoch"] for one in book.take(Notice) if one.event == "member_outlived"] == [9]
    book.feed(says(A, replace(before, run_epoch=9)))
    assert me() == (10, 1), "another start had the same number"
    for run_epoch in (4, limits.EPOCH_MAX):
        book.feed(says(A, replace(before, run_epoch=run_epoch)))
    assert me() == (10, 1)
