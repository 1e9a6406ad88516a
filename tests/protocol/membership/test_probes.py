from __future__ import annotations

import pytest

from protocol import limits
from protocol.effects import Notice, SendStream
from protocol.events import DatagramUnsent, LoopLagged, StreamBroken, StreamFailed
from protocol.ids import PeerId
from protocol.membership.options import LAN
from protocol.signals import MemberChanged
from protocol.wire.gossip import Ack, Alive, Dead, Left, Nack, Ping, PingReq, PushPull, StreamAck, StreamPing, Suspect
from tests.protocol.membership.rig import (
    ME,
    A,
    B,
    C,
    D,
    Talk,
    alive,
    answer,
    at,
    incarnation,
    knowing,
    next_ping,
    says,
    sent,
    state,
    streams,
)


def stream_pings(book: Talk) -> list[SendStream]:
    return [effect for effect in book.out if isinstance(effect, SendStream) and isinstance(effect.message, StreamPing)]


def indirect(book: Talk, *, to: PeerId) -> tuple[Ping, list[PeerId]]:
    """Let a direct ping go unanswered: the ping, and the helpers that were asked."""
    _, ping = next_ping(book, to=to)
    book.forget().wait(0.5)
    return ping, [peer for peer in (A, B, C, D) if sent(book, PingReq, to=peer)]


def test_suspicion_comes_only_after_direct_indirect_and_stream_have_failed() -> None:
    book = knowing(A, B, C, D)
    ping, helpers = indirect(book, to=A)
    assert len(helpers) == 3
    assert A not in helpers
    assert sent(book, PingReq)[0] == PingReq(ping.seq, A, at(A))
    assert [effect.message for effect in stream_pings(book)] == [StreamPing(ping.seq, book.machine._ctx.me)]
    book.wait(0.4)
    assert state(book, A) == "alive"
    book.wait(0.2)
    assert state(book, A) == "suspect"
    assert Suspect(A, 1, 1, ME, False) in sent(book, Suspect)


def test_a_direct_answer_is_enough_and_gives_the_round_trip() -> None:
    book = knowing(A)
    _, ping = next_ping(book)
    book.forget().wait(0.1)
    answer(book, A, ping).wait(0.8)
    assert stream_pings(book) == []
    assert next(view.rtt_s for view in book.machine.members() if view.peer == A) == pytest.approx(0.1)


def test_a_late_direct_answer_within_the_interval_still_counts() -> None:
    book = knowing(A, B)
    ping, _ = indirect(book, to=A)
    answer(book, A, ping).wait(1)
    assert state(book, A) == "alive"


def test_a_helper_s_forwarded_answer_counts() -> None:
    book = knowing(A, B, C)
    ping, helpers = indirect(book, to=A)
    answer(book, helpers[0], ping).wait(0.6)
    assert state(book, A) == "alive"


def test_a_stream_answer_alone_means_alive_with_a_warning_once() -> None:
    book = knowing(A, B)
    for expected in (1, 0):
        ping, _ = indirect(book, to=A)
        book.feed(streams(A, StreamAck(ping.seq))).wait(0.6)
        assert state(book, A) == "alive"
        assert len(book.take(Notice, event="member_udp_blocked")) == expected


def test_late_and_foreign_answers_are_ignored() -> None:
    book = knowing(A, B, C)
    ping, _ = indirect(book, to=A)
    stranger = D
    book.feed(says(stranger, Ack(ping.seq, 7_001)), says(A, Ack(ping.seq + 1, 7_001)), streams(B, StreamAck(ping.seq)))
    book.wait(0.6)
    assert state(book, A) == "suspect"
    score = book.machine.health_score
    answer(book, A, ping)  # too late
    assert (state(book, A), book.machine.health_score) == ("suspect", score)


def test_a_ping_for_another_s_id_is_ignored() -> None:
    book = knowing(A)
    book.feed(says(A, Ping(9, B, Suspect(ME, 5, 1, A, False))))
    assert sent(book, Ack) == []
    assert incarnation(book) == 1


def test_a_ping_to_a_suspect_carries_the_suspicion_and_the_suspect_refutes_in_its_answer() -> None:
    book = knowing(A, B)
    book.feed(says(B, Suspect(A, 1, 1, B, False))).forget()
    _, ping = next_ping(book, to=A)
    assert ping.suspicion == Suspect(A, 1, 1, B, False)
    pings = sent(book.wait(3), Ping, to=A)  # its own turn among the probes too, besides the questions that a suspicion asks
    assert len(pings) >= 3
    assert all(one.suspicion is not None for one in pings)
    other = knowing(A)
    other.feed(says(A, Ping(9, ME, Suspect(ME, 5, 1, B, False))))
    assert sent(other, Ack, to=A) == [Ack(9, 7_001)]
    assert other.machine._ctx.me in sent(other, type(other.machine._ctx.me), to=A)
    assert incarnation(other) == 2


def test_a_ping_with_an_accusation_that_was_refuted_already_is_answered_with_the_refutation_again() -> None:
    book = knowing(A, B)
    book.feed(says(B, Suspect(ME, 5, 1, B, False))).wait(30).forget()  # all has been said as often as it is said at all
    assert len(book.machine._ctx.broadcasts) == 0
    book.feed(says(A, Ping(9, ME, Suspect(ME, 5, 1, B, False))))
    assert sent(book, Alive, to=A) == [book.machine._ctx.me]
    assert incarnation(book) == 2


def test_a_send_error_of_our_own_blames_nobody() -> None:
    book = knowing(A, B)
    next_ping(book, to=A)
    book.feed(DatagramUnsent(at(A))).wait(0.9)
    assert state(book, A) == "alive"
    assert stream_pings(book) == []


def test_a_target_that_vanishes_in_mid_probe_is_nobody_s_concern() -> None:
    book = knowing(A, B, C)
    indirect(book, to=A)
    book.feed(says(B, Dead(A, 1, 1, B))).forget()
    book.wait(1)
    book.expect_no(MemberChanged, peer=A)


def test_missed_nacks_are_our_own_ill_health_and_nacks_are_not() -> None:
    """However many are missing in one probe: helpers that died with the probed one must not slow us down for long."""
    book = knowing(A, B, C, D)
    ping, helpers = indirect(book, to=A)
    book.silent = (A, B, C, D)  # no success heals what is looked for
    book.feed(*(says(helper, Nack(ping.seq)) for helper in helpers)).wait(0.55)
    assert (state(book, A), book.machine.health_score) == ("suspect", 0)
    book = knowing(A, B, C, D)
    ping, helpers = indirect(book, to=A)
    book.silent = (A, B, C, D)
    book.feed(says(helpers[0], Nack(ping.seq))).wait(0.55)
    assert book.machine.health_score == 1


def test_a_helper_that_owes_its_nack_is_asked_out_of_turn() -> None:
    def asked(*nacking: PeerId) -> list[PeerId]:
        """Whom the probe of A leads to: one is asked by the cycle meanwhile."""
        book = knowing(A, B, C, D)
        ping, _ = indirect(book, to=A)
        book.silent = (A, B, C, D)
        book.feed(*(says(helper, Nack(ping.seq)) for helper in nacking)).forget().wait(0.55)
        assert state(book, A) == "suspect"
        return [ping.target for ping in sent(book, Ping) if ping.target not in (None, A)]

    assert sorted(asked()) == [B, C, D]
    assert len(asked(B, C, D)) == 1


def test_a_helper_that_is_held_for_gone_by_now_says_nothing_of_our_own_health() -> None:
    book = knowing(A, B, C, D)
    ping, helpers = indirect(book, to=A)
    book.silent = (A, B, C, D)
    gone, *others = helpers
    book.feed(*(says(helper, Nack(ping.seq)) for helper in others), says(others[0], Dead(gone, 1, 1, others[0]))).wait(0.55)
    assert (state(book, A), state(book, gone), book.machine.health_score) == ("suspect", "dead", 0)


def test_success_heals_and_a_late_loop_harms_and_every_wait_follows() -> None:
    book = knowing(A)
    book.feed(LoopLagged(0.05))
    assert book.machine.health_score == 0
    book.feed(LoopLagged(0.2), LoopLagged(0.2))
    assert book.machine.health_score == 2
    _, ping = next_ping(book)
    book.forget().wait(1.4)
    assert stream_pings(book) == []  # the timeout of 0.5 s is 1.5 s now
    answer(book, A, ping)
    assert book.machine.health_score == 1


def test_whoever_is_slow_waits_longer_before_it_accuses() -> None:
    book = knowing(A)
    book.feed(LoopLagged(0.2), LoopLagged(0.2))
    next_ping(book, to=A)
    book.wait(2.9)
    assert state(book, A) == "alive"  # the interval of 1 s is 3 s now
    book.wait(0.2)
    assert state(book, A) == "suspect"


def test_whoever_is_slow_probes_less_often() -> None:
    book, pings = knowing(A, B, C, D), 0
    for _ in range(32):
        book.forget().feed(*[LoopLagged(0.2)] * LAN.health_max).wait(1)
        pings += len(sent(book, Ping))
    assert 3 <= pings <= 5  # every 7 to 8 s instead of every second


def test_a_helper_pings_for_its_asker_and_forwards_under_the_asker_s_sequence() -> None:
    book = knowing(A, B)
    book.feed(says(A, PingReq(77, B, at(B))))
    (ping,) = sent(book, Ping, to=B)
    assert ping.seq != 77
    book.forget()
    answer(book, B, ping)
    assert sent(book, Ack, to=A) == [Ack(77, 7_001)]
    book.forget().wait(0.6)
    assert sent(book, Nack) == []


def test_a_helper_without_an_answer_nacks_in_time_and_forwards_a_late_answer() -> None:
    book = knowing(A, B)
    book.silent = (B,)
    book.feed(says(A, PingReq(77, B, at(B))))
    (ping,) = sent(book, Ping, to=B)
    book.forget().wait(0.45)
    assert sent(book, Nack, to=A) == [Nack(77)]
    book.forget()
    answer(book, B, ping)
    assert sent(book, Ack, to=A) == [Ack(77, 7_001)]


def test_a_helper_that_knows_the_target_dead_says_so() -> None:
    book = knowing(A, B)
    book.feed(says(A, Dead(B, 1, 1, A))).wait(20)
    book.forget().feed(says(A, PingReq(77, B, at(B))))
    assert sent(book, Dead, to=A) == [Dead(B, 1, 1, ME)]


def test_helping_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAYS_AT_ONCE_MAX", 2)
    book = knowing(A, B)
    book.feed(*(says(A, PingReq(seq, B, at(B))) for seq in range(5)))
    assert len(sent(book, Ping, to=B)) == 2


@pytest.mark.parametrize("refused", [True, False])
def test_a_broken_stream_leads_to_a_probe_at_once_but_not_twice(refused: bool) -> None:
    book = knowing(A, B)
    book.feed(StreamFailed(A, PushPull((), (), False), refused=refused))
    assert len(sent(book, Ping, to=A)) == 1
    (ping,) = sent(book, Ping, to=A)
    answer(book, A, ping).forget()
    book.feed(StreamFailed(A, PushPull((), (), False), refused=refused))
    assert sent(book, Ping, to=A) == []
    assert state(book, A) == "alive"


def test_a_refused_stream_and_no_answer_is_a_refused_suspicion_without_waiting_for_helpers() -> None:
    book = knowing(A, B, C)
    book.silent = (A,)
    book.feed(StreamFailed(A, PushPull((), (), False), refused=True)).wait(0.5)
    assert Suspect(A, 1, 1, ME, True) in book.machine._ctx.broadcasts.about(A)


def test_a_peer_that_slept_blames_nobody_for_the_silence() -> None:
    book = knowing(A, B, C)
    indirect(book, to=A)
    book.sleep(6.0)
    assert state(book, A) == "alive"
    assert book.machine.health_score == 1


def test_suspects_get_the_time_back_that_we_slept() -> None:
    book = knowing(A, B, C, D)
    book.feed(says(B, Suspect(A, 1, 1, B, False)), says(C, Suspect(A, 1, 1, C, False)), says(D, Suspect(A, 1, 1, D, False)))
    book.wait(1).sleep(60)
    assert state(book, A) == "suspect"
    book.wait(5)
    assert state(book, A) == "dead"


def test_probes_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBES_AT_ONCE_MAX", 1)
    book = knowing(A, B)
    for peer in (A, B):
        book.feed(StreamFailed(peer, PushPull((), (), False), refused=False))
    assert len(sent(book, Ping)) == 1


def test_a_stream_ping_is_answered_even_to_a_stranger_and_only_about_itself() -> None:
    book = knowing(A)
    book.feed(streams(B, StreamPing(5, alive(B))), streams(A, StreamPing(6, alive(C))))
    (answered,) = book.take(SendStream)
    assert (answered.peer, answered.address.port, answered.message) == (B, 7_001, StreamAck(5))
    assert answered.urgent


# ---- broken connections ------------------------------------------------------------------------------------------


def asked_by_stream(book: Talk, peer: PeerId) -> list[StreamPing]:
    return [one.message for one in book.take(SendStream, peer=peer) if isinstance(one.message, StreamPing)]


def test_a_broken_connection_leads_to_a_probe_by_datagram_and_stream_at_once_but_not_twice() -> None:
    book = knowing(A, B)
    book.feed(StreamBroken(A), StreamBroken(A))
    (ping,) = sent(book, Ping, to=A)
    assert [one.seq for one in asked_by_stream(book, A)] == [ping.seq]
    answer(book, A, ping).forget()
    book.feed(StreamBroken(A), StreamFailed(A, PushPull((), (), False), refused=False))
    assert (sent(book, Ping, to=A), asked_by_stream(book, A)) == ([], [])
    assert state(book, A) == "alive"


def test_a_probe_that_is_under_way_asks_over_the_stream_as_soon_as_a_connection_broke() -> None:
    book = knowing(A, B, C)
    _, ping = next_ping(book, to=A)
    assert asked_by_stream(book, A) == []
    book.feed(StreamBroken(A))
    assert [one.seq for one in asked_by_stream(book, A)] == [ping.seq]


def test_a_broken_connection_alone_accuses_nobody() -> None:
    book = knowing(A, B, C)
    for _ in range(20):
        book.feed(StreamBroken(A), StreamBroken(B)).wait(1)
    assert [state(book, peer) for peer in (A, B, C)] == ["alive"] * 3
    book.expect_no(MemberChanged)
    assert book.machine.health_score == 0


def test_a_broken_connection_to_whoever_is_not_up_says_nothing() -> None:
    book = knowing(A, B)
    book.feed(says(A, Left(B, 1, 1))).forget()
    book.feed(StreamBroken(B), StreamBroken(C))
    assert (book.take(SendStream), sent(book, Ping)) == ([], [])


def test_after_a_broken_connection_a_refusal_settles_it_before_the_ping_has_had_its_time() -> None:
    book = knowing(A, B)
    book.silent = (A,)
    book.feed(StreamBroken(A))
    (ping,) = asked_by_stream(book, A)
    book.feed(StreamFailed(A, ping, refused=True)).wait(LAN.refusal_grace_s)
    assert state(book, A) == "suspect"
    assert Suspect(A, 1, 1, ME, True) in book.machine._ctx.broadcasts.about(A)
