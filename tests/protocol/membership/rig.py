"""One peer under test, and what the others may say to it."""

from __future__ import annotations

from random import Random
from typing import Any, Self

from protocol.effects import SendDatagram
from protocol.events import Booted, DatagramReceived, StreamReceived
from protocol.ids import Address, PeerId
from protocol.membership.options import LAN, SwimOptions
from protocol.membership.swim import Swim
from protocol.wire.gossip import Ack, Alive, DatagramMessage, Ping
from tests.playbook import Playbook

ME, A, B, C, D = (PeerId(char * 64) for char in "0abcd")
SALT = b"s" * 16


def at(peer: PeerId) -> Address:
    return Address(f"10.0.0.{int(peer[0], 16) + 1}", 7_000)


def alive(peer: PeerId, incarnation: int = 1, *, epoch: int = 1, **changes: Any) -> Alive:
    values: dict[str, Any] = {
        "nonce": peer[:16].encode()[:8],
        "address": at(peer),
        "mesh_port": 7_001,
        "meta": b"m",
        "versions": (1, 1),
    }
    return Alive(peer=peer, run_epoch=epoch, incarnation=incarnation, **(values | changes))


def mine(incarnation: int = 1, *, epoch: int = 5, **changes: Any) -> Alive:
    return alive(ME, incarnation, epoch=epoch, **({"nonce": b"my-nonce"} | changes))


class Talk(Playbook):
    """The others answer every ping that goes out while time passes, except those that are `silent`."""

    def __init__(self, machine: Any) -> None:
        super().__init__(machine)
        self.silent: tuple[PeerId, ...] = ()
        self._answered = 0

    def wait(self, seconds: float) -> Self:
        end_s = self.now_s + seconds
        self._answer()
        while (due_s := self.machine.next_deadline()) is not None and due_s <= end_s:
            super().wait(max(0.0, due_s - self.now_s))
            self._answer()
        super().wait(end_s - self.now_s)
        return self

    def _answer(self) -> None:
        for ping in sent(self, Ping):
            if ping.seq > self._answered and ping.target is not None and ping.target not in self.silent:
                self.feed(says(ping.target, Ack(ping.seq, 7_001)))
            self._answered = max(self._answered, ping.seq)


def swim(options: SwimOptions = LAN, *, seed: int = 1, boot: bool = True, values: dict[str, bytes] | None = None) -> Talk:
    tokens = iter(range(2**40, 2**41))
    machine = Swim(
        me=ME,
        address=at(ME),
        mesh_port=7_001,
        run_epoch=5,
        nonce=b"my-nonce",
        meta=b"m",
        options=options,
        random=Random(seed),
        token=lambda: next(tokens),
    )
    book = Talk(machine)
    if boot:
        book.feed(Booted((), values or {}))
    return book


def knowing(*peers: PeerId, options: SwimOptions = LAN, seed: int = 1) -> Talk:
    """A peer that knows these, with nothing left over."""
    book = swim(options, seed=seed)
    for peer in peers:
        book.feed(says(peer, alive(peer)))
    book.forget()
    return book


def says(sender: PeerId, *messages: DatagramMessage, trusted: bool = True, salt: bytes = SALT) -> DatagramReceived:
    return DatagramReceived(sender, at(sender), trusted, messages, salt)


def streams(sender: PeerId, message: Any) -> StreamReceived:
    return StreamReceived(sender, message)


def state(book: Playbook, peer: PeerId) -> str:
    return next((view.state for view in book.machine.members() if view.peer == peer), "unknown")


def incarnation(book: Playbook, peer: PeerId = ME) -> int:
    return next(view.incarnation for view in book.machine.members() if view.peer == peer)


def sent(book: Playbook, kind: type[Any], *, to: PeerId | None = None) -> list[Any]:
    """Messages of one kind in the datagrams that went out, all or those to one peer's address."""
    datagrams = [effect for effect in book.out if isinstance(effect, SendDatagram) and (to is None or effect.address == at(to))]
    return [message for datagram in datagrams for message in datagram.messages if isinstance(message, kind)]


def next_ping(book: Talk, *, to: PeerId | None = None, within_s: float = 30.0) -> tuple[PeerId, Ping]:
    """Let time pass until a member (perhaps a certain one) is pinged: whom, and the ping. It stays unanswered."""
    book.silent = (A, B, C, D) if to is None else (to,)
    end_s = book.now_s + within_s
    while book.now_s < end_s:
        for ping in sent(book, Ping):
            if ping.target is not None and (to is None or ping.target == to):
                return ping.target, ping
        due_s = book.machine.next_deadline()
        assert due_s is not None
        book.wait(max(0.0, due_s - book.now_s))
    raise AssertionError(f"no ping within {within_s} s")


def answer(book: Playbook, peer: PeerId, ping: Ping) -> Playbook:
    return book.feed(says(peer, Ack(ping.seq, 7_001)))
