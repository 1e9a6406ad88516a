"""Keys reach every peer, a revocation wins in every order, and nothing is said before it is on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.access.access import KEY_PREFIX, Access
from protocol.access.keys import KeyRecord
from protocol.access.roles import ROLES
from protocol.effects import Notice, Persist, Reply
from protocol.errors import Conflict, Invalid, NotFound
from protocol.events import Booted, KeyCreateAsked, KeyRevokeAsked, StreamReceived
from protocol.ids import Address, PeerId, RequestId
from protocol.kernel import Now
from protocol.records import PutValue
from protocol.signals import MemberChanged, MemberState, Send
from protocol.wire.codec import decode, encode
from protocol.wire.work import AccessRoot, AccessRows

ASK = RequestId("r1")


def peer_id(number: int) -> PeerId:
    return PeerId(f"{number:064x}")


def at(seconds: float) -> Now:
    return Now(seconds, 1_700_000_000_000 + int(1000 * seconds))


def member(number: int, state: MemberState = "alive") -> MemberChanged:
    return MemberChanged(peer_id(number), state, 1, Address("127.0.0.1", 7000 + number), 8000 + number, b"")


def create(key: str, *, role: str = "submitter", name: str = "alice", hash_: bytes = bytes(32)) -> KeyCreateAsked:
    return KeyCreateAsked(ASK, key, hash_, name, next(one for one in ROLES if one == role))


def key(number: int) -> str:
    """Ids that fall into different buckets."""
    return f"{number % 16:x}{number:015x}"


@dataclass
class Site:
    """One machine with its disk; `outbox` is what it has said to others, in order."""

    number: int
    machine: Access
    disk: dict[str, bytes] = field(default_factory=dict)
    outbox: list[Send] = field(default_factory=list)
    replies: list[object] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, number: int, disk: dict[str, bytes] | None = None) -> Site:
        site = cls(number, Access(me=peer_id(number), random=Random(number)), disk or {})
        site.take(site.machine.handle(Booted((), site.disk), at(0)))
        return site

    def take(self, outputs: list) -> None:
        for output in outputs:
            match output:
                case Persist(records):
                    self.disk.update({record.key: record.value for record in records if isinstance(record, PutValue)})
                case Send():
                    self.outbox.append(output)
                case Reply(_, value):
                    self.replies.append(value)
                case Notice():
                    self.notices.append(output.event)

    def tell(self, event: object, seconds: float = 0.0) -> None:
        self.take(self.machine.handle(event, at(seconds)))  # type: ignore[arg-type]

    def ask(self, event: object) -> object:
        self.tell(event)
        return self.replies[-1]


class Mesh:
    """Sites that all see one another; messages pass through the codec."""

    def __init__(self, count: int) -> None:
        self.sites = {peer_id(number): Site.start(number) for number in range(count)}
        for one in self.sites.values():
            for two in self.sites.values():
                if one is not two:
                    one.tell(member(two.number))
        self.deliver()

    def deliver(self, keep: Random | None = None) -> None:
        """Everything that is under way; with `keep` half of it is lost."""
        while any(site.outbox for site in self.sites.values()):
            for site in self.sites.values():
                for send in (sent := list(site.outbox)):
                    if keep is None or keep.random() < 0.5:
                        message = decode(encode(send.message))
                        self.sites[send.peer].tell(StreamReceived(peer_id(site.number), message))
                del site.outbox[: len(sent)]

    def rounds(self, count: int, start: float) -> float:
        for step in range(count):
            start += 2 * limits.ACCESS_ROUND_S
            for site in self.sites.values():
                site.take(site.machine.on_deadline(at(start)))
            self.deliver()
            del step
        return start

    def views(self) -> list[list[KeyRecord]]:
        return [site.machine.records() for site in self.sites.values()]


def test_a_key_is_on_the_disk_before_it_is_told_or_answered():
    site = Site.start(0)
    site.tell(member(1))
    outputs = site.machine.handle(create(key(1)), at(1))
    kinds = [type(output) for output in outputs]
    assert kinds == [Persist, Send, Reply, Notice]
    assert isinstance(outputs[0], Persist)
    assert [record.key for record in outputs[0].records if isinstance(record, PutValue)] == [f"{KEY_PREFIX}{key(1)}"]


def test_keys_and_revocations_outlive_a_restart():
    site = Site.start(0)
    site.tell(create(key(1), role="admin"))
    site.tell(create(key(2)))
    site.tell(KeyRevokeAsked(ASK, key(2)))
    again = Site.start(0, site.disk)
    assert again.machine.records() == site.machine.records()
    revoked = again.machine.record(key(2))
    assert revoked is not None
    assert revoked.revoked


def test_a_row_that_cannot_be_read_opens_no_door():
    site = Site.start(0, {f"{KEY_PREFIX}{key(1)}": b"\xff", "other": b"kept"})
    assert site.machine.records() == []
    assert site.notices == ["key_unreadable"]


def test_a_new_key_reaches_every_peer_at_once():
    mesh = Mesh(4)
    mesh.sites[peer_id(0)].tell(create(key(1)))
    mesh.deliver()
    assert all([record.id for record in view] == [key(1)] for view in mesh.views())
    assert all(site.disk.keys() == {f"{KEY_PREFIX}{key(1)}"} for site in mesh.sites.values())


def test_a_large_mesh_agrees_within_a_few_rounds():
    mesh = Mesh(40)
    mesh.sites[peer_id(0)].tell(create(key(1)))
    mesh.deliver()
    mesh.rounds(6, 1.0)
    assert all(len(view) == 1 for view in mesh.views())


def test_a_peer_that_comes_later_learns_all_keys():
    old = Site.start(0)
    for number in range(40):
        old.tell(create(key(number)))
    new = Site.start(1)
    assert not new.machine.synced
    mesh = Mesh(0)
    mesh.sites = {peer_id(0): old, peer_id(1): new}
    new.tell(member(0))
    mesh.deliver()
    assert new.machine.records() == old.machine.records()
    assert new.machine.synced


def test_two_peers_without_keys_know_that_they_agree():
    mesh = Mesh(2)
    assert all(site.machine.synced for site in mesh.sites.values())
    assert not Site.start(3).machine.synced


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=30))
def test_in_any_order_and_with_losses_all_peers_agree_and_a_revocation_wins(seed: int, steps: list[tuple[int, int, bool]]):
    mesh, dice = Mesh(4), Random(seed)
    mesh.sites[peer_id(0)].tell(create("f" * 16, role="admin", name="root"))
    revoked: set[str] = set()
    for where, number, revokes in steps:
        site = mesh.sites[peer_id(where)]
        site.tell(KeyRevokeAsked(ASK, key(number)) if revokes else create(key(number)))
        answer = site.replies[-1]
        if isinstance(answer, KeyRecord) and answer.revoked:
            revoked.add(answer.id)
        mesh.deliver(dice)
    mesh.rounds(12, 1.0)
    views = mesh.views()
    assert all(view == views[0] for view in views)
    assert {record.id for record in views[0] if record.revoked} >= revoked


def test_rows_that_come_again_change_nothing_and_are_not_passed_on():
    site = Site.start(0)
    site.tell(member(1))
    site.outbox.clear()
    record = KeyRecord(key(1), "alice", "viewer", bytes(32), 5)
    site.tell(StreamReceived(peer_id(1), AccessRows((record, record))))
    kept = dict(site.disk)
    assert site.machine.handle(StreamReceived(peer_id(1), AccessRows((record,))), at(1)) == []
    assert site.disk == kept
    assert site.outbox == []


def test_equal_peers_say_nothing_more():
    mesh = Mesh(2)
    mesh.sites[peer_id(0)].tell(create(key(1)))
    mesh.deliver()
    roots = mesh.sites[peer_id(0)].machine.roots()
    assert mesh.sites[peer_id(1)].machine.handle(StreamReceived(peer_id(0), AccessRoot(roots, reply=True)), at(1)) == []


def test_only_what_differs_is_sent():
    site = Site.start(0)
    for number in range(32):
        site.tell(create(key(number)))
    theirs = list(site.machine.roots())
    theirs[5] = bytes(8)
    outputs = site.machine.handle(StreamReceived(peer_id(1), AccessRoot(tuple(theirs), reply=False)), at(1))
    assert [output.message for output in outputs if isinstance(output, Send)] == [
        AccessRows(tuple(record for record in site.machine.records() if record.id[0] == "5"))
    ]


def test_revoking_is_by_id_or_by_the_name_that_is_clear():
    site = Site.start(0)
    site.tell(create(key(1), name="alice"))
    site.tell(create(key(2), name="bob"))
    site.tell(create(key(3), name="bob"))
    ambiguous = site.ask(KeyRevokeAsked(ASK, "bob"))
    assert isinstance(ambiguous, Conflict)
    assert key(2) in ambiguous.message
    assert isinstance(site.ask(KeyRevokeAsked(ASK, "carol")), NotFound)
    first = site.ask(KeyRevokeAsked(ASK, "alice"))
    assert isinstance(first, KeyRecord)
    assert first.revoked
    assert site.ask(KeyRevokeAsked(ASK, key(1))) == first
    second = site.ask(KeyRevokeAsked(ASK, key(2)))
    assert isinstance(second, KeyRecord)
    assert site.ask(KeyRevokeAsked(ASK, "bob")) == site.machine.record(key(3))


def test_the_last_admin_key_is_not_revoked():
    site = Site.start(0)
    site.tell(create(key(1), role="admin", name="one"))
    refused = site.ask(KeyRevokeAsked(ASK, "one"))
    assert isinstance(refused, Conflict)
    assert refused.code == "last_admin_key"
    site.tell(create(key(2), role="admin", name="two"))
    assert isinstance(site.ask(KeyRevokeAsked(ASK, "one")), KeyRecord)


def test_asking_again_for_the_same_key_is_harmless_and_another_one_is_refused():
    site = Site.start(0)
    made = site.ask(create(key(1)))
    assert site.ask(create(key(1))) == made
    assert isinstance(site.ask(create(key(1), hash_=b"x" * 32)), Conflict)
    site.tell(create(key(2), role="admin"))
    site.tell(KeyRevokeAsked(ASK, key(1)))
    assert isinstance(site.ask(create(key(1))), Conflict)


@pytest.mark.parametrize("name", ["", "a\nb", f"mk_{'0' * 16}_{'1' * 40}", "x" * 65])
def test_a_bad_name_is_refused_and_not_repeated(name: str):
    refused = Site.start(0).ask(create(key(1), name=name))
    assert isinstance(refused, Invalid)
    assert not name or name not in refused.message


def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "KEYS_MAX", 3)
    site = Site.start(0)
    for number in range(3):
        assert isinstance(site.ask(create(key(number))), KeyRecord)
    assert isinstance(site.ask(create(key(9))), Conflict)
    more = tuple(KeyRecord(key(number), "x", "admin", bytes(32), 1) for number in range(10, 20))
    known = KeyRecord(key(1), "alice", "submitter", bytes(32), at(0).wall_ms, revoked=True)
    site.tell(StreamReceived(peer_id(1), AccessRows((*more, known))))
    assert [record.id for record in site.machine.records()] == [key(0), key(1), key(2)]
    assert site.machine.record(key(1)) == known


def test_nobody_is_asked_when_nobody_is_there():
    site = Site.start(0)
    assert site.machine.next_deadline() is None
    site.tell(member(1))
    assert site.machine.next_deadline() == limits.ACCESS_ROUND_S
    site.tell(member(1, "dead"))
    assert site.machine.on_deadline(at(10)) == []
    assert site.machine.next_deadline() is None
    site.tell(member(1), 11)
    assert site.machine.next_deadline() == 11 + limits.ACCESS_ROUND_S


def test_whoever_asks_and_knows_more_tells_it_too():
    old, new = Site.start(0), Site.start(1)
    old.tell(create(key(1)))
    mesh = Mesh(0)
    mesh.sites = {peer_id(0): old, peer_id(1): new}
    old.tell(member(1))  # the new one has not heard of the old one yet
    mesh.deliver()
    assert new.machine.records() == old.machine.records()
