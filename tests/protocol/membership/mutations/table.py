"""The behaviours of membership, each with the tests that prove it and a planted mistake that they must catch.

A mistake is a few exact replacements in one file below `protocol/`. The last two digits of a number name the behaviour: 104 and
204 are further mistakes in what 4 says (`further`). Data only; `test_mutations.py` plants them.
"""

from __future__ import annotations

from typing import Final

from tests.protocol.membership.mutations.further import FURTHER
from tests.protocol.membership.mutations.mutation import Mutation, one

_NEWS = "membership/news.py"
_PROBES = "membership/probes.py"

_BEHAVIOURS: Final[dict[int, Mutation]] = {
    1: one(
        "a member is suspected only after direct, indirect and stream have failed",
        "membership/test_probes.py::test_suspicion_comes_only_after_direct_indirect_and_stream_have_failed",
        _PROBES,
        "            else:\n                self._ask_round(probe, member, now_s)",
        "            else:\n                self._fail(probe, now_s)",
    ),
    2: one(
        "confirmations shorten a suspicion along a logarithm",
        "membership/test_suspicion.py::test_confirmations_shorten_the_time_along_a_logarithm",
        "membership/suspicion.py",
        "math.log(confirmations + 1) / math.log(needed + 1)",
        "confirmations / needed",
    ),
    3: one(
        "with datagrams blocked and streams open a member stays alive",
        "membership/test_probes.py::test_a_stream_answer_alone_means_alive_with_a_warning_once "
        "membership/test_mesh.py::test_blocked_datagrams_with_open_streams_leave_a_peer_alive_with_a_warning",
        _PROBES,
        "if probe.stream_answered:",
        "if probe.stream_answered and probe.refused:",
    ),
    4: one(
        "missed nacks, not nacks, are our own ill health",
        "membership/test_probes.py::test_missed_nacks_are_our_own_ill_health_and_nacks_are_not",
        _PROBES,
        "for peer in probe.helpers if peer not in probe.nacked]",
        "for peer in probe.helpers]",
    ),
    5: one(
        "a ping to a suspect carries the suspicion",
        "membership/test_probes.py::test_a_ping_to_a_suspect_carries_the_suspicion_and_the_suspect_refutes_in_its_answer",
        _PROBES,
        "Ping(seq, member.peer, self._ctx.accusation(member))",
        "Ping(seq, member.peer)",
    ),
    6: one(
        "a ping for another's id is ignored",
        "membership/test_probes.py::test_a_ping_for_another_s_id_is_ignored",
        "membership/swim.py",
        "if message.target in (None, self._ctx.me.peer):",
        "if message.target != 7:",
    ),
    7: one(
        "a send error of our own blames nobody",
        "membership/test_probes.py::test_a_send_error_of_our_own_blames_nobody",
        _PROBES,
        "if member is not None and member.address == address:",
        "if member is not None and member.address != address:",
    ),
    8: one(
        "each member is probed once before any is repeated",
        "membership/test_rotation.py::test_each_member_is_probed_once_before_any_is_repeated "
        "membership/test_rotation.py::test_a_joiner_in_mid_round_repeats_nobody_and_leaves_nobody_out",
        "membership/rotation.py",
        "if place < self._at:",
        "if place > self._at:",
    ),
    9: one(
        "late and foreign answers are ignored",
        "membership/test_probes.py::test_late_and_foreign_answers_are_ignored",
        "membership/echoes.py",
        "(awaited.peers and sender not in awaited.peers)",
        "(awaited.peers and not sender)",
    ),
    10: one(
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
    11: one(
        "nack and forwarded ack carry the origin's sequence",
        "membership/test_probes.py::test_a_helper_pings_for_its_asker_and_forwards_under_the_asker_s_sequence "
        "membership/test_probes.py::test_a_helper_without_an_answer_nacks_in_time_and_forwards_a_late_answer",
        _PROBES,
        "Ack(relay.seq, self._ctx.me.mesh_port)",
        "Ack(seq, self._ctx.me.mesh_port)",
    ),
    12: one(
        "a new member is told and gossiped on, and a replay does neither",
        "membership/test_news.py::test_a_new_member_is_told_and_gossiped_on_and_a_replay_does_neither",
        _NEWS,
        "elif (news.run_epoch, news.incarnation) > member.order:",
        "elif (news.run_epoch, news.incarnation) >= member.order:",
    ),
    13: one(
        "changed metadata is an update",
        "membership/test_news.py::test_changed_metadata_is_an_update",
        _NEWS,
        "if member.changed() != before:",
        "if member.changed().state != before.state:",
    ),
    14: one(
        "alive news about me with other metadata is refuted",
        "membership/test_news.py::test_alive_news_about_me_with_other_metadata_is_refuted",
        _NEWS,
        "(news.meta, news.address) != (me.meta, me.address)",
        "news.address != me.address",
    ),
    15: one(
        "a conflicting address for a live id is refused and told",
        "membership/test_news.py::test_a_conflicting_address_for_a_live_id_is_refused_and_told_once",
        _NEWS,
        "return same_run and (news.nonce",
        "return not same_run and (news.nonce",
    ),
    16: one(
        "a suspicion of the unknown or by an old incarnation is ignored",
        "membership/test_news.py::test_a_suspicion_of_the_unknown_or_by_an_old_incarnation_is_ignored",
        _NEWS,
        "news.run_epoch != member.run_epoch or news.incarnation < member.incarnation",
        "news.run_epoch != member.run_epoch",
    ),
    17: one(
        "an accusation of me is refuted above it, a stale one is not",
        "membership/test_news.py::test_an_accusation_of_me_is_refuted_above_it_and_a_stale_one_is_not",
        _NEWS,
        "stale = run_epoch != me.run_epoch or incarnation < me.incarnation",
        "stale = run_epoch != me.run_epoch",
    ),
    18: one(
        "a death is told once",
        "membership/test_news.py::test_a_suspicion_runs_out_into_one_death",
        _NEWS,
        'or member.up:\n            self._go(member, news, "dead", now_s)',
        'or member:\n            self._go(member, news, "dead", now_s)',
        ("        if was != state:\n", "        if was:\n"),
    ),
    19: one(
        "who has left is never suspected and never dies",
        "membership/test_news.py::test_the_left_are_never_suspected_and_never_die",
        _NEWS,
        'member is None or member.state == "left" or (news',
        "member is None or (news",
    ),
    20: one(
        "alive@1, dead@1, dead@10, alive@2 stays dead",
        "membership/test_news.py::test_alive_1_dead_1_dead_10_alive_2_stays_dead",
        _NEWS,
        'if self._raise(member, news.run_epoch, news.incarnation) or member.up:\n            self._go(member, news, "dead"',
        'if member.up:\n            self._go(member, news, "dead"',
    ),
    21: one(
        "a stale alive about the dead is answered with the accusation",
        "membership/test_news.py::test_a_stale_alive_about_the_dead_is_answered_with_the_accusation_to_itself",
        _NEWS,
        'elif member.state == "dead":\n            self.accuse_again',
        'elif member.state == "suspect":\n            self.accuse_again',
    ),
    22: one(
        "a remote dead becomes a suspect here",
        "membership/test_news.py::test_a_remote_dead_becomes_a_suspect_here",
        _NEWS,
        'self.suspect(accusation, now_s)\n        elif member is not None and member.state == "dead":',
        'self._die(member, now_s)\n        elif member is not None and member.state == "dead":',
    ),
    23: one(
        "a restart under the same id is accepted at once",
        "membership/test_news.py::test_a_restart_under_the_same_id_is_accepted_at_once_whatever_the_incarnation "
        "membership/test_mesh.py::test_a_restart_is_taken_at_once_as_the_same_peer_in_a_new_run",
        _NEWS,
        "same_run = news.run_epoch == member.run_epoch == held.run_epoch",
        "same_run = news.run_epoch >= member.run_epoch",
    ),
    24: one(
        "news is sent as often as the limit says",
        "membership/test_broadcasts.py::test_the_retransmit_limit_grows_with_the_logarithm",
        "membership/broadcasts.py",
        "math.log10(live + 1)",
        "math.log10(live)",
    ),
    25: one(
        "newer news about a member makes the older pointless",
        "membership/test_broadcasts.py::test_newer_news_about_a_member_makes_the_older_pointless",
        "membership/broadcasts.py",
        "if not _stand_together(old.news, news):",
        "if old.news == news:",
    ),
    26: one(
        "no datagram exceeds 1,400 bytes",
        "membership/test_context.py::test_a_datagram_is_filled_with_news_and_never_overflows",
        "membership/context.py",
        "limits.DATAGRAM_PAYLOAD_BYTES_MAX - sum(encoded_size(message) for message in messages)",
        "limits.DATAGRAM_PAYLOAD_BYTES_MAX",
    ),
    27: one(
        "a truncated compound keeps its good parts",
        "wire/test_codec.py::test_a_truncated_compound_keeps_its_good_parts",
        "wire/codec.py",
        "return tuple(messages), bad + 1",
        "return (), bad + 1",
    ),
    28: one(
        "gossip reaches the recently dead but not the long dead",
        "membership/test_gossip.py::test_gossip_reaches_the_recently_dead_but_not_the_long_dead",
        "membership/gossip.py",
        "since_s=now_s - self._ctx.options.gossip_to_dead_s",
        'since_s=float("-inf")',
    ),
    29: one(
        "the push-pull interval grows with the logarithm above 32 members",
        "membership/test_sync.py::test_the_interval_grows_with_the_logarithm_above_32_members",
        "membership/sync.py",
        "math.log2(_SCALED_ABOVE)) + 1)",
        "math.log2(_SCALED_ABOVE)))",
    ),
    30: one(
        "in the middle of a rotation peers of both rings hear one another",
        "membership/test_behaviours.py::"
        "test_peers_in_the_middle_of_a_rotation_hear_one_another_and_one_with_the_old_key_only_does_not "
        "keyring/test_keyring.py::test_at_no_moment_of_a_rotation_is_anybody_unheard",
        "wire/seal.py",
        "return self._hints.get(key_hint)",
        "return self.primary if key_hint == self.primary.key_hint else None",
    ),
    31: one(
        "another key is dropped and counted as such",
        "membership/test_mesh.py::test_another_key_or_mesh_name_never_joins_and_is_counted",
        "wire/seal.py",
        "return Dropped.WRONG_KEY",
        "return Dropped.FORGED",
    ),
    32: one(
        "nested and bomb input is refused",
        "wire/test_codec.py::test_deep_nesting_is_malformed_wherever_it_stands wire/test_codec.py::test_bombs_are_refused",
        "wire/codec.py",
        "max_array_len=limits.MESSAGE_ITEMS_MAX, max_map_len=0, max_ext_len=0",
        "max_array_len=limits.MESSAGE_ITEMS_MAX, max_map_len=9, max_ext_len=9",
        ("not shallow(row[fields:], limits.MESSAGE_DEPTH_MAX)", "not shallow(row[fields:], 9_999)"),
    ),
    33: one(
        "who leaves is seen as left and blames nobody while leaving",
        "membership/test_swim.py::test_nobody_is_probed_or_blamed_while_leaving_and_pings_are_still_answered "
        "membership/test_mesh.py::test_who_leaves_is_seen_as_left_by_all_and_blamed_by_nobody",
        "membership/swim.py",
        "self._ctx.leaving = True\n        self._prober.abandon()",
        "self._ctx.leaving = True",
    ),
    34: one(
        "a partition longer than the gossip to the dead heals",
        "membership/test_behaviours.py::test_a_partition_longer_than_the_gossip_to_the_dead_heals_without_seeds_too",
        "membership/healing.py",
        'self._ctx.ask(member, "heal", now_s)',
        "member.retries += 0",
    ),
    35: one(
        "a restart rejoins through its snapshot",
        "membership/test_healing.py::test_a_restart_rejoins_through_its_snapshot_without_seeds "
        "membership/test_healing.py::test_a_torn_snapshot_is_told_and_does_no_harm",
        "membership/swim.py",
        "self._healing.found(read_snapshot(data), now_s)",
        "read_snapshot(data)",
    ),
    36: one(
        "after any chaos the living agree, and incarnations never fell",
        "membership/test_chaos.py::test_a_little_chaos_ends_in_agreement",
        _NEWS,
        "elif (news.run_epoch, news.incarnation) > member.order:",
        "elif (news.run_epoch, news.incarnation) != member.order:",
    ),
    37: one(
        "a one-way cut is routed round by helpers",
        "membership/test_behaviours.py::test_a_one_way_cut_leads_to_no_suspicion_at_all",
        _PROBES,
        "self._ctx.members.draw_unsuspected(self._ctx.random, self._ctx.options.helpers, without=probe.peer)",
        "self._ctx.members.draw_unsuspected(self._ctx.random, 0, without=probe.peer)",
    ),
    38: one(
        "duplicated, reordered and replayed datagrams change nothing",
        "membership/test_mesh.py::test_duplicated_datagrams_change_nothing "
        "membership/test_mesh.py::test_a_recording_played_back_after_a_restart_changes_nothing",
        "wire/seal.py",
        "return behind < 0 or (behind < limits.REPLAY_WINDOW and not self.seen >> behind & 1)",
        "return behind < limits.REPLAY_WINDOW",
    ),
    39: one(
        "of two processes with one id the later one is to stop",
        "membership/test_news.py::test_of_two_processes_with_one_id_the_later_one_is_to_stop "
        "membership/test_mesh.py::test_two_peers_with_one_id_find_each_other_and_the_later_one_is_to_stop",
        _NEWS,
        "i_stop = (me.run_epoch, me.nonce) > (news.run_epoch, news.nonce)",
        "i_stop = (me.run_epoch, me.nonce) < (news.run_epoch, news.nonce)",
    ),
    40: one(
        "a wall clock that jumps changes nothing",
        "membership/test_swim.py::test_the_wall_clock_may_jump_as_it_likes",
        "membership/swim.py",
        "now_s = now.monotonic_s\n        if self._due_s is not None",
        "now_s = now.wall_ms / 1_000\n        if self._due_s is not None",
    ),
}

MUTATIONS: Final = _BEHAVIOURS | FURTHER
