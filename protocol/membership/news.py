"""What news does to the table: the order of news, suspicion and its end, refutation.

Decides whether news is newer than what is held, and what follows. Order is (run epoch, incarnation), lexicographic; at
equal order alive < suspect < dead < left. Only the owner raises its incarnation; stored ones never fall. Refuses to know
how news arrived and who is probed.
"""

from __future__ import annotations

import math
from typing import Literal, assert_never

from protocol import limits
from protocol.ids import PeerId
from protocol.membership.context import ECHO_S, Context
from protocol.membership.echoes import Awaited
from protocol.membership.members import Member
from protocol.membership.rotation import Rotation
from protocol.membership.suspicion import QUESTIONS, STREAM_QUESTION, Suspicion, suspicion_bounds, suspicion_timeout
from protocol.wire.gossip import Alive, Dead, Left, MemberNews, News, Ping, PushPull, Suspect


class Desk:
    """Applies news. Invariants: a state changes only by news that is newer or stronger; each change is signalled once
    and gossiped on; a replay does neither."""

    def __init__(self, context: Context, rotation: Rotation) -> None:
        self._ctx = context
        self._rotation = rotation
        self._minute_s = float("-inf")
        self._learned = 0
        self._twin_told = b""
        self._twin_asked_s = float("-inf")

    def take(self, news: News, now_s: float) -> None:
        """Apply one piece of gossip."""
        match news:
            case Alive():
                self.alive(news, now_s)
            case Suspect():
                self.suspect(news, now_s)
            case Dead():
                self.dead(news, now_s)
            case Left():
                self.left(news, now_s)
            case _:
                assert_never(news)

    def merge(self, news: MemberNews, sender: PeerId, now_s: float) -> None:
        """Apply one row of `sender`'s state: its dead are only suspects here, so that they may refute."""
        said = news.alive
        accusation = Suspect(said.peer, said.run_epoch, said.incarnation, sender, False)
        match news.state:
            case "alive":
                self.alive(said, now_s)
            case "suspect":
                self.alive(said, now_s)
                member = self._ctx.members.get(said.peer)
                if said.peer == self._ctx.me.peer or (member is not None and member.state == "alive"):
                    self.suspect(accusation, now_s)
            case "dead":
                self._merge_dead(said, accusation, now_s)
            case "left":
                self.left(Left(said.peer, said.run_epoch, said.incarnation), now_s)
            case _:
                assert_never(news.state)

    def _merge_dead(self, said: Alive, accusation: Suspect, now_s: float) -> None:
        member = self._ctx.members.get(said.peer)
        if member is not None and member.up:
            self.alive(said, now_s)
            if member.state == "alive":
                self.suspect(accusation, now_s)
        elif member is not None and member.state == "dead":
            self._raise(member, said.run_epoch, said.incarnation)
        elif said.peer == self._ctx.me.peer:
            self._gone(said.run_epoch, said.incarnation)

    # ---- alive -------------------------------------------------------------------------------------------------

    def alive(self, news: Alive, now_s: float) -> None:
        """A peer speaks of itself (perhaps through others)."""
        if news.peer == self._ctx.me.peer:
            self._alive_about_me(news, now_s)
            return
        member = self._ctx.members.get(news.peer)
        if member is None:
            self._learn(news, now_s)
        elif self._conflicts(member, news):
            self._tell_conflict(member, news, now_s)
        elif (news.run_epoch, news.incarnation) > member.order:
            self._renew(member, news, now_s)
        elif member.state == "dead":
            self.accuse_again(member, now_s)

    def accuse_again(self, member: Member, now_s: float) -> None:
        """Somebody believes that a member held dead lives: tell that member, at its own address, so that it refutes."""
        if now_s - member.accused_s >= self._ctx.options.challenge_s:
            member.accused_s = now_s
            self._ctx.ask(member, "heal", now_s)

    def _alive_about_me(self, news: Alive, now_s: float) -> None:
        me = self._ctx.me
        if news.run_epoch > me.run_epoch or (news.run_epoch == me.run_epoch and news.nonce != me.nonce):
            if news.address == me.address:  # nobody else can be there: it was this very peer, on a disk that is gone
                self._outlive(news.run_epoch)
            else:
                self.twin(news, now_s, proven=False)
        elif news.run_epoch == me.run_epoch and (news.incarnation > me.incarnation or self._misquotes(news)):
            self._accused(news.run_epoch, news.incarnation)

    def twin(self, news: Alive, now_s: float, *, proven: bool) -> None:
        """Another process has our id (a copied data folder): the one with the higher (run epoch, nonce) is to stop.

        Others' word for it only makes us ask: `proven` is an answer of the other process itself, which nobody can replay.
        """
        me = self._ctx.me
        if news.nonce == me.nonce:
            return
        if not proven:
            if now_s - self._twin_asked_s >= self._ctx.options.challenge_s:
                self._twin_asked_s = now_s
                seq = self._ctx.token()
                self._ctx.echoes.expect(seq, Awaited("prove", (me.peer,), now_s + ECHO_S))
                self._ctx.datagram(None, news.address, Ping(seq, me.peer), me)
        elif news.nonce != self._twin_told:
            self._twin_told = news.nonce
            i_stop = (me.run_epoch, me.nonce) > (news.run_epoch, news.nonce)
            self._ctx.notice("member_duplicate_id", "error", peer=me.peer, other=str(news.address), i_stop=i_stop)

    def _misquotes(self, news: Alive) -> bool:
        me = self._ctx.me
        return news.incarnation == me.incarnation and (news.meta, news.address) != (me.meta, me.address)

    def _learn(self, news: Alive, now_s: float) -> None:
        if not self._may_learn(now_s):
            return
        member = Member(news, "alive", news.run_epoch, news.incarnation, now_s)
        self._ctx.members.add(member)
        self._rotation.add(news.peer)
        self._ctx.changed(member)
        self._ctx.broadcasts.put(news)
        self._ctx.notice("member_joined", peer=news.peer, address=str(news.address))
        self._compare_versions(member)

    def _may_learn(self, now_s: float) -> bool:
        if now_s - self._minute_s >= 60.0:
            self._minute_s, self._learned = now_s, 0
        if self._learned >= limits.MEMBERS_LEARNED_PER_MINUTE_MAX or not self._has_room():
            return False
        self._learned += 1
        return True

    def _has_room(self) -> bool:
        """Whether one more fits; in a full table the member that has been down for longest gives way."""
        longest_down = next(self._ctx.members.down(), None) if self._ctx.members.is_full else None
        if longest_down is not None:
            self._ctx.forget(longest_down)
        return not self._ctx.members.is_full

    def _conflicts(self, member: Member, news: Alive) -> bool:
        """Whether that is another process than the known one, in the same run: nothing that it says later counts either."""
        held = member.alive
        same_run = news.run_epoch == member.run_epoch == held.run_epoch
        return same_run and (news.nonce != held.nonce or (member.up and news.address != held.address))

    def _tell_conflict(self, member: Member, news: Alive, now_s: float) -> None:
        """Tell people once, and that process from time to time: on an older disk put back it goes on in a later run."""
        if member.conflict_told is None or member.conflict_told.address != news.address:
            member.conflict_told = news
            addresses = {"held": str(member.address), "refused": str(news.address)}
            self._ctx.notice("member_conflict", "warning", peer=news.peer, **addresses)
        if now_s - member.conflict_told_s >= self._ctx.options.challenge_s:
            member.conflict_told_s = now_s
            self._ctx.datagram(None, news.address, member.alive)

    def _renew(self, member: Member, news: Alive, now_s: float) -> None:
        before, was_up = member.changed(), member.up
        member.alive, member.run_epoch, member.incarnation = news, news.run_epoch, news.incarnation
        self._ctx.members.move(member, "alive", at_s=now_s)
        self._ctx.broadcasts.put(news)
        if not was_up:
            member.retries, member.rtt_s = 0, None
            self._rotation.add(news.peer)
            self._ctx.notice("member_returned", peer=news.peer, address=str(news.address))
        if member.changed() != before:
            self._ctx.changed(member)
        self._compare_versions(member)

    def _compare_versions(self, member: Member) -> None:
        """Tell once of a member with which this peer has no protocol version in common: it stays one, and people must act."""
        (low, high), (lowest, highest) = self._ctx.me.versions, member.alive.versions
        if max(low, lowest) <= min(high, highest) or member.versions_told == (lowest, highest):
            return
        member.versions_told = (lowest, highest)
        older = "that one" if highest < low else "this one"
        text = f"it speaks protocol versions {lowest} to {highest}, this peer {low} to {high}: upgrade {older}"
        self._ctx.notice("member_versions_apart", "warning", peer=member.peer, address=str(member.address), text=text)

    # ---- suspect -----------------------------------------------------------------------------------------------

    def suspect(self, news: Suspect, now_s: float) -> None:
        """Somebody (perhaps this peer) accuses a member."""
        if news.peer == self._ctx.me.peer:
            self._accused(news.run_epoch, news.incarnation)
            return
        member = self._ctx.members.get(news.peer)
        if member is not None and not member.up and (news.run_epoch, news.incarnation) <= member.order:
            self._tell_verdict(member, news.accuser, now_s)
            return
        # an accusation of a run that was never heard alive says nothing that could be checked
        if member is None or not member.up or news.run_epoch != member.run_epoch or news.incarnation < member.incarnation:
            return
        if member.suspicion is None or news.incarnation > member.incarnation:
            self._begin(member, news, now_s)
        else:
            self._confirm(member, member.suspicion, news)
        if member.suspicion is not None and member.suspicion.settled(self.needed(member)):
            self._die(member, now_s)

    def _tell_verdict(self, member: Member, accuser: PeerId, now_s: float) -> None:
        """Somebody still accuses a member that has gone: it has missed the verdict. Not in the first moment after one, when
        accusations are still on their way everywhere."""
        hearer, wait_s = self._ctx.members.get(accuser), self._ctx.options.challenge_s
        if hearer is not None and hearer.up and now_s - max(member.since_s, member.verdict_told_s) >= wait_s:
            member.verdict_told_s = now_s
            verdict = self.verdict(member)
            assert verdict is not None
            self._ctx.datagram(hearer.peer, hearer.address, verdict)

    def verdict(self, member: Member) -> Dead | Left | None:
        """What was concluded of a member that is down; None of one that is up."""
        ids = member.peer, member.run_epoch, member.incarnation
        if member.up:
            return None
        return Left(*ids) if member.state == "left" else Dead(*ids, self._ctx.me.peer)

    def _begin(self, member: Member, news: Suspect, now_s: float) -> None:
        was_alive = member.state == "alive"
        suspicion = Suspicion(now_s, news.accuser)
        member.incarnation = news.incarnation
        self._ctx.members.move(member, "suspect", at_s=now_s, suspicion=suspicion)
        self._ctx.broadcasts.put(news)
        if was_alive:
            self._ctx.changed(member)
            self._ctx.notice("member_suspected", peer=news.peer, accuser=news.accuser, refused=news.refused)
        if news.refused:
            suspicion.refuse(news.accuser, most=self._ctx.options.confirmations_max)
            self._perhaps_verify(member, news)
        elif was_alive and news.accuser != self._ctx.me.peer and self._ctx.random.random() < self._share(member):
            self._ctx.to_look_at.append(member.peer)

    def _confirm(self, member: Member, suspicion: Suspicion, news: Suspect) -> None:
        most = self._ctx.options.confirmations_max
        first_refusal = news.refused and not suspicion.refusers
        fresh = suspicion.confirm(news.accuser, most=most)
        if news.refused:
            fresh = suspicion.refuse(news.accuser, most=most) or fresh
        if fresh:
            self._ctx.broadcasts.put(news)
        if first_refusal:
            self._perhaps_verify(member, news)

    def _perhaps_verify(self, member: Member, news: Suspect) -> None:
        """A refused suspicion: each hearer asks the accused at once with probability min(1, 3k/n).

        The others ask later if nothing has been settled by then: whoever missed the verdict finds it alone."""
        if news.accuser == self._ctx.me.peer:
            return
        apart_s = self._ctx.options.refusals_apart_s
        delay_s = 0.0 if self._ctx.random.random() < self._share(member) else self._ctx.random.uniform(apart_s, 2 * apart_s)
        self._ctx.to_verify.append((member.peer, delay_s))

    def _share(self, member: Member) -> float:
        """How probably a hearer of an accusation looks for itself: enough do, however many hear it."""
        return 3 * max(1, self.needed(member)) / self._ctx.members.live

    def needed(self, member: Member) -> int:
        """Lifeguard's k: who could still confirm, at most suspicion_mult - 2."""
        assert member.suspicion is not None
        members = self._ctx.members
        unsuspected = members.live - len(members.suspects)  # myself among them; the accused is not
        accuser = members.get(member.suspicion.accuser)
        mine = member.suspicion.accuser == self._ctx.me.peer
        besides = unsuspected - (1 if mine or (accuser is not None and accuser.state == "alive") else 0)
        return max(0, min(self._ctx.options.confirmations_max, besides))

    def accuse(self, member: Member, now_s: float, *, refused: bool) -> None:
        """This peer got no answer from `member`; `refused`: its host says that nobody listens there."""
        me, apart_s, grace_s = self._ctx.me.peer, self._ctx.options.refusals_apart_s, self._ctx.options.refusal_grace_s
        accusation, known = Suspect(member.peer, member.run_epoch, member.incarnation, me, refused), member.suspicion
        self.suspect(accusation, now_s)
        suspicion = member.suspicion
        if suspicion is not None and suspicion is known:
            self._ctx.broadcasts.put(accusation)  # again: the first may have gone to others that are down, or been lost
        if not refused or suspicion is None:
            return
        if suspicion.refused_at_s is None:
            suspicion.refused_at_s = now_s
        elif self.needed(member) == 0 and now_s - suspicion.refused_at_s >= apart_s - grace_s:
            self._die(member, now_s)

    def _accused(self, run_epoch: int, incarnation: int) -> None:
        me = self._ctx.me
        stale = run_epoch != me.run_epoch or incarnation < me.incarnation
        if not stale and incarnation < limits.EPOCH_MAX and not self._ctx.leaving:
            self._refute(incarnation)

    def _gone(self, run_epoch: int, incarnation: int) -> None:
        """This peer is held for gone. In a later run than its own: a copy of its data folder ran, or the folder is an older one
        put back; whoever that was has ended."""
        if run_epoch <= self._ctx.me.run_epoch:
            self._accused(run_epoch, incarnation)
        else:
            self._outlive(run_epoch)

    def _outlive(self, run_epoch: int) -> None:
        """Others know this peer in a run that its disk does not know of: it goes on in the next one, so that nothing that it held
        then is taken for held now."""
        if run_epoch < limits.EPOCH_MAX and not self._ctx.leaving:
            self._ctx.outlive(run_epoch)
            self._ctx.notice("member_outlived", "warning", peer=self._ctx.me.peer, run_epoch=self._ctx.me.run_epoch)

    def _refute(self, incarnation: int) -> None:
        self._ctx.say_again(incarnation=max(incarnation, self._ctx.me.incarnation) + 1)
        self._ctx.awareness.worse()
        self._ctx.notice("member_refuted", "debug", incarnation=self._ctx.me.incarnation)

    # ---- dead and left -----------------------------------------------------------------------------------------

    def dead(self, news: Dead, now_s: float) -> None:
        """A suspicion has run out somewhere."""
        if news.peer == self._ctx.me.peer:
            self._gone(news.run_epoch, news.incarnation)
            return
        member = self._ctx.members.get(news.peer)
        if member is None or member.state == "left" or (news.run_epoch, news.incarnation) < member.order:
            return
        if self._raise(member, news.run_epoch, news.incarnation) or member.up:
            self._go(member, news, "dead", now_s)

    def left(self, news: Left, now_s: float) -> None:
        """A member has said goodbye."""
        if news.peer == self._ctx.me.peer:
            self._gone(news.run_epoch, news.incarnation)
            return
        member = self._ctx.members.get(news.peer)
        if member is None or (news.run_epoch, news.incarnation) < member.order:
            return
        if self._raise(member, news.run_epoch, news.incarnation) or member.state != "left":
            self._go(member, news, "left", now_s)

    def _go(self, member: Member, news: Dead | Left, state: Literal["dead", "left"], now_s: float) -> None:
        was = member.state
        self._ctx.members.move(member, state, at_s=now_s)
        if was != state:
            self._ctx.broadcasts.put(news)
            self._ctx.changed(member)
            self._ctx.notice("member_left" if state == "left" else "member_died", peer=news.peer, was=was)

    def _raise(self, member: Member, run_epoch: int, incarnation: int) -> bool:
        """Stored incarnations never fall; whether this one rose."""
        if (run_epoch, incarnation) <= member.order:
            return False
        member.run_epoch, member.incarnation = run_epoch, incarnation
        return True

    def _die(self, member: Member, now_s: float) -> None:
        self.dead(Dead(member.peer, member.run_epoch, member.incarnation, self._ctx.me.peer), now_s)

    # ---- time --------------------------------------------------------------------------------------------------

    def ends_s(self, member: Member) -> float:
        """When the suspicion of `member` runs out, as things stand."""
        assert member.suspicion is not None
        shortest, longest = self._bounds()
        given = len(member.suspicion.confirmers)
        needed = self.needed(member)
        return member.suspicion.started_s + suspicion_timeout(
            confirmations=given, needed=needed, shortest_s=shortest, longest_s=longest
        )

    def _bounds(self) -> tuple[float, float]:
        options, live = self._ctx.options, self._ctx.members.live
        mult, max_mult = options.suspicion_mult, options.suspicion_max_mult
        return suspicion_bounds(live=live, mult=mult, max_mult=max_mult, interval_s=options.probe_interval_s)

    def _asks_s(self, suspicion: Suspicion) -> float:
        """When the accused is to be asked; never by a peer that is leaving."""
        return math.inf if self._ctx.leaving else suspicion.next_question_s(self._bounds()[0])

    def next_deadline(self) -> float | None:
        """The first suspicion to run out, or the first accused to be asked."""
        suspects = [(member, member.suspicion) for member in self._ctx.members.suspects.values() if member.suspicion is not None]
        return min((min(self._asks_s(one), self.ends_s(member)) for member, one in suspects), default=None)

    def on_deadline(self, now_s: float) -> None:
        """Declare dead whose time has run out; ask those who still have some whether they have refuted already."""
        for member in list(self._ctx.members.suspects.values()):
            if member.suspicion is None:
                continue
            if self.ends_s(member) <= now_s:
                self._die(member, now_s)
            elif self._asks_s(member.suspicion) <= now_s:
                self._question(member, member.suspicion, now_s)

    def _question(self, member: Member, suspicion: Suspicion, now_s: float) -> None:
        """Put the accusation to the accused: a refutation by gossip misses a few, who would hold to the accusation to its end.

        By datagram, and once per shortest suspicion over a stream too, which loss only slows down."""
        suspicion.asked += 1
        self._ctx.ask(member, "heal", now_s)
        if suspicion.asked % QUESTIONS == STREAM_QUESTION:
            self._ctx.stream(member, PushPull((member.news(),), (member.peer,), False))

    def postpone(self, seconds: float) -> None:
        """This peer slept: the accused could not be heard meanwhile, so their time stood still."""
        for member in self._ctx.members.suspects.values():
            if member.suspicion is not None:
                member.suspicion.started_s += seconds
