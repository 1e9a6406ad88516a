"""Asking members whether they are there: the probe cycle, helpers, and what an answer or its absence means.

Decides when a probe turns from direct to indirect and how it ends. A member is accused only after the direct ping, the
helpers and the stream have all failed, or when its host has refused the stream as well as not answered the ping. Refuses
to know what an accusation leads to (`news`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import Address, PeerId
from protocol.membership.context import ECHO_S, Context
from protocol.membership.echoes import Awaited
from protocol.membership.members import Member
from protocol.membership.news import Desk
from protocol.membership.rotation import Rotation
from protocol.wire.gossip import Ack, Dead, Nack, Ping, PingReq, StreamPing

RTT_WEIGHT = 0.125  # of the newest sample, as in RFC 6298


@dataclass(slots=True)
class Probe:
    """One question to one member. `refused`: its host says that nobody listens on the mesh port.

    `indirect`: helpers and stream have been asked too, from `due_s` on; before that, `due_s` is when they will be."""

    seq: int
    peer: PeerId
    started_s: float
    due_s: float
    ends_s: float
    indirect: bool = False
    helpers: tuple[PeerId, ...] = ()
    nacked: dict[PeerId, None] = field(default_factory=dict)
    stream_answered: bool = False
    refused: bool = False


@dataclass(slots=True)
class _Relay:
    """A probe on behalf of `origin`, who knows it as `seq`."""

    origin: PeerId
    source: Address
    seq: int
    nack_s: float
    ends_s: float
    nacked: bool = False


class Prober:
    """Invariants: at most one probe per member at a time, at most `limits.PROBES_AT_ONCE_MAX`; a probe ends in exactly
    one of: answered, accused, or dropped (the member went, or the trouble is ours)."""

    def __init__(self, context: Context, rotation: Rotation, desk: Desk) -> None:
        self._ctx = context
        self._rotation = rotation
        self._desk = desk
        self._probes: dict[PeerId, Probe] = {}
        self._relays: dict[int, _Relay] = {}
        self._recheck: dict[PeerId, float] = {}
        self._cycle_s: float | None = None

    def start(self, now_s: float) -> None:
        """Begin the cycle, at a random phase so that peers started together do not probe together."""
        self._cycle_s = now_s + self._ctx.random.uniform(0, self._ctx.options.probe_interval_s)

    # ---- beginning ---------------------------------------------------------------------------------------------

    def probe(self, member: Member, now_s: float, *, refused: bool = False, with_stream: bool = False) -> None:
        """Ask `member` now. `refused`: a stream to it has just been refused; `with_stream`: ask over the stream at once."""
        if member.peer in self._probes or len(self._probes) >= limits.PROBES_AT_ONCE_MAX or self._ctx.leaving:
            return
        options, scale = self._ctx.options, self._ctx.awareness.scale
        seq, due_s, ends_s = self._ctx.token(), scale(options.probe_timeout_s), scale(options.probe_interval_s)
        probe = Probe(seq, member.peer, now_s, now_s + due_s, now_s + ends_s, refused=refused)
        self._probes[member.peer] = probe
        self._ctx.echoes.expect(seq, Awaited("probe", (member.peer,), now_s + ECHO_S))
        self._ctx.datagram(member.peer, member.address, Ping(seq, member.peer, self._ctx.accusation(member)))
        if with_stream:
            self._ctx.stream(member, StreamPing(seq, self._ctx.me))

    def verify(self, peer: PeerId, now_s: float, *, delay_s: float = 0.0) -> None:
        """Somebody was refused by `peer`: see for ourselves, at once or, if it is still suspect then, in a while."""
        if delay_s > 0:
            self._recheck.setdefault(peer, now_s + delay_s)
            return
        member, under_way = self._ctx.members.get(peer), self._probes.get(peer)
        if member is None or not member.up:
            return
        if under_way is None:
            self.probe(member, now_s, with_stream=True)
        elif not under_way.indirect:
            self._ctx.stream(member, StreamPing(under_way.seq, self._ctx.me))

    def look(self, peer: PeerId, now_s: float) -> None:
        """Somebody got no answer from `peer`: it may refute, or be confirmed, before its turn in the cycle comes."""
        member = self._ctx.members.get(peer)
        if member is not None and member.up:
            self.probe(member, now_s)

    def stream_failed(self, peer: PeerId, now_s: float, *, refused: bool) -> None:
        """A message that was no ping was not delivered: look at once, at most once per interval."""
        member = self._to_probe_extra(peer, now_s)
        if member is not None:
            self.probe(member, now_s, refused=refused)

    def stream_broken(self, peer: PeerId, now_s: float) -> None:
        """A connection with `peer` was refused, reset or cut: look at once, over a stream too, for its process may be gone."""
        member = self._to_probe_extra(peer, now_s)
        if member is not None:
            self.verify(peer, now_s)

    def _to_probe_extra(self, peer: PeerId, now_s: float) -> Member | None:
        """A member that is up, unless it was probed out of turn within this interval."""
        member = self._ctx.members.get(peer)
        if member is None or not member.up or now_s - member.probed_extra_s < self._ctx.options.probe_interval_s:
            return None
        member.probed_extra_s = now_s
        return member

    def _next(self, now_s: float) -> None:
        peer = self._rotation.next(self._is_wanted)
        member = None if peer is None else self._ctx.members.get(peer)
        if member is not None:
            self.probe(member, now_s)
        self._cycle_s = now_s + self._ctx.awareness.scale(self._ctx.options.probe_interval_s)

    def _is_wanted(self, peer: PeerId) -> bool:
        member = self._ctx.members.get(peer)
        return member is not None and member.up

    def _ask_round(self, probe: Probe, member: Member, now_s: float) -> None:
        """The direct ping had no answer in time: ask helpers, and over the stream, in parallel.

        A suspect is no helper: it could not help, and the nack that it owes would be taken for our own ill health."""
        probe.indirect = True
        helpers = self._ctx.members.draw_unsuspected(self._ctx.random, self._ctx.options.helpers, without=probe.peer)
        probe.helpers = tuple(helper.peer for helper in helpers)
        self._ctx.echoes.expect(probe.seq, Awaited("probe", (probe.peer, *probe.helpers), now_s + ECHO_S))
        for helper in helpers:
            self._ctx.datagram(helper.peer, helper.address, PingReq(probe.seq, probe.peer, member.address))
        self._ctx.stream(member, StreamPing(probe.seq, self._ctx.me))

    # ---- answers -----------------------------------------------------------------------------------------------

    def acked(self, seq: int, sender: PeerId, now_s: float) -> None:
        """An Ack under a probe's sequence, from the member or, forwarded, from a helper."""
        probe = self._find(seq)
        if probe is None:
            return
        member = self._ctx.members.get(probe.peer)
        if member is not None and sender == probe.peer:
            member.stream_only = False
            if not probe.indirect:
                sample = now_s - probe.started_s
                member.rtt_s = sample if member.rtt_s is None else member.rtt_s + RTT_WEIGHT * (sample - member.rtt_s)
        self._ctx.awareness.better()
        self._end(probe)

    def nacked(self, seq: int, sender: PeerId) -> None:
        """A helper is well but has heard nothing."""
        probe = self._find(seq)
        if probe is not None and sender in probe.helpers:
            probe.nacked[sender] = None

    def stream_acked(self, seq: int, sender: PeerId) -> None:
        """The stream ping was answered: alive, whatever happens to its datagrams."""
        probe = self._find(seq)
        if probe is not None and probe.peer == sender:
            probe.stream_answered = True

    def stream_ping_failed(self, seq: int, now_s: float, *, refused: bool) -> None:
        """The stream ping was not delivered. A refusal ends the probe as soon as the direct ping has had its time."""
        probe = self._find(seq)
        if probe is None or not refused:
            return
        probe.refused = True
        if probe.indirect:
            self._fail(probe, now_s)
        else:
            probe.due_s = min(probe.due_s, now_s + self._ctx.options.refusal_grace_s)

    def unsent(self, address: Address) -> None:
        """The operating system would not send there: our own trouble, so nobody is blamed for silence."""
        for probe in list(self._probes.values()):
            member = self._ctx.members.get(probe.peer)
            if member is not None and member.address == address:
                self._end(probe)

    # ---- helping others ----------------------------------------------------------------------------------------

    def help(self, request: PingReq, origin: PeerId, source: Address, now_s: float) -> None:
        """Ping on behalf of `origin`; an answer or a nack goes back under its sequence."""
        if len(self._relays) >= limits.RELAYS_AT_ONCE_MAX:
            return
        options, seq = self._ctx.options, self._ctx.token()
        ends_s = now_s + 2 * options.probe_interval_s
        self._relays[seq] = _Relay(origin, source, request.seq, now_s + options.nack_after_s, ends_s)
        self._ctx.echoes.expect(seq, Awaited("relay", (request.target,), ends_s))
        self._ctx.datagram(request.target, request.address, Ping(seq, request.target))
        member = self._ctx.members.get(request.target)
        if member is not None and member.state == "dead":  # whoever asks has missed the verdict
            self._ctx.datagram(origin, source, Dead(member.peer, member.run_epoch, member.incarnation, self._ctx.me.peer))

    def relay_acked(self, seq: int) -> None:
        """The target of a relay is there: tell who asked, under the sequence that it knows."""
        relay = self._relays.pop(seq, None)
        if relay is not None:
            self._ctx.echoes.forget(seq)
            self._ctx.datagram(relay.origin, relay.source, Ack(relay.seq, self._ctx.me.mesh_port))

    # ---- time --------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the next probe, round, nack or end is due."""
        times = [probe.ends_s if probe.indirect else probe.due_s for probe in self._probes.values()]
        times += [relay.ends_s if relay.nacked else relay.nack_s for relay in self._relays.values()]
        times += self._recheck.values()
        if self._cycle_s is not None and not self._ctx.leaving:
            times.append(self._cycle_s)
        return min(times, default=None)

    def on_deadline(self, now_s: float) -> None:
        """Do what is due."""
        for probe in list(self._probes.values()):
            self._advance(probe, now_s)
        for seq, relay in list(self._relays.items()):
            self._advance_relay(seq, relay, now_s)
        for peer in [peer for peer, at_s in self._recheck.items() if at_s <= now_s]:
            del self._recheck[peer]
            member = self._ctx.members.get(peer)
            if member is not None and member.state == "suspect":
                self.probe(member, now_s, with_stream=True)
        if self._cycle_s is not None and self._cycle_s <= now_s and not self._ctx.leaving:
            self._next(now_s)

    def abandon(self) -> None:
        """This peer slept, or is leaving: what was under way proves nothing."""
        for probe in list(self._probes.values()):
            self._end(probe)

    def _advance(self, probe: Probe, now_s: float) -> None:
        member = self._ctx.members.get(probe.peer)
        if member is None or not member.up:
            self._end(probe)
        elif probe.indirect:
            if probe.ends_s <= now_s:
                self._fail(probe, now_s)
        elif probe.due_s <= now_s:
            if probe.refused:
                self._fail(probe, now_s)
            else:
                self._ask_round(probe, member, now_s)

    def _advance_relay(self, seq: int, relay: _Relay, now_s: float) -> None:
        if relay.ends_s <= now_s:
            del self._relays[seq]
            self._ctx.echoes.forget(seq)
        elif not relay.nacked and relay.nack_s <= now_s:
            relay.nacked = True
            self._ctx.datagram(relay.origin, relay.source, Nack(relay.seq))

    def _fail(self, probe: Probe, now_s: float) -> None:
        self._end(probe)
        member = self._ctx.members.get(probe.peer)
        if member is None or not member.up:
            return
        if probe.stream_answered:
            self._only_by_stream(member)
            return
        if probe.indirect and not probe.refused:
            self._mind_silence(probe)
        self._desk.accuse(member, now_s, refused=probe.refused)
        if probe.refused and member.state == "suspect":
            self._recheck[member.peer] = now_s + self._ctx.options.refusals_apart_s

    def _mind_silence(self, probe: Probe) -> None:
        """A helper that owes its nack: either this peer is slow, or that helper is gone too and is asked out of turn. One that is
        held for gone by now says nothing about us."""
        owing = [self._ctx.members.get(peer) for peer in probe.helpers if peer not in probe.nacked]
        silent = [member.peer for member in owing if member is not None and member.state == "alive"]
        self._ctx.awareness.worse(min(1, len(silent)))
        self._ctx.to_look_at += silent

    def _only_by_stream(self, member: Member) -> None:
        if not member.stream_only:
            member.stream_only = True
            self._ctx.notice("member_udp_blocked", "warning", peer=member.peer, address=str(member.address))

    def _find(self, seq: int) -> Probe | None:
        return next((probe for probe in self._probes.values() if probe.seq == seq), None)

    def _end(self, probe: Probe) -> None:
        del self._probes[probe.peer]
        self._ctx.echoes.forget(probe.seq)
