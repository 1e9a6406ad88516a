"""Rotation and expulsion in virtual time: several peers, each with its disk and its sockets' ring, over streams that may fail."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import pytest

from protocol import limits
from protocol.effects import Notice, Persist, Reply, UseKeys
from protocol.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from protocol.events import Booted, DrainAsked, KeysAsked, KeysInUse, StreamReceived
from protocol.ids import Address, PeerId, RequestId
from protocol.kernel import Now
from protocol.keyring.keyring import Keyring
from protocol.keyring.state import fresh_ring, load_ring, stored_under
from protocol.records import PutValue
from protocol.signals import MemberChanged, MemberForgotten, MemberState, Send
from protocol.views import MeshKeysView
from protocol.wire import codec
from protocol.wire.keys import KeyGiven, KeysHeld
from protocol.wire.seal import KeyRing, MeshKey, Opened, Opener, Sealer, format_mesh_key

OLD, NEW, THIRD = (MeshKey(b"i" * 16, letter * 32) for letter in (b"o", b"n", b"t"))
ASK = RequestId("r1")


def peer_id(number: int) -> PeerId:
    return PeerId(f"{number:02x}" * 32)


def member(number: int, state: MemberState = "alive") -> MemberChanged:
    return MemberChanged(peer_id(number), state, 1, Address("10.0.0.1", 7_000), 7_001, b"")


@dataclass
class Site:
    """One peer. `sockets` is the ring that its datagrams and streams go by."""

    number: int
    machine: Keyring
    sockets: KeyRing
    disk: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[int, Any]] = field(default_factory=list)
    replies: list[Any] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    in_use: Callable[[int], None] = lambda version: None

    def fingerprints(self) -> list[str]:
        return [key.fingerprint for key in self.sockets.keys]


class Streets:
    """The world: streams between sites arrive unless `cut` says no; sockets take a ring over a moment later."""

    def __init__(self, count: int) -> None:
        self.now_s = 100.0
        self.sites: dict[int, Site] = {}
        self.cut: Callable[[int, int], bool] = lambda sender, receiver: False
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        for number in range(count):
            self.start(number, OLD)
        self.meet(*range(count))

    def start(self, number: int, configured: MeshKey, disk: dict[str, bytes] | None = None) -> Site:
        state, _ = load_ring(disk or {}, configured)
        ring = KeyRing(state.primary)
        ring.replace(state.ring)
        site = Site(number, Keyring(me=peer_id(number), state=state, random=Random(number)), ring, dict(disk or {}))
        self.sites[number] = site
        self.feed(number, Booted((), site.disk))
        return site

    def meet(self, *numbers: int, state: MemberState = "alive") -> None:
        for one in numbers:
            for other in numbers:
                if one != other:
                    self.feed(one, member(other, state))

    def feed(self, number: int, event: Any) -> None:
        site = self.sites[number]
        self._perform(site, site.machine.handle(event, self._now()))

    def order(self, number: int, action: Any, *, within_s: float = 30.0, **fields: Any) -> Any:
        """The answer to an order."""
        site = self.sites[number]
        before = len(site.replies)
        self.feed(number, KeysAsked(ASK, action, **fields))
        end_s = self.now_s + within_s
        while len(site.replies) == before and self.now_s < end_s:
            self.run(0.05)
        assert len(site.replies) == before + 1
        return site.replies[-1]

    def done(self, number: int, action: Any, **fields: Any) -> MeshKeysView:
        answer = self.order(number, action, **fields)
        assert isinstance(answer, MeshKeysView), answer
        return answer

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while True:
            due = [(at_s, number) for number, site in self.sites.items() if (at_s := site.machine.next_deadline()) is not None]
            first = min(due, default=(float("inf"), 0))
            step_s = self._heap[0][0] if self._heap else float("inf")
            if min(first[0], step_s) > end_s:
                break
            self.now_s = max(self.now_s, min(first[0], step_s))
            if step_s <= first[0]:
                heapq.heappop(self._heap)[2]()
            else:
                site = self.sites[first[1]]
                self._perform(site, site.machine.on_deadline(self._now()))
        self.now_s = end_s

    def hears(self, receiver: int, sender: int) -> bool:
        """Whether a datagram of one opens at the other, by the rings of their sockets."""
        sealer = Sealer(self.sites[sender].sockets, peer_id(sender), bytes(16))
        return isinstance(Opener(self.sites[receiver].sockets).open(sealer.seal(b"x")), Opened)

    def _now(self) -> Now:
        return Now(self.now_s, 0)

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (self.now_s + seconds, self._serial, step))

    def _perform(self, site: Site, outputs: list[Any]) -> None:
        for output in outputs:
            match output:
                case Persist(records):
                    site.disk |= {row.key: row.value for row in records if isinstance(row, PutValue)}
                case UseKeys(keys, version):
                    self._later(0.01, partial(self._swap, site, keys, version))
                case Send(peer, message):
                    self._send(site, int(peer[:2], 16), codec.decode(codec.encode(message)))
                case Reply(_, value):
                    site.replies.append(value)
                case Notice():
                    site.notices.append(output)
                case _:
                    raise AssertionError(output)

    def _swap(self, site: Site, keys: tuple[MeshKey, ...], version: int) -> None:
        site.sockets.replace(keys)
        self.feed(site.number, KeysInUse(version))

    def _send(self, site: Site, receiver: int, message: Any) -> None:
        site.sent.append((receiver, message))
        shared = {key.fingerprint for key in site.sockets.keys} & {key.fingerprint for key in self.sites[receiver].sockets.keys}
        if not self.cut(site.number, receiver) and shared:  # TLS: each must trust the other's authority
            self._later(0.005, lambda: self.feed(receiver, StreamReceived(peer_id(site.number), message)))


def secrets_sent(streets: Streets, *, to: int) -> list[bytes]:
    return [message.key for site in streets.sites.values() for number, message in site.sent if number == to and _is_key(message)]


def _is_key(message: Any) -> bool:
    return isinstance(message, KeyGiven)


def rotate(streets: Streets) -> MeshKeysView:
    streets.done(0, "install", key=format_mesh_key(NEW))
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    return streets.done(0, "remove", fingerprint=OLD.fingerprint)


# ---- a rotation ------------------------------------------------------------------------------------------------------


def test_a_rotation_reaches_everybody_and_every_step_says_who_has_confirmed() -> None:
    streets = Streets(4)
    seen = streets.done(0, "install", key=format_mesh_key(NEW))
    assert {row.fingerprint: (row.primary, row.holders, row.missing) for row in seen.keys} == {
        OLD.fingerprint: (True, 4, ()),
        NEW.fingerprint: (False, 4, ()),
    }
    seen = streets.done(1, "use", fingerprint=NEW.fingerprint)  # any peer takes any order
    assert [row.fingerprint for row in seen.keys if row.primary] == [NEW.fingerprint]
    seen = streets.done(2, "remove", fingerprint=OLD.fingerprint)
    assert (seen.removed, seen.unconfirmed) == ((OLD.fingerprint,), ())
    assert all(site.fingerprints() == [NEW.fingerprint] for site in streets.sites.values())


def test_at_no_moment_of_a_rotation_is_anybody_unheard() -> None:
    streets = Streets(4)
    for action, fields in [
        ("install", {"key": format_mesh_key(NEW)}),
        ("use", {"fingerprint": NEW.fingerprint}),
        ("remove", {"fingerprint": OLD.fingerprint}),
    ]:
        streets.feed(0, KeysAsked(ASK, action, **fields))  # type: ignore[arg-type]
        for _ in range(100):
            streets.run(0.003)
            assert all(streets.hears(one, other) for one in range(4) for other in range(4)), action
    assert all(site.fingerprints() == [NEW.fingerprint] for site in streets.sites.values())


def test_nothing_is_confirmed_before_it_is_on_the_disk_and_in_use() -> None:
    streets = Streets(2)
    site = streets.sites[1]
    streets.feed(1, StreamReceived(peer_id(0), KeyGiven(NEW.key, None)))
    assert stored_under(OLD) in site.disk
    assert site.sent == []
    streets.run(0.05)
    assert [message.keys for _, message in site.sent] == [tuple(sorted((OLD.fingerprint, NEW.fingerprint)))]


def test_a_restart_keeps_the_ring_whatever_the_setting_says() -> None:
    streets = Streets(3)
    rotate(streets)
    site = streets.start(2, OLD, streets.sites[2].disk)
    assert site.fingerprints() == [NEW.fingerprint]


def test_an_untouched_ring_says_nothing_and_stores_no_secret() -> None:
    streets = Streets(4)
    streets.run(600)
    assert all(site.sent == [] and site.disk == {} for site in streets.sites.values())


# ---- who was away ----------------------------------------------------------------------------------------------------


def test_who_was_away_hears_of_a_new_key_when_it_comes_back() -> None:
    streets = Streets(4)
    streets.cut = lambda sender, receiver: 3 in (sender, receiver)
    for number in range(3):
        streets.feed(number, member(3, "dead"))
    streets.done(0, "install", key=format_mesh_key(NEW))
    assert OLD.fingerprint in streets.sites[3].fingerprints()
    streets.cut = lambda sender, receiver: False
    for number in range(3):
        streets.feed(number, member(3))
    streets.run(3 * limits.KEYS_ROUND_S)
    assert sorted(streets.sites[3].fingerprints()) == sorted((OLD.fingerprint, NEW.fingerprint))


def test_a_key_that_somebody_has_not_got_is_not_used_unless_forced() -> None:
    streets = Streets(3)
    streets.cut = lambda sender, receiver: 2 in (sender, receiver)
    seen = streets.done(0, "install", key=format_mesh_key(NEW))
    assert seen.unconfirmed == (peer_id(2),)
    refusal = streets.order(0, "use", fingerprint=NEW.fingerprint)
    assert isinstance(refusal, Conflict)
    assert (refusal.code, peer_id(2)[:8] in refusal.message) == ("key_not_held", True)
    assert streets.sites[1].sockets.primary == OLD
    streets.done(0, "use", fingerprint=NEW.fingerprint, force=True)
    assert streets.sites[1].sockets.primary == NEW


def test_a_key_that_somebody_still_uses_is_not_removed_and_that_one_is_named_even_when_it_is_dead() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(NEW))
    streets.cut = lambda sender, receiver: 2 in (sender, receiver)
    streets.feed(0, member(2, "dead"))
    streets.feed(1, member(2, "dead"))
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    refusal = streets.order(0, "remove", fingerprint=OLD.fingerprint)
    assert isinstance(refusal, Conflict)
    assert (refusal.code, peer_id(2)[:8] in refusal.message) == ("key_in_use", True)
    streets.feed(0, member(2, "left"))  # it will not come back
    streets.done(0, "remove", fingerprint=OLD.fingerprint)


def test_the_forgotten_are_waited_for_no_longer() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(NEW))
    streets.cut = lambda sender, receiver: 2 in (sender, receiver)
    for number in (0, 1):
        streets.feed(number, member(2, "dead"))
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    assert isinstance(streets.order(0, "remove", fingerprint=OLD.fingerprint), Conflict)
    streets.feed(0, MemberForgotten(peer_id(2)))
    streets.done(0, "remove", fingerprint=OLD.fingerprint)


def test_an_order_is_told_again_until_it_is_heard() -> None:
    streets = Streets(2)
    lost = iter([True] * 3)
    streets.cut = lambda sender, receiver: sender == 0 and next(lost, False)
    assert streets.done(0, "install", key=format_mesh_key(NEW)).unconfirmed == ()


def test_a_stranded_peer_gets_back_in_by_the_new_key_in_its_settings() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(THIRD))  # so that there is something on its disk
    streets.cut = lambda sender, receiver: 2 in (sender, receiver)
    for number in (0, 1):
        streets.feed(number, member(2, "left"))
    streets.done(0, "install", key=format_mesh_key(NEW))
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    streets.done(0, "remove", fingerprint=OLD.fingerprint)
    streets.done(0, "remove", fingerprint=THIRD.fingerprint)
    streets.cut = lambda sender, receiver: False
    assert not streets.hears(0, 2)
    streets.start(2, NEW, streets.sites[2].disk)
    assert streets.hears(0, 2)
    streets.meet(0, 1, 2)
    streets.run(2 * limits.KEYS_ROUND_S)
    assert streets.sites[2].fingerprints() == [NEW.fingerprint]


# ---- removed, refused ------------------------------------------------------------------------------------------------


def test_a_removed_key_is_refused_from_orders_peers_and_settings() -> None:
    streets = Streets(2)
    rotate(streets)
    refusal = streets.order(0, "install", key=format_mesh_key(OLD))
    assert isinstance(refusal, Invalid)
    assert refusal.code == "key_removed"
    streets.feed(0, StreamReceived(peer_id(1), KeyGiven(OLD.key, None)))
    assert streets.sites[0].fingerprints() == [NEW.fingerprint]
    assert streets.sites[0].notices[-1].event == "mesh_key_refused"
    assert load_ring(streets.sites[0].disk, OLD)[0].ring == (NEW,)


def test_the_key_that_seals_is_not_removed_and_the_last_one_stays() -> None:
    streets = Streets(2)
    assert getattr(streets.order(0, "remove", fingerprint=OLD.fingerprint), "code", "") == "primary_key"
    streets.feed(1, StreamReceived(peer_id(0), KeysHeld((), (9, NEW.fingerprint), (OLD.fingerprint,), False)))
    streets.run(1)
    assert streets.sites[1].fingerprints() == [OLD.fingerprint]


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"action": "use", "fingerprint": "0" * 16}, NotFound, "no_such_key"),
        ({"action": "remove", "fingerprint": "nonsense"}, NotFound, "no_such_key"),
        ({"action": "install", "key": "nonsense"}, Invalid, "bad_mesh_key"),
        ({"action": "install", "key": format_mesh_key(MeshKey(b"x" * 16, b"k" * 32))}, Invalid, "other_mesh"),
        ({"action": "install", "key": format_mesh_key(NEW), "expel": (peer_id(0),)}, Invalid, "own_peer"),
        ({"action": "install", "key": format_mesh_key(OLD), "expel": (peer_id(1),)}, Conflict, "key_known"),
    ],
)
def test_a_wrong_order_is_refused_and_changes_nothing(fields: dict[str, Any], kind: type[Refusal], code: str) -> None:
    streets = Streets(2)
    streets.feed(0, KeysAsked(ASK, **fields))
    (refusal,) = streets.sites[0].replies
    assert isinstance(refusal, kind)
    assert (refusal.code, streets.sites[0].machine.state) == (code, fresh_ring(OLD))


def test_orders_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_ASKS_MAX", 1)
    streets = Streets(2)
    streets.cut = lambda sender, receiver: True
    streets.feed(0, KeysAsked(ASK, "list"))
    assert isinstance(streets.order(0, "list"), Unavailable)
    streets.run(2 * limits.KEYS_CONFIRM_S)
    assert len(streets.sites[0].replies) == 2


def test_a_peer_without_a_key_of_its_own_takes_no_orders() -> None:
    machine = Keyring(me=peer_id(0), state=None, random=Random(1))
    (answer,) = machine.handle(KeysAsked(ASK, "list"), Now(0.0, 0))
    assert isinstance(answer, Reply)
    assert answer.value.code == "no_key_ring"
    assert machine.handle(StreamReceived(peer_id(1), KeyGiven(NEW.key, None)), Now(0.0, 0)) == []
    assert (machine.next_deadline(), machine.on_deadline(Now(0.0, 0))) == (None, [])


def test_alone_every_order_is_done_at_once() -> None:
    streets = Streets(1)
    assert rotate(streets).removed == (OLD.fingerprint,)
    streets.feed(0, DrainAsked(leave=False))  # nobody's concern here


def test_two_orders_that_contradict_each_other_end_in_one_ring() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(NEW))
    streets.feed(0, KeysAsked(ASK, "use", fingerprint=NEW.fingerprint))
    streets.feed(1, KeysAsked(ASK, "use", fingerprint=OLD.fingerprint))
    streets.run(3 * limits.KEYS_ROUND_S)
    assert len({site.sockets.primary for site in streets.sites.values()}) == 1


# ---- expulsion -------------------------------------------------------------------------------------------------------


def test_an_expelled_peer_is_given_nothing_and_is_out() -> None:
    streets = Streets(4)
    streets.done(0, "install", key=format_mesh_key(NEW), expel=(peer_id(3),))
    assert secrets_sent(streets, to=3) == []
    assert NEW.key in secrets_sent(streets, to=2)
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    assert streets.hears(3, 0) is False
    streets.done(0, "remove", fingerprint=OLD.fingerprint)
    streets.run(3 * limits.KEYS_ROUND_S)
    assert secrets_sent(streets, to=3) == []
    assert [streets.hears(number, 3) for number in range(3)] == [False] * 3
    assert streets.done(0, "list").unconfirmed == ()


def test_whoever_is_being_expelled_has_no_say_and_gets_nothing_by_asking() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(NEW), expel=(peer_id(2),))
    before = streets.sites[0].machine.state
    for message in (
        KeysHeld((OLD.fingerprint,), (0, OLD.fingerprint), (), True),
        KeysHeld((OLD.fingerprint,), (99, OLD.fingerprint), (NEW.fingerprint,), True),
        KeyGiven(THIRD.key, None),
    ):
        streets.feed(0, StreamReceived(peer_id(2), message))
    streets.run(2 * limits.KEYS_ROUND_S)
    assert streets.sites[0].machine.state == before
    assert [number for number, _ in streets.sites[0].sent if number == 2] == []


def test_who_joins_with_the_new_key_after_an_expulsion_is_one_of_all() -> None:
    streets = Streets(3)
    streets.done(0, "install", key=format_mesh_key(NEW), expel=(peer_id(2),))
    streets.done(0, "use", fingerprint=NEW.fingerprint)
    streets.done(0, "remove", fingerprint=OLD.fingerprint)
    streets.start(4, NEW)
    streets.meet(0, 1, 4)
    seen = streets.done(0, "install", key=format_mesh_key(THIRD))
    assert (seen.unconfirmed, THIRD.fingerprint in streets.sites[4].fingerprints()) == ((), True)
