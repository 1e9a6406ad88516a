"""The behaviours of membership, each with the tests that prove it and a planted mistake that they must catch.

A mistake is a few exact replacements in one file below `protocol/`. The last two digits of a number name the behaviour: 104 and
204 are further mistakes in what 4 says. Data only; `test_mutations.py` plants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutation:
    """`tests` are `module::function` below `tests/protocol`; `edits` are (old, new), each old text exactly once in `file`."""

    behaviour: str
    tests: tuple[str, ...]
    file: str
    edits: tuple[tuple[str, str], ...]


def _one(behaviour: str, tests: str, file: str, old: str, new: str, *more: tuple[str, str]) -> Mutation:
    return Mutation(behaviour, tuple(tests.split()), file, ((old, new), *more))


_NEWS = "membership/news.py"
_PROBES = "membership/probes.py"

MUTATIONS: Final[dict[int, Mutation]] = {
    1: _one(
        "a member is suspected only after direct, indirect and stream have failed",
        "membership/test_probes.py::test_suspicion_comes_only_after_direct_indirect_and_stream_have_failed",
        _PROBES,
        "            else:\n                self._ask_round(probe, member, now_s)",
        "            else:\n                self._fail(probe, now_s)",
    ),
    2: _one(
        "confirmations shorten a suspicion along a logarithm",
        "membership/test_suspicion.py::test_confirmations_shorten_the_time_along_a_logarithm",
        "membership/suspicion.py",
        "math.log(confirmations + 1) / math.log(needed + 1)",
        "confirmations / needed",
    ),
    3: _one(
        "with datagrams blocked and streams open a member stays alive",
        "membership/test_probes.py::test_a_stream_answer_alone_means_alive_with_a_warning_once "
        "membership/test_mesh.py::test_blocked_datagrams_with_open_streams_leave_a_peer_alive_with_a_warning",
        _PROBES,
        "if probe.stream_answered:",
        "if probe.stream_answered and probe.refused:",
    ),
    4: _one(
        "missed nacks, not nacks, are our own ill health",
        "membership/test_probes.py::test_missed_nacks_are_our_own_ill_health_and_nacks_are_not",
        _PROBES,
        "self._ctx.awareness.worse(min(1, len(probe.helpers) - len(probe.nacked)))",
        "self._ctx.awareness.worse(min(1, len(probe.helpers)))",
    ),
    5: _one(
        "a ping to a suspect carries the suspicion",
        "membership/test_probes.py::test_a_ping_to_a_suspect_carries_the_suspicion_and_the_suspect_refutes_in_its_answer",
        _PROBES,
        "Ping(seq, member.peer, self._ctx.accusation(member))",
        "Ping(seq, member.peer)",
    ),
    6: _one(
        "a ping for another's id is ignored",
        "membership/test_probes.py::test_a_ping_for_another_s_id_is_ignored",
        "membership/swim.py",
        "if message.target in (None, self._ctx.me.peer):",
        "if message.target != 7:",
    ),
    7: _one(
        "a send error of our own blames nobody",
        "membership/test_probes.py::test_a_send_error_of_our_own_blames_nobody",
        _PROBES,
        "if member is not None and member.address == address:",
        "if member is not None and member.address != address:",
    ),
    8: _one(
        "each member is probed once before any is repeated",
        "membership/test_rotation.py::test_each_member_is_probed_once_before_any_is_repeated "
        "membership/test_rotation.py::test_a_joiner_in_mid_round_repeats_nobody_and_leaves_nobody_out",
        "membership/rotation.py",
        "if place < self._at:",
        "if place > self._at:",
    ),
    9: _one(
        "late and foreign answers are ignored",
        "membership/test_probes.py::test_late_and_foreign_answers_are_ignored",
        "membership/echoes.py",
        "(awaited.peers and sender not in awaited.peers)",
        "(awaited.peers and not sender)",
    ),
    10: _one(
        "a target that vanishes in mid-probe is nobody's concern",
        "membership/test_behaviours.py::test_a_target_that_vanishes_in_mid_probe_says_nothing_about_our_health "
        "membership/test_probes.py::test_a_target_that_vanishes_in_mid_probe_is_nobody_s_concern",
        _PROBES,
        "if member is None or not member.up:\n            self._end(probe)",
        "if member is None:\n            self._end(probe)",
        (
            "self._end(probe)\n        member = self._ctx.members.get(probe.peer)\n        if member is None or not member.up:",
            "self._end(probe)\n        member = self._ctx.members.get(probe.peer)\n        if member is None:",
        ),
    ),
    11: _one(
        "nack and forwarded ack carry the origin's sequence",
        "membership/test_probes.py::test_a_helper_pings_for_its_asker_and_forwards_under_the_asker_s_sequence "
        "membership/test_probes.py::test_a_helper_without_an_answer_nacks_in_time_and_forwards_a_late_answer",
        _PROBES,
        "Ack(relay.seq, self._ctx.me.mesh_port)",
        "Ack(seq, self._ctx.me.mesh_port)",
    ),
    12: _one(
        "a new member is told and gossiped on, and a replay does neither",
        "membership/test_news.py::test_a_new_member_is_told_and_gossiped_on_and_a_replay_does_neither",
        _NEWS,
        "elif (news.run_epoch, news.incarnation) > member.order:",
        "elif (news.run_epoch, news.incarnation) >= member.order:",
    ),
    13: _one(
        "changed metadata is an update",
        "membership/test_news.py::test_changed_metadata_is_an_update",
        _NEWS,
        "if member.changed() != before:",
        "if member.changed().state != before.state:",
    ),
    14: _one(
        "alive news about me with other metadata is refuted",
        "membership/test_news.py::test_alive_news_about_me_with_other_metadata_is_refuted",
        _NEWS,
        "(news.meta, news.address) != (me.meta, me.address)",
        "news.address != me.address",
    ),
    15: _one(
        "a conflicting address for a live id is refused and told",
        "membership/test_news.py::test_a_conflicting_address_for_a_live_id_is_refused_and_told_once",
        _NEWS,
        "return same_run and (news.nonce",
        "return not same_run and (news.nonce",
    ),
    16: _one(
        "a suspicion of the unknown or by an old incarnation is ignored",
        "membership/test_news.py::test_a_suspicion_of_the_unknown_or_by_an_old_incarnation_is_ignored",
        _NEWS,
        "news.run_epoch != member.run_epoch or news.incarnation < member.incarnation",
        "news.run_epoch != member.run_epoch",
    ),
    17: _one(
        "an accusation of me is refuted above it, a stale one is not",
        "membership/test_news.py::test_an_accusation_of_me_is_refuted_above_it_and_a_stale_one_is_not",
        _NEWS,
        "stale = run_epoch != me.run_epoch or incarnation < me.incarnation",
        "stale = run_epoch != me.run_epoch",
    ),
    18: _one(
        "a death is told once",
        "membership/test_news.py::test_a_suspicion_runs_out_into_one_death",
        _NEWS,
        'or member.up:\n            self._go(member, news, "dead", now_s)',
        'or member:\n            self._go(member, news, "dead", now_s)',
        ("        if was != state:\n", "        if was:\n"),
    ),
    19: _one(
        "who has left is never suspected and never dies",
        "membership/test_news.py::test_the_left_are_never_suspected_and_never_die",
        _NEWS,
        'member is None or member.state == "left" or (news',
        "member is None or (news",
    ),
    20: _one(
        "alive@1, dead@1, dead@10, alive@2 stays dead",
        "membership/test_news.py::test_alive_1_dead_1_dead_10_alive_2_stays_dead",
        _NEWS,
        'if self._raise(member, news.run_epoch, news.incarnation) or member.up:\n            self._go(member, news, "dead"',
        'if member.up:\n            self._go(member, news, "dead"',
    ),
    21: _one(
        "a stale alive about the dead is answered with the accusation",
        "membership/test_news.py::test_a_stale_alive_about_the_dead_is_answered_with_the_accusation_to_itself",
        _NEWS,
        'elif member.state == "dead":\n            self.accuse_again',
        'elif member.state == "suspect":\n            self.accuse_again',
    ),
    22: _one(
        "a remote dead becomes a suspect here",
        "membership/test_news.py::test_a_remote_dead_becomes_a_suspect_here",
        _NEWS,
        'self.suspect(accusation, now_s)\n        elif member is not None and member.state == "dead":',
        'self._die(member, now_s)\n        elif member is not None and member.state == "dead":',
    ),
    23: _one(
        "a restart under the same id is accepted at once",
        "membership/test_news.py::test_a_restart_under_the_same_id_is_accepted_at_once_whatever_the_incarnation "
        "membership/test_mesh.py::test_a_restart_is_taken_at_once_as_the_same_peer_in_a_new_run",
        _NEWS,
        "same_run = news.run_epoch == member.run_epoch == held.run_epoch",
        "same_run = news.run_epoch >= member.run_epoch",
    ),
    24: _one(
        "news is sent as often as the limit says",
        "membership/test_broadcasts.py::test_the_retransmit_limit_grows_with_the_logarithm",
        "membership/broadcasts.py",
        "math.log10(live + 1)",
        "math.log10(live)",
    ),
    25: _one(
        "newer news about a member makes the older pointless",
        "membership/test_broadcasts.py::test_newer_news_about_a_member_makes_the_older_pointless",
        "membership/broadcasts.py",
        "if not _stand_together(old.news, news):",
        "if old.news == news:",
    ),
    26: _one(
        "no datagram exceeds 1,400 bytes",
        "membership/test_context.py::test_a_datagram_is_filled_with_news_and_never_overflows",
        "membership/context.py",
        "limits.DATAGRAM_PAYLOAD_BYTES_MAX - sum(encoded_size(message) for message in messages)",
        "limits.DATAGRAM_PAYLOAD_BYTES_MAX",
    ),
    27: _one(
        "a truncated compound keeps its good parts",
        "wire/test_codec.py::test_a_truncated_compound_keeps_its_good_parts",
        "wire/codec.py",
        "return tuple(messages), bad + 1",
        "return (), bad + 1",
    ),
    28: _one(
        "gossip reaches the recently dead but not the long dead",
        "membership/test_gossip.py::test_gossip_reaches_the_recently_dead_but_not_the_long_dead",
        "membership/gossip.py",
        "since_s=now_s - self._ctx.options.gossip_to_dead_s",
        'since_s=float("-inf")',
    ),
    29: _one(
        "the push-pull interval grows with the logarithm above 32 members",
        "membership/test_sync.py::test_the_interval_grows_with_the_logarithm_above_32_members",
        "membership/sync.py",
        "math.log2(_SCALED_ABOVE)) + 1)",
        "math.log2(_SCALED_ABOVE)))",
    ),
    30: _one(
        "in the middle of a rotation peers of both rings hear one another",
        "membership/test_behaviours.py::"
        "test_peers_in_the_middle_of_a_rotation_hear_one_another_and_one_with_the_old_key_only_does_not "
        "keyring/test_keyring.py::test_at_no_moment_of_a_rotation_is_anybody_unheard",
        "wire/seal.py",
        "return self._hints.get(key_hint)",
        "return self.primary if key_hint == self.primary.key_hint else None",
    ),
    31: _one(
        "another key is dropped and counted as such",
        "membership/test_mesh.py::test_another_key_or_mesh_name_never_joins_and_is_counted",
        "wire/seal.py",
        "return Dropped.WRONG_KEY",
        "return Dropped.FORGED",
    ),
    32: _one(
        "nested and bomb input is refused",
        "wire/test_codec.py::test_deep_nesting_is_malformed_wherever_it_stands wire/test_codec.py::test_bombs_are_refused",
        "wire/codec.py",
        "max_array_len=limits.MESSAGE_ITEMS_MAX, max_map_len=0, max_ext_len=0",
        "max_array_len=limits.MESSAGE_ITEMS_MAX, max_map_len=9, max_ext_len=9",
        ("not shallow(row[fields:], limits.MESSAGE_DEPTH_MAX)", "not shallow(row[fields:], 9_999)"),
    ),
    33: _one(
        "who leaves is seen as left and blames nobody while leaving",
        "membership/test_swim.py::test_nobody_is_probed_or_blamed_while_leaving_and_pings_are_still_answered "
        "membership/test_mesh.py::test_who_leaves_is_seen_as_left_by_all_and_blamed_by_nobody",
        "membership/swim.py",
        "self._ctx.leaving = True\n        self._prober.abandon()",
        "self._ctx.leaving = True",
    ),
    34: _one(
        "a partition longer than the gossip to the dead heals",
        "membership/test_behaviours.py::test_a_partition_longer_than_the_gossip_to_the_dead_heals_without_seeds_too",
        "membership/healing.py",
        'self._ctx.ask(member, "heal", now_s)',
        "member.retries += 0",
    ),
    35: _one(
        "a restart rejoins through its snapshot",
        "membership/test_healing.py::test_a_restart_rejoins_through_its_snapshot_without_seeds "
        "membership/test_healing.py::test_a_torn_snapshot_is_told_and_does_no_harm",
        "membership/swim.py",
        "self._healing.found(read_snapshot(data), now_s)",
        "read_snapshot(data)",
    ),
    36: _one(
        "after any chaos the living agree, and incarnations never fell",
        "membership/test_chaos.py::test_a_little_chaos_ends_in_agreement",
        _NEWS,
        "elif (news.run_epoch, news.incarnation) > member.order:",
        "elif (news.run_epoch, news.incarnation) != member.order:",
    ),
    37: _one(
        "a one-way cut is routed round by helpers",
        "membership/test_behaviours.py::test_a_one_way_cut_leads_to_no_suspicion_at_all",
        _PROBES,
        "self._ctx.members.draw_unsuspected(self._ctx.random, self._ctx.options.helpers, without=probe.peer)",
        "self._ctx.members.draw_unsuspected(self._ctx.random, 0, without=probe.peer)",
    ),
    38: _one(
        "duplicated, reordered and replayed datagrams change nothing",
        "membership/test_mesh.py::test_duplicated_datagrams_change_nothing "
        "membership/test_mesh.py::test_a_recording_played_back_after_a_restart_changes_nothing",
        "wire/seal.py",
        "return behind < 0 or (behind < limits.REPLAY_WINDOW and not self.seen >> behind & 1)",
        "return behind < limits.REPLAY_WINDOW",
    ),
    39: _one(
        "of two processes with one id the later one is to stop",
        "membership/test_news.py::test_of_two_processes_with_one_id_the_later_one_is_to_stop "
        "membership/test_mesh.py::test_two_peers_with_one_id_find_each_other_and_the_later_one_is_to_stop",
        _NEWS,
        "i_stop = (me.run_epoch, me.nonce) > (news.run_epoch, news.nonce)",
        "i_stop = (me.run_epoch, me.nonce) < (news.run_epoch, news.nonce)",
    ),
    40: _one(
        "a wall clock that jumps changes nothing",
        "membership/test_swim.py::test_the_wall_clock_may_jump_as_it_likes",
        "membership/swim.py",
        "now_s = now.monotonic_s\n        if self._due_s is not None",
        "now_s = now.wall_ms / 1_000\n        if self._due_s is not None",
    ),
    104: _one(
        "a success heals",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        _PROBES,
        "self._ctx.awareness.better()",
        "self._ctx.awareness.worse(0)",
    ),
    204: _one(
        "an event loop that is late by more than 100 ms is our own ill health",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        "membership/swim.py",
        "if event.seconds > self._ctx.options.lag_s:",
        "if event.seconds > 1.0:",
    ),
    304: _one(
        "an accusation that we had to refute is our own ill health",
        "membership/test_news.py::test_an_accusation_of_me_is_refuted_above_it_and_a_stale_one_is_not",
        _NEWS,
        "self._ctx.awareness.worse()",
        "self._ctx.awareness.worse(0)",
    ),
    404: _one(
        "our own ill health stretches the timeout of a probe",
        "membership/test_probes.py::test_success_heals_and_a_late_loop_harms_and_every_wait_follows",
        _PROBES,
        "scale(options.probe_timeout_s), scale(options.probe_interval_s)",
        "options.probe_timeout_s, scale(options.probe_interval_s)",
    ),
    504: _one(
        "our own ill health stretches a probe's end",
        "membership/test_probes.py::test_whoever_is_slow_waits_longer_before_it_accuses",
        _PROBES,
        "scale(options.probe_timeout_s), scale(options.probe_interval_s)",
        "scale(options.probe_timeout_s), options.probe_interval_s",
    ),
    604: _one(
        "our own ill health stretches the probe cycle",
        "membership/test_probes.py::test_whoever_is_slow_probes_less_often",
        _PROBES,
        "self._cycle_s = now_s + self._ctx.awareness.scale(self._ctx.options.probe_interval_s)",
        "self._cycle_s = now_s + self._ctx.options.probe_interval_s",
    ),
    132: _one(
        "the inside of an oversized datagram is not looked at",
        "wire/test_codec.py::test_an_oversized_datagram_is_not_looked_at",
        "wire/codec.py",
        "if len(data) > limits.DATAGRAM_PAYLOAD_BYTES_MAX:\n        return (), 1",
        "if len(data) > 65_535:\n        return (), 1",
    ),
    232: _one(
        "an oversized datagram is dropped before it is opened",
        "wire/test_seal.py::test_each_reason_has_a_name",
        "wire/seal.py",
        "if len(data) > limits.DATAGRAM_BYTES_MAX:",
        "if len(data) > 65_535:",
    ),
    117: _one(
        "a ping with an accusation that was refuted already is answered with the refutation again",
        "membership/test_probes.py::test_a_ping_with_an_accusation_that_was_refuted_already_is_answered_with_the_refutation_again",
        "membership/swim.py",
        "unsure = ping.target is None or ping.suspicion is not None",
        "unsure = ping.target is None",
    ),
    217: _one(
        "while a suspicion lasts the accused is asked by whoever holds it",
        "membership/test_news.py::test_while_a_suspicion_lasts_the_accused_is_asked_again_and_again_and_once_over_a_stream "
        "membership/test_mesh.py::test_a_refutation_that_one_peer_has_missed_reaches_it_before_its_verdict",
        _NEWS,
        '        suspicion.asked += 1\n        self._ctx.ask(member, "heal", now_s)',
        "        suspicion.asked += 1",
    ),
    317: _one(
        "a question over a stream wants the accused's own news",
        "membership/test_news.py::test_a_question_over_a_stream_says_what_is_held_against_the_accused_and_wants_its_own_news",
        _NEWS,
        "if suspicion.asked % QUESTIONS == STREAM_QUESTION:",
        "if suspicion.asked == QUESTIONS:",
    ),
    135: _one(
        "a torn snapshot does no harm",
        "membership/test_healing.py::test_a_torn_snapshot_is_told_and_does_no_harm",
        "membership/swim.py",
        "except Malformed as fault:",
        "except KeyError as fault:",
    ),
    235: _one(
        "a snapshot that was cut short anywhere is told from a whole one",
        "membership/test_snapshot.py::test_a_torn_snapshot_is_malformed",
        "membership/snapshot.py",
        "except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as fault:",
        "except (TypeError, RecursionError) as fault:",
    ),
    101: _one(
        "refusals that enough others have met are death without the floor",
        "membership/test_news.py::test_refusals_met_by_enough_others_are_death_without_the_floor",
        "membership/suspicion.py",
        "return needed > 0 and len(self.refusers) > needed",
        "return needed < 0 and len(self.refusers) > needed",
    ),
    201: _one(
        "with nobody to ask two refusals a second apart are death",
        "membership/test_news.py::test_with_nobody_to_ask_two_refusals_a_second_apart_are_death",
        _NEWS,
        "elif self.needed(member) == 0 and now_s - suspicion.refused_at_s >= apart_s - grace_s:",
        "elif self.needed(member) == 0 and now_s - suspicion.refused_at_s >= 9 * apart_s - grace_s:",
    ),
    301: _one(
        "who hears of a refused connection asks the accused itself",
        "membership/test_news.py::test_a_refused_suspicion_makes_its_hearer_ask_at_once_over_the_stream",
        _NEWS,
        "self._ctx.to_verify.append((member.peer, delay_s))",
        "assert delay_s >= 0",
    ),
    102: _one(
        "the k of a suspicion follows the living",
        "membership/test_news.py::test_the_k_of_a_suspicion_follows_the_living",
        _NEWS,
        "unsuspected = members.live - len(members.suspects)",
        "unsuspected = members.live",
    ),
    129: _one(
        "equal digests end a round",
        "membership/test_sync.py::test_equal_digests_end_the_round",
        "membership/sync.py",
        "message.root != self.root()",
        'message.root != b""',
    ),
    229: _one(
        "only what differs is sent",
        "membership/test_sync.py::test_only_what_differs_is_sent_and_asked_for",
        "membership/sync.py",
        "news = tuple(one for one in self._everything() if self._lacks(theirs.get(one.alive.peer), one))",
        "news = tuple(self._everything())",
    ),
    134: _one(
        "the long dead are forgotten",
        "membership/test_healing.py::test_the_long_dead_are_forgotten_and_the_left_too",
        "membership/healing.py",
        "if now_s - member.since_s > limits.DEAD_FORGOTTEN_S:",
        "if now_s - member.since_s > 2 * limits.DEAD_FORGOTTEN_S:",
    ),
    234: _one(
        "of the dead the latest is asked first",
        "membership/test_healing.py::test_one_dead_member_is_asked_every_3_to_5_seconds_the_latest_first",
        "membership/healing.py",
        "key=lambda one: (one.retries, -one.since_s)",
        "key=lambda one: (one.retries, one.since_s)",
    ),
    138: _one(
        "a salt is believed only after an echo of our own random sequence",
        "membership/test_strangers.py::test_an_echo_of_nothing_that_we_said_proves_nothing",
        "membership/swim.py",
        "isinstance(one, Ack | Nack) and find(one.seq, event.sender, now_s)",
        "isinstance(one, Ack | Nack) and find",
    ),
}
