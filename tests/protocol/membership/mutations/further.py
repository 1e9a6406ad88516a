"""Further mistakes in the behaviours of membership: the last two digits of a number name the behaviour in `table`."""

from __future__ import annotations

from typing import Final

from tests.protocol.membership.mutations.mutation import Mutation, one

_NEWS = "membership/news.py"
_PROBES = "membership/probes.py"

FURTHER: Final[dict[int, Mutation]] = {
    704: one(
        "a helper that owes its nack is asked out of turn",
        "membership/test_probes.py::test_a_helper_that_owes_its_nack_is_asked_out_of_turn "
        "membership/test_mesh.py::test_three_of_five_that_vanish_within_a_second_are_known_soon",
        _PROBES,
        "        self._ctx.to_look_at += silent\n",
        "",
    ),
    104: one(
        "a success heals",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        _PROBES,
        "self._ctx.awareness.better()",
        "self._ctx.awareness.worse(0)",
    ),
    204: one(
        "an event loop that is late by more than 100 ms is our own ill health",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        "membership/swim.py",
        "if event.seconds > self._ctx.options.lag_s:",
        "if event.seconds > 1.0:",
    ),
    304: one(
        "an accusation that we had to refute is our own ill health",
        "membership/test_news.py::test_an_accusation_of_me_is_refuted_above_it_and_a_stale_one_is_not",
        _NEWS,
        "self._ctx.awareness.worse()",
        "self._ctx.awareness.worse(0)",
    ),
    404: one(
        "our own ill health stretches the timeout of a probe",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        _PROBES,
        "scale(options.probe_timeout_s), scale(options.probe_interval_s)",
        "options.probe_timeout_s, scale(options.probe_interval_s)",
    ),
    504: one(
        "our own ill health stretches a probe's end",
        "membership/test_probes.py::test_whoever_is_slow_waits_longer_before_it_accuses",
        _PROBES,
        "scale(options.probe_timeout_s), scale(options.probe_interval_s)",
        "scale(options.probe_timeout_s), options.probe_interval_s",
    ),
    604: one(
        "our own ill health stretches the probe cycle",
        "membership/test_probes.py::test_whoever_is_slow_probes_less_often",
        _PROBES,
        "self._cycle_s = now_s + self._ctx.awareness.scale(self._ctx.options.probe_interval_s)",
        "self._cycle_s = now_s + self._ctx.options.probe_interval_s",
    ),
    132: one(
        "the inside of an oversized datagram is not looked at",
        "wire/test_codec.py::test_an_oversized_datagram_is_not_looked_at",
        "wire/codec.py",
        "if len(data) > limits.DATAGRAM_PAYLOAD_BYTES_MAX:\n        return (), 1",
        "if len(data) > 65_535:\n        return (), 1",
    ),
    232: one(
        "an oversized datagram is dropped before it is opened",
        "wire/test_seal.py::test_each_reason_has_a_name",
        "wire/seal.py",
        "if len(data) > limits.DATAGRAM_BYTES_MAX:",
        "if len(data) > 65_535:",
    ),
    117: one(
        "a ping with an accusation that was refuted already is answered with the refutation again",
        "membership/test_probes.py::test_a_ping_with_an_accusation_that_was_refuted_already_is_answered_with_the_refutation_again",
        "membership/swim.py",
        "unsure = ping.target is None or ping.suspicion is not None",
        "unsure = ping.target is None",
    ),
    217: one(
        "while a suspicion lasts the accused is asked by whoever holds it",
        "membership/test_news.py::test_while_a_suspicion_lasts_the_accused_is_asked_again_and_again_and_once_over_a_stream "
        "membership/test_mesh.py::test_a_refutation_that_one_peer_has_missed_reaches_it_before_its_verdict",
        _NEWS,
        '        suspicion.asked += 1\n        self._ctx.ask(member, "heal", now_s)',
        "        suspicion.asked += 1",
    ),
    317: one(
        "a question over a stream wants the accused's own news",
        "membership/test_news.py::test_a_question_over_a_stream_says_what_is_held_against_the_accused_and_wants_its_own_news",
        _NEWS,
        "if suspicion.asked % QUESTIONS == STREAM_QUESTION:",
        "if suspicion.asked == QUESTIONS:",
    ),
    135: one(
        "a torn snapshot does no harm",
        "membership/test_healing.py::test_a_torn_snapshot_is_told_and_does_no_harm",
        "membership/swim.py",
        "except Malformed as fault:",
        "except KeyError as fault:",
    ),
    235: one(
        "a snapshot that was cut short anywhere is told from a whole one",
        "membership/test_snapshot.py::test_a_torn_snapshot_is_malformed",
        "membership/snapshot.py",
        "except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as fault:",
        "except (TypeError, RecursionError) as fault:",
    ),
    101: one(
        "refusals that enough others have met are death without the floor",
        "membership/test_news.py::test_refusals_met_by_enough_others_are_death_without_the_floor",
        "membership/suspicion.py",
        "return needed > 0 and len(self.refusers) > needed",
        "return needed < 0 and len(self.refusers) > needed",
    ),
    201: one(
        "with nobody to ask two refusals a second apart are death",
        "membership/test_news.py::test_with_nobody_to_ask_two_refusals_a_second_apart_are_death",
        _NEWS,
        "elif self.needed(member) == 0 and now_s - suspicion.refused_at_s >= apart_s - grace_s:",
        "elif self.needed(member) == 0 and now_s - suspicion.refused_at_s >= 9 * apart_s - grace_s:",
    ),
    301: one(
        "who hears of a refused connection asks the accused itself",
        "membership/test_news.py::test_a_refused_suspicion_makes_its_hearer_ask_at_once_over_the_stream",
        _NEWS,
        "self._ctx.to_verify.append((member.peer, delay_s))",
        "assert delay_s >= 0",
    ),
    102: one(
        "the k of a suspicion follows the living",
        "membership/test_news.py::test_the_k_of_a_suspicion_follows_the_living",
        _NEWS,
        "unsuspected = members.live - len(members.suspects)",
        "unsuspected = members.live",
    ),
    133: one(
        "a joiner tells those in the table that it is given who it is",
        "membership/test_introductions.py::test_those_first_heard_of_from_a_whole_table_are_told_who_i_am "
        "membership/test_mesh.py::test_a_joiner_is_known_to_all_before_tables_are_compared",
        "membership/sync.py",
        "        self._introductions.begin((peer for peer in unknown if peer != sender), now_s)\n",
        "",
    ),
    233: one(
        "who is told of a joiner is told until it believes it",
        "membership/test_introductions.py::test_who_does_not_answer_or_does_not_believe_is_told_again_a_few_times",
        "membership/swim.py",
        "if Ack in kinds and Ping not in kinds:",
        "if Ack in kinds:",
    ),
    129: one(
        "equal digests end a round",
        "membership/test_sync.py::test_equal_digests_end_the_round",
        "membership/sync.py",
        "message.root != self.root()",
        'message.root != b""',
    ),
    229: one(
        "only what differs is sent",
        "membership/test_sync.py::test_only_what_differs_is_sent_and_asked_for",
        "membership/sync.py",
        "news = tuple(one for one in self._everything() if self._lacks(theirs.get(one.alive.peer), one))",
        "news = tuple(self._everything())",
    ),
    134: one(
        "the long dead are forgotten",
        "membership/test_healing.py::test_the_long_dead_are_forgotten_and_the_left_too",
        "membership/healing.py",
        "if now_s - member.since_s > limits.DEAD_FORGOTTEN_S:",
        "if now_s - member.since_s > 2 * limits.DEAD_FORGOTTEN_S:",
    ),
    234: one(
        "of the dead the latest is asked first",
        "membership/test_healing.py::test_one_dead_member_is_asked_every_3_to_5_seconds_the_latest_first",
        "membership/healing.py",
        "key=lambda one: (one.retries, -one.since_s)",
        "key=lambda one: (one.retries, one.since_s)",
    ),
    138: one(
        "a salt is believed only after an echo of our own random sequence",
        "membership/test_strangers.py::test_an_echo_of_nothing_that_we_said_proves_nothing",
        "membership/swim.py",
        "isinstance(one, Ack | Nack) and find(one.seq, event.sender, now_s)",
        "isinstance(one, Ack | Nack) and find",
    ),
}
