"""Peers that come and go by the thousand leave nothing behind once membership has forgotten them, whatever they have said."""

from __future__ import annotations

import gc
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest

from protocol import limits
from protocol.cards import CARD_KEY, card_to_bytes
from protocol.events import DatagramReceived, StreamReceived
from protocol.ids import Address, JobId, PeerId
from protocol.kernel import Now
from protocol.node import Node
from protocol.services import CHECK_PREFIX, SERVICE_PREFIX, CheckRow, Service, check_to_bytes, service_to_bytes
from protocol.summaries import job_key, summary_to_bytes
from protocol.wire.gossip import Alive, DatagramMessage, Left
from protocol.wire.work import AccessRoot, CatalogDelta, CatalogVersions, Steal
from tests.protocol.making import card, job_view
from tests.protocol.test_node import begin

WAVE, SILENT, WAVES = 100, 10, 100
HOUR_S = 3_600.0
STAYS_S = 60.0
GROWTH = 10 * WAVE  # objects by which a part may differ: what it keeps up to a limit goes up and down


class Passing:
    """A node that peers pass by, in waves; each wave is forgotten before the next one comes."""

    def __init__(self) -> None:
        self.node: Node = begin()
        self.now_s = 100.0
        self.came = 0

    def now(self) -> Now:
        return Now(self.now_s, 1_700_000_000_000)

    def heard(self, peer: PeerId, *messages: DatagramMessage) -> None:
        source = Address("10.0.0.1", 7400)
        self.node.handle(DatagramReceived(peer, source, True, messages, peer[:16].encode()), self.now())

    def comes(self, number: int) -> PeerId:
        """One peer joins, says all that a peer can say, and asks for work."""
        peer, job = PeerId(f"{number:064x}"), JobId(f"{number:032x}")
        self.heard(peer, Alive(peer, 1, 1, f"{number:08}".encode(), Address("10.0.0.1", number), 7401, b"meta", (1, 1)))
        rows = {
            CARD_KEY: card_to_bytes(card(name=f"peer {number}")),
            f"{SERVICE_PREFIX}web": service_to_bytes(Service("web", f"web {number}", port=80)),
            f"{CHECK_PREFIX}up": check_to_bytes(CheckRow("up", "up", "passing", service="web")),
            job_key(job): summary_to_bytes(job_view(job, owner=peer, state="completed")),
        }
        records = tuple((peer, at, key, value) for at, (key, value) in enumerate(rows.items(), start=1))
        self.streamed(peer, CatalogDelta(((peer, 1, 0, len(rows)),), records))
        self.streamed(peer, AccessRoot(self.node.access.roots(), reply=True))
        self.streamed(peer, Steal(1, 1, (), (), (), ()))
        self.came += 1
        return peer

    def streamed(self, peer: PeerId, message: CatalogDelta | AccessRoot | CatalogVersions | Steal) -> None:
        self.node.handle(StreamReceived(peer, message), self.now())

    def wave(self) -> None:
        """Some come, stay for a minute, leave or are missed, and are forgotten after three days."""
        began_s = self.now_s
        peers = [self.comes(1 + self.came) for _ in range(WAVE)]
        self.wait(STAYS_S)
        assert len(self.node.peers()) > WAVE
        for peer in peers[SILENT:]:
            self.heard(peer, Left(peer, 1, 1))
        while self.node.roster.live() != [self.node.me]:
            self.wait(STAYS_S)
            assert self.now_s < began_s + HOUR_S, "the silent are not missed"
        assert len(self.node.jobs()) == WAVE
        self.now_s += limits.DEAD_FORGOTTEN_S
        self.wait(STAYS_S)

    def wait(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while (due_s := self.node.next_deadline()) is not None and due_s <= until_s:
            self.now_s = max(due_s, self.now_s)
            self.node.on_deadline(self.now())
        self.now_s = max(self.now_s, until_s)


def held(root: object) -> int:
    """How many objects are held by a machine and nobody else: what code and classes are made of does not count."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType | BuiltinFunctionType):
            continue
        seen[id(one)] = one
        waiting.extend(gc.get_referents(one))
    return len(seen)


def machines(node: Node) -> dict[str, object]:
    parts = ("swim", "catalog", "roster", "board", "directory", "keyring", "access", "thief", "dispatcher", "delivery", "ledger")
    return {part: getattr(node, part) for part in parts}


@pytest.mark.timeout(300)
def test_ten_thousand_peers_that_came_and_went_leave_as_much_behind_as_five_hundred(monkeypatch: pytest.MonkeyPatch):
    for name in ("ECHOES_AWAITED_MAX", "DIRECTORY_TOPICS_MAX"):  # what is kept up to a limit reaches it at once
        monkeypatch.setattr(limits, name, WAVE)
    passing = Passing()
    for _ in range(5):
        passing.wave()
    before = {part: held(machine) for part, machine in machines(passing.node).items()}
    for _ in range(WAVES - 5):
        passing.wave()
    after = {part: held(machine) for part, machine in machines(passing.node).items()}
    assert passing.came == WAVE * WAVES == 10_000
    assert passing.node.jobs() == []
    assert [view.id for view in passing.node.peers()] == [passing.node.me]
    grown = {part: after[part] - before[part] for part in before}
    assert {part: more for part, more in grown.items() if more > GROWTH} == {}


def test_what_was_forgotten_does_not_come_back_from_whoever_forgets_it_later():
    passing = Passing()
    passing.wave()
    friend, gone = passing.comes(7_777), PeerId(f"{1:064x}")
    rows = ((gone, 1, CARD_KEY, card_to_bytes(card(name="gone"))),)
    for _ in range(3):
        passing.streamed(friend, CatalogVersions(((gone, 1, 4), (friend, 1, 4)), reply=True))
        passing.streamed(friend, CatalogDelta(((gone, 1, 0, 4),), rows))
    assert {view.id for view in passing.node.peers()} == {passing.node.me, friend}
    assert passing.node.catalog.get(gone, CARD_KEY) is None
