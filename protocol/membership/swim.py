"""Who is in the mesh and who answers: SWIM with the Lifeguard extensions, as one pure machine.

Decides whom to ask, whom to believe, whom to suspect and what to pass on. Refuses to know sockets, clocks, keys and jobs:
datagrams arrive opened and decoded, streams arrive with a proven sender, time is handed in, and sequences that prove
freshness are drawn by the shell (`token`).

The parts, each deciding one thing: `rotation` (whom next), `probes` (is it there), `news` (what news does to the table),
`suspicion` (how long), `broadcasts` and `gossip` (what is said to whom), `sync` (whole tables), `introductions` (who I am),
`healing` (seeds, dead, snapshot), `strangers` (unproven salts), `awareness` (our own health).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import assert_never

from protocol import limits
from protocol.effects import BelieveSalt, Effect, Reply, SendStream
from protocol.errors import Conflict, Malformed, NotFound, Refusal
from protocol.events import (
    Booted,
    DatagramReceived,
    DatagramUnsent,
    DrainAsked,
    Event,
    ForceLeaveAsked,
    LoopLagged,
    PingAsked,
    SeedsFound,
    StreamBroken,
    StreamFailed,
    StreamReceived,
    UndrainAsked,
)
from protocol.ids import Address, PeerId
from protocol.kernel import Now
from protocol.membership.context import Context
from protocol.membership.gossip import Gossip
from protocol.membership.healing import Healing
from protocol.membership.introductions import Introductions
from protocol.membership.members import Member, MemberView
from protocol.membership.news import Desk
from protocol.membership.options import SwimOptions
from protocol.membership.pinging import Pinger
from protocol.membership.probes import Prober
from protocol.membership.rotation import Rotation
from protocol.membership.snapshot import KEY, read_snapshot
from protocol.membership.strangers import Strangers
from protocol.membership.sync import Sync
from protocol.signals import MemberState, Signal
from protocol.wire.gossip import (
    Ack,
    Alive,
    DatagramMessage,
    Dead,
    GossipMessage,
    Left,
    Nack,
    Ping,
    PingReq,
    PushPull,
    StreamAck,
    StreamPing,
    Suspect,
    SyncDigest,
    SyncVersions,
)

_NEWS = (Alive, Suspect, Dead, Left)


class Swim:
    """One peer's view of the mesh. The caller's obligations are those of `kernel.Machine`; the first event is `Booted`.

    `address` and `mesh_port` are what others are told; `run_epoch` is greater than at any earlier start; `nonce` (8
    bytes) and what `token` returns (64 bits each) are drawn by the shell, never from `random`.
    """

    def __init__(
        self,
        *,
        me: PeerId,
        address: Address,
        mesh_port: int,
        run_epoch: int,
        nonce: bytes,
        meta: bytes,
        options: SwimOptions,
        random: Random,
        token: Callable[[], int],
    ) -> None:
        assert len(meta) <= limits.METADATA_BYTES_MAX
        assert len(nonce) == 8
        versions = (limits.PROTOCOL_VERSION_MIN, limits.PROTOCOL_VERSION_MAX)
        alive = Alive(me, run_epoch, 1, nonce, address, mesh_port, meta, versions)
        self._ctx = Context(me=alive, options=options, random=random, token=token)
        rotation = Rotation(random)
        self._desk = Desk(self._ctx, rotation)
        self._prober = Prober(self._ctx, rotation, self._desk)
        self._gossip = Gossip(self._ctx)
        self._introductions = Introductions(self._ctx)
        self._sync = Sync(self._ctx, self._desk, self._introductions)
        self._healing = Healing(self._ctx, self._sync)
        self._strangers = Strangers(self._ctx)
        self._pinger = Pinger(self._ctx)
        self._parts = (self._prober, self._desk, self._gossip, self._sync, self._introductions, self._healing, self._pinger)
        self._due_s: float | None = None
        self._leave_by_s: float | None = None
        self._booted = False
        self._departed = False

    # ---- what others may ask -----------------------------------------------------------------------------------

    def me(self) -> MemberView:
        """Myself, as the others see me."""
        said = self._ctx.me
        state: MemberState = "left" if self._ctx.leaving else "alive"
        return Member(said, state, said.run_epoch, said.incarnation, 0.0).view()

    def members(self) -> list[MemberView]:
        """Everybody known in whatever state, myself included, sorted by id."""
        return sorted([self.me(), *(member.view() for member in self._ctx.members)], key=lambda view: view.peer)

    def live(self) -> list[PeerId]:
        """Ids of everybody alive or suspect, myself included, sorted."""
        return sorted([self._ctx.me.peer, *(member.peer for member in self._ctx.members.up())])

    def datagram_address(self, peer: PeerId) -> Address | None:
        """Where `peer` takes datagrams; None when it is down, or when only its stream gets through."""
        member = self._ctx.members.get(peer)
        return member.address if member is not None and member.up and not member.stream_only else None

    def versions_of(self, peer: PeerId) -> tuple[int, int] | None:
        """The lowest and the highest protocol version that a peer speaks; None when it is not known."""
        member = self._ctx.members.get(peer)
        if peer == self._ctx.me.peer:
            return self._ctx.me.versions
        return None if member is None else member.alive.versions

    def common_version(self) -> int:
        """The highest protocol version that every live member speaks; our lowest when there is none."""
        ranges = [self._ctx.me.versions, *(member.alive.versions for member in self._ctx.members.up())]
        highest = min(high for _, high in ranges)
        return highest if highest >= max(low for low, _ in ranges) else self._ctx.me.versions[0]

    @property
    def health_score(self) -> int:
        """Our own ill health, 0 (well) to 7."""
        return self._ctx.awareness.score

    @property
    def departed(self) -> bool:
        """After `DrainAsked(leave=True)`: the goodbye has been said often enough, the process may end."""
        return self._departed

    # ---- the machine -------------------------------------------------------------------------------------------

    def handle(self, event: Event | Signal, now: Now) -> list[Effect | Signal]:
        """Take one event; those that are not about membership are nobody's here and change nothing."""
        now_s = now.monotonic_s
        match event:
            case Booted():
                self._boot(event, now_s)
            case DatagramReceived():
                self._datagram(event, now_s)
            case DatagramUnsent():
                self._prober.unsent(event.address)
            case StreamReceived():
                self._stream(event, now_s)
            case StreamFailed():
                self._stream_failed(event, now_s)
            case StreamBroken(peer):
                self._prober.stream_broken(peer, now_s)
            case SeedsFound():
                self._healing.found(event.addresses, now_s, lasting=event.lasting)
            case LoopLagged():
                if event.seconds > self._ctx.options.lag_s:
                    self._ctx.awareness.worse()
            case DrainAsked():
                if event.leave:
                    self._leave(now_s)
                if event.for_good:
                    self._healing.forget_all()
            case UndrainAsked():
                self._stay()
            case PingAsked(request, peer):
                self._pinger.ask(request, peer, now_s)
            case ForceLeaveAsked(request, peer):
                answer = self._force_leave(peer, now_s)
                return [*self._settle(now_s), Reply(request, answer)]
            case _:
                return []
        return self._settle(now_s)

    def set_meta(self, meta: bytes, now: Now) -> list[Effect | Signal]:
        """Tell the others new metadata, at most `limits.METADATA_BYTES_MAX` bytes."""
        assert len(meta) <= limits.METADATA_BYTES_MAX
        if meta != self._ctx.me.meta:
            self._ctx.say_again(incarnation=self._ctx.me.incarnation + 1, meta=meta)
        return self._settle(now.monotonic_s)

    def next_deadline(self) -> float | None:
        """When `on_deadline` wants to be called, as of the last step."""
        return self._due_s

    def on_deadline(self, now: Now) -> list[Effect | Signal]:
        """Do what is due. Coming late is a sign of our own slowness, and nobody else's fault."""
        now_s = now.monotonic_s
        if self._due_s is not None and now_s >= self._due_s:
            self._mind_lateness(now_s - self._due_s)
            for part in self._parts:
                part.on_deadline(now_s)
        return self._settle(now_s)

    def _mind_lateness(self, late_s: float) -> None:
        """While this peer slept it could hear nobody: suspects get that time back, and long sleeps void the probes."""
        if late_s > self._ctx.options.lag_s:
            self._ctx.awareness.worse()
            self._desk.postpone(late_s)
        if late_s > self._ctx.options.probe_timeout_s:
            self._prober.abandon()

    def _settle(self, now_s: float) -> list[Effect | Signal]:
        wishes, self._ctx.to_verify = self._ctx.to_verify, []
        for peer, delay_s in wishes:
            self._prober.verify(peer, now_s, delay_s=delay_s)
        accused, self._ctx.to_look_at = self._ctx.to_look_at, []
        for peer in accused:
            self._prober.look(peer, now_s)
        self._gossip.arm(now_s)
        self._healing.arm(now_s)
        if self._leave_by_s is not None:
            self._watch_departure(now_s, self._leave_by_s)
        times = [at_s for at_s in (part.next_deadline() for part in self._parts) if at_s is not None]
        if self._leave_by_s is not None and not self._departed:
            times.append(self._leave_by_s)
        self._due_s = min(times, default=None)
        return self._ctx.drain()

    # ---- beginning and end -------------------------------------------------------------------------------------

    def _boot(self, event: Booted, now_s: float) -> None:
        if self._booted:
            return
        self._booted = True
        self._ctx.broadcasts.put(self._ctx.me)
        for part in (self._prober, self._sync, self._healing):
            part.start(now_s)
        data = event.values.get(KEY)
        if data is not None:
            try:
                self._healing.found(read_snapshot(data), now_s)
            except Malformed as fault:
                self._ctx.notice("member_snapshot_unreadable", "warning", reason=str(fault))

    def _leave(self, now_s: float) -> None:
        if self._ctx.leaving:
            return
        self._ctx.leaving = True
        self._prober.abandon()
        goodbye = Left(self._ctx.me.peer, self._ctx.me.run_epoch, self._ctx.me.incarnation)
        self._ctx.broadcasts.put(goodbye)
        for member in list(self._ctx.members.up())[: limits.LEFT_TOLD_DIRECTLY_MAX]:
            self._ctx.datagram(member.peer, member.address, goodbye)
        self._leave_by_s = now_s + self._ctx.options.leave_s

    def _force_leave(self, peer: PeerId, now_s: float) -> Refusal | bool:
        """A dead member counts as one that has left, here and, by gossip, everywhere. One that lives refutes it."""
        member = self._ctx.members.get(peer)
        if peer == self._ctx.me.peer or (member is not None and member.up):
            return Conflict("peer_alive", f"peer {peer[:8]} is alive; only a failed one can be made to leave")
        if member is None:
            return NotFound("no_such_peer", f"no peer {peer[:8]} is known")
        self._desk.left(Left(peer, member.run_epoch, member.incarnation), now_s)
        return True

    def _watch_departure(self, now_s: float, leave_by_s: float) -> None:
        said = not self._ctx.broadcasts.about(self._ctx.me.peer) or not self._ctx.members.up_count
        if not self._departed and (said or now_s >= leave_by_s):
            self._departed = True
            self._ctx.notice("member_departed")

    def _stay(self) -> None:
        if self._ctx.leaving:
            self._ctx.leaving = self._departed = False
            self._leave_by_s = None
            self._ctx.say_again(incarnation=self._ctx.me.incarnation + 1)
            self._ctx.address_changed = True  # what was forgotten for good is saved again

    # ---- datagrams ---------------------------------------------------------------------------------------------

    def _datagram(self, event: DatagramReceived, now_s: float) -> None:
        if event.sender == self._ctx.me.peer:
            self._own_datagram(event, now_s)
        elif event.trusted or self._proves(event, now_s):
            for message in event.messages:
                if isinstance(message, _NEWS):
                    self._desk.take(message, now_s)
            for message in event.messages:
                if not isinstance(message, _NEWS):
                    self._control(message, event, now_s)
            kinds = {type(message) for message in event.messages}
            if Ack in kinds and Ping not in kinds:  # with a challenge beside it, it would not believe this peer yet
                self._introductions.believed(event.sender)
        else:
            self._stranger(event, now_s)

    def _own_datagram(self, event: DatagramReceived, now_s: float) -> None:
        """From our own id: our own ping to a seed that is ourselves, or another process with our id (a copied volume)."""
        pings = [message for message in event.messages if isinstance(message, Ping)]
        for ping in pings:
            awaited = self._ctx.echoes.mine(ping.seq)
            if awaited is not None:
                if awaited.address is not None:
                    self._healing.is_me(awaited.address)
                return
        proven = self._answers(event, now_s)
        for message in event.messages:
            if isinstance(message, Alive) and message.peer == event.sender:
                self._desk.twin(message, now_s, proven=proven)
        if pings:  # it asks who else has its id: each must prove itself to the other
            asked = self._strangers.is_asked(event.sender, event.salt, now_s)
            challenge = () if asked else (self._strangers.challenge(event.sender, event.salt, now_s),)
            self._ctx.datagram(None, event.source, Ack(pings[0].seq, self._ctx.me.mesh_port), *challenge, self._ctx.me)

    def _answers(self, event: DatagramReceived, now_s: float) -> bool:
        """Whether this datagram echoes a random sequence of ours: then it is fresh."""
        find = self._ctx.echoes.find
        return any(isinstance(one, Ack | Nack) and find(one.seq, event.sender, now_s) for one in event.messages)

    def _proves(self, event: DatagramReceived, now_s: float) -> bool:
        """Whether this datagram echoes a random sequence of ours; then its salt is believed and its news counts."""
        if not self._answers(event, now_s):
            return False
        self._ctx.emit(BelieveSalt(event.sender, event.salt))
        for news in self._strangers.proven(event.sender, event.salt, now_s):
            self._desk.take(news, now_s)
        return True

    def _stranger(self, event: DatagramReceived, now_s: float) -> None:
        """Perhaps a recording: answer pings with a challenge, keep the news until it is answered, do nothing else."""
        held = [message for message in event.messages if isinstance(message, _NEWS)]
        pings = [one for one in event.messages if isinstance(one, Ping) and one.target in (None, self._ctx.me.peer)]
        held += [ping.suspicion for ping in pings if ping.suspicion is not None]
        self._strangers.hold(event.sender, event.salt, held, now_s)
        if pings:
            challenge = self._strangers.challenge(event.sender, event.salt, now_s)
            self._answer(pings[0], event, challenge)
        elif not self._strangers.is_asked(event.sender, event.salt, now_s):
            challenge = self._strangers.challenge(event.sender, event.salt, now_s)
            self._ctx.datagram(None, event.source, challenge)

    def _control(self, message: GossipMessage, event: DatagramReceived, now_s: float) -> None:
        match message:
            case Ping():
                if message.target in (None, self._ctx.me.peer):  # a ping for another's id is ignored
                    if message.suspicion is not None:
                        self._desk.suspect(message.suspicion, now_s)
                    self._answer(message, event, None)
            case Ack():
                self._acked(message, event.sender, now_s)
            case Nack():
                if self._ctx.echoes.find(message.seq, event.sender, now_s) is not None:
                    self._prober.nacked(message.seq, event.sender)
            case PingReq():
                self._prober.help(message, event.sender, event.source, now_s)
            case _:
                pass  # stream messages do not come by datagram

    def _answer(self, ping: Ping, event: DatagramReceived, challenge: Ping | None) -> None:
        """An ack to where the ping came from, with what its sender should hear: who I am, and what it is accused of."""
        member = self._ctx.members.get(event.sender)
        messages: list[DatagramMessage] = [Ack(ping.seq, self._ctx.me.mesh_port)]
        if challenge is not None:
            messages.append(challenge)
        unsure = ping.target is None or ping.suspicion is not None  # a refutation of ours may have been missed there
        if (unsure or member is None or not member.up) and not self._ctx.leaving:
            messages.append(self._ctx.me)
        if member is not None and member.up and event.source != member.address:
            messages.append(member.alive)  # perhaps another process with that id: it shall hear where the known one lives
        held_against_it = None if member is None else self._desk.verdict(member) or self._ctx.accusation(member)
        if held_against_it is not None:
            messages.append(held_against_it)
        self._ctx.datagram(event.sender, event.source, *messages)

    def _acked(self, ack: Ack, sender: PeerId, now_s: float) -> None:
        awaited = self._ctx.echoes.find(ack.seq, sender, now_s)
        if awaited is None:
            return
        match awaited.purpose:
            case "probe":
                self._prober.acked(ack.seq, sender, now_s)
            case "relay":
                self._prober.relay_acked(ack.seq)
            case "join":
                if awaited.address is not None:
                    self._healing.joined(sender, awaited.address, ack.mesh_port, now_s)
            case "heal":
                self._healing.healed(sender)
            case "ping":
                self._pinger.answered(ack.seq, sender, now_s)
            case "prove":
                pass
            case _:
                assert_never(awaited.purpose)
        self._ctx.echoes.forget(ack.seq)

    # ---- streams -----------------------------------------------------------------------------------------------

    def _stream(self, event: StreamReceived, now_s: float) -> None:
        member = self._ctx.members.get(event.sender)
        if member is not None and member.state == "dead":
            self._desk.accuse_again(member, now_s)
        message = event.message
        match message:
            case StreamPing():
                self._stream_pinged(message, event.sender, now_s)
            case StreamAck():
                self._prober.stream_acked(message.seq, event.sender)
                self._pinger.answered(message.seq, event.sender, now_s)
            case PushPull():
                self._sync.push_pull_received(message, event.sender, now_s)
            case SyncDigest():
                self._sync.digest_received(message, event.sender)
            case SyncVersions():
                self._sync.versions_received(message, event.sender)
            case Alive() | Suspect() | Dead() | Left():
                self._desk.take(message, now_s)
            case _:
                pass  # work, or a datagram's message: not for us

    def _stream_pinged(self, ping: StreamPing, sender: PeerId, now_s: float) -> None:
        if ping.origin.peer != sender:
            return
        self._desk.alive(ping.origin, now_s)
        back = Address(ping.origin.address.host, ping.origin.mesh_port)
        self._ctx.emit(SendStream(sender, back, StreamAck(ping.seq), urgent=True))

    def _stream_failed(self, event: StreamFailed, now_s: float) -> None:
        message = event.message
        if isinstance(message, StreamPing):
            self._pinger.failed(message.seq)
            self._prober.stream_ping_failed(message.seq, now_s, refused=event.refused)
            return
        if isinstance(message, PushPull) and message.everything:
            self._sync.pull_failed(event.peer, now_s)
        self._prober.stream_failed(event.peer, now_s, refused=event.refused)
