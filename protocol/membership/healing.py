"""Finding the others, again and again: seeds, the snapshot, and those held dead.

Decides whom to look for and how often, so that a joiner gets in through any seed and a partition of any length heals.
Refuses to know where candidates come from: they are addresses, and the seal decides who answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol import limits
from protocol.effects import Persist
from protocol.ids import Address, PeerId
from protocol.membership.context import ECHO_S, Context
from protocol.membership.echoes import Awaited
from protocol.membership.snapshot import KEY, write_snapshot
from protocol.membership.sync import Sync
from protocol.records import DropValue, PutValue
from protocol.wire.gossip import Ping

_SOONER = 1.5  # growth of the wait between attempts to join
_SETTLE_S = 1.0  # changes that come together are saved together


@dataclass(slots=True)
class _Seed:
    address: Address
    lasting: bool = False
    peer: PeerId | None = None  # who answered there last
    pulled_s: float = float("-inf")


class Healing:
    """Invariants: seeds are asked for ever, at most `limits.SEEDS_MAX` of them, and a lasting one gives way to lasting ones
    alone; one dead member is asked every 3 to 5 s,
    the least often asked first, among those the latest dead; a member down for 72 h is forgotten."""

    def __init__(self, context: Context, sync: Sync) -> None:
        self._ctx = context
        self._sync = sync
        self._seeds: dict[Address, _Seed] = {}
        self._mine: dict[Address, None] = {context.me.address: None}
        self._wait_s = context.options.join_first_s
        self._seeds_s: float | None = None
        self._dead_s: float | None = None
        self._save_s: float | None = None
        self._saved_s = float("-inf")
        self._saved = b""

    def start(self, now_s: float) -> None:
        """Begin to look after the dead."""
        self._dead_s = now_s + self._pause()

    def found(self, addresses: Iterable[Address], now_s: float, *, lasting: bool = False) -> None:
        """Candidates: gossip addresses, perhaps our own. New ones are asked at once."""
        for address in addresses:
            if address in self._seeds:
                self._seeds[address].lasting |= lasting
            elif address not in self._mine and self._make_room(lasting):
                self._seeds[address] = _Seed(address, lasting)
                self._wait_s, self._seeds_s = self._ctx.options.join_first_s, now_s

    def _make_room(self, lasting: bool) -> bool:
        """For one more seed: the one that was asked or found longest ago goes, a lasting one only for another such."""
        if len(self._seeds) >= limits.SEEDS_MAX:
            oldest = next((seed for seed in self._seeds.values() if not seed.lasting), None)
            if oldest is None and lasting:
                oldest = next(iter(self._seeds.values()))
            if oldest is None:
                return False
            del self._seeds[oldest.address]
        return True

    def is_me(self, address: Address) -> None:
        """Our own ping came back from there: a seed that names ourselves."""
        if len(self._mine) < limits.SEEDS_MAX:
            self._mine[address] = None
        self._seeds.pop(address, None)

    def joined(self, peer: PeerId, address: Address, mesh_port: int, now_s: float) -> None:
        """A seed has answered: exchange everything over its mesh port."""
        seed = self._seeds.get(address)
        if seed is None or (seed.peer == peer and now_s - seed.pulled_s < self._ctx.options.retry_least_s):
            return
        seed.peer, seed.pulled_s = peer, now_s
        member = self._ctx.members.get(peer)
        if member is not None:
            self._sync.pull(member)
        else:
            self._sync.pull_at(peer, Address(address.host, mesh_port))

    def healed(self, peer: PeerId) -> None:
        """A member held dead has answered: exchange everything, so that both sides' news meet."""
        member = self._ctx.members.get(peer)
        if member is not None and member.state == "dead":
            self._sync.pull(member)

    def forget_all(self) -> None:
        """An explicit leave: no snapshot is left for the next start."""
        self._saved, self._save_s = b"", None
        self._ctx.emit(Persist((DropValue(KEY),)))

    def arm(self, now_s: float) -> None:
        """After each step: changed addresses are saved soon."""
        if self._ctx.address_changed and self._save_s is None:
            self._save_s = max(now_s + _SETTLE_S, self._saved_s + self._ctx.options.snapshot_s)
        self._ctx.address_changed = False

    def next_deadline(self) -> float | None:
        """The next look, or the next save."""
        times = (self._seeds_s if self._seeds else None, self._dead_s, self._save_s)
        return None if self._ctx.leaving else min((at_s for at_s in times if at_s is not None), default=None)

    def on_deadline(self, now_s: float) -> None:
        """Ask seeds, ask one of the dead, save."""
        if self._ctx.leaving:
            return
        if self._seeds and self._seeds_s is not None and self._seeds_s <= now_s:
            self._ask_seeds(now_s)
        if self._dead_s is not None and self._dead_s <= now_s:
            self._dead_s = now_s + self._pause()
            self._ask_one_dead(now_s)
        if self._save_s is not None and self._save_s <= now_s:
            self._save(now_s)

    def _ask_seeds(self, now_s: float) -> None:
        """Those behind which nobody is known to live: some at first and while alone, later one at a time."""
        joining = self._wait_s < self._ctx.options.retry_least_s
        missing = self._missing()
        for seed in missing[: limits.SEEDS_ASKED_AT_ONCE if joining or not self._ctx.members.up_count else 1]:
            self._seeds[seed.address] = self._seeds.pop(seed.address)  # to the end of the queue
            seq = self._ctx.token()
            self._ctx.echoes.expect(seq, Awaited("join", (), now_s + ECHO_S, seed.address))
            self._ctx.datagram(None, seed.address, Ping(seq, None), self._ctx.me)
            if not joining and not self._ctx.members.up_count:  # perhaps datagrams are blocked here
                self._sync.pull_from_seed(seed.address)
        self._seeds_s = now_s + (self._wait_s if joining else self._pause())
        self._wait_s = min(self._wait_s * _SOONER, self._ctx.options.retry_least_s)

    def _missing(self) -> list[_Seed]:
        lived_at = {member.address for member in self._ctx.members.up()}
        return [seed for seed in self._seeds.values() if seed.address not in lived_at and not self._is_up(seed.peer)]

    def _is_up(self, peer: PeerId | None) -> bool:
        member = None if peer is None else self._ctx.members.get(peer)
        return member is not None and member.up

    def _ask_one_dead(self, now_s: float) -> None:
        down = list(self._ctx.members.down())
        for member in down:
            if now_s - member.since_s > limits.DEAD_FORGOTTEN_S:
                self._ctx.forget(member)
        dead = [one for one in down if one.state == "dead" and now_s - one.since_s <= limits.DEAD_FORGOTTEN_S]
        if dead:
            member = min(dead, key=lambda one: (one.retries, -one.since_s))
            member.retries += 1
            self._ctx.ask(member, "heal", now_s)

    def _save(self, now_s: float) -> None:
        self._save_s, self._saved_s = None, now_s
        dead = [member.address for member in self._ctx.members.down() if member.state == "dead"]
        data = write_snapshot([*sorted(member.address for member in self._ctx.members.up()), *reversed(dead)])
        if data != self._saved and (self._ctx.members.up_count or dead):
            self._saved = data
            self._ctx.emit(Persist((PutValue(KEY, data),)))

    def _pause(self) -> float:
        return self._ctx.random.uniform(self._ctx.options.retry_least_s, self._ctx.options.retry_most_s)
