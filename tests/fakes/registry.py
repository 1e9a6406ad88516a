"""`peer.ports.Registry` over the real machines and a clock that tests move; no probe is ever made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from peer.bell import Bell
from peer.checktargets import CheckTargets
from protocol.cards import Check, PeerCard
from protocol.catalog.catalog import Catalog
from protocol.effects import Reply, RunCheck
from protocol.errors import Refusal, Unavailable
from protocol.events import CheckEnded, HealthAsked
from protocol.health.directory import Directory
from protocol.health.health import Health
from protocol.ids import PeerId, RequestId
from protocol.kernel import Now
from protocol.services import CheckRow, CheckSeen, Command, NodeSeen, ProtocolSeen, Service, ServiceSeen
from protocol.signals import CatalogChanged, MemberState, PeerChanged, Publish


class FakeRegistry:
    """What is published goes to the directories of `others` too. `probes` are those that were asked for and not answered."""

    datacenter = "default"

    def __init__(self, me: PeerId, name: str, *, run_epoch: int = 1) -> None:
        self.me = me
        self.health = Health(random=Random(1))
        self.directory = Directory(me=me, run_epoch=run_epoch)
        self.catalog = Catalog(me=me, run_epoch=run_epoch, random=Random(1))
        self.bell = Bell()
        self.targets = CheckTargets(own=frozenset)
        self.others: list[FakeRegistry] = []
        self.probes: list[RunCheck] = []
        self.now_s = 1_000.0
        self.joined: list[str] = []
        self.forced: list[PeerId] = []
        self.left = False
        self.spoken: dict[PeerId, ProtocolSeen] = {}
        self.refusal: Refusal | None = None
        self.card = PeerCard(name, f"http://127.0.0.1:{7700 + len(name)}", "1.0", checks=(Check("disk", "passing", "enough"),))
        self.see(me, "alive", self.card)

    @property
    def _now(self) -> Now:
        return Now(self.now_s, 0)

    def see(self, peer: PeerId, state: MemberState, card: PeerCard | None, *, run_epoch: int = 1) -> None:
        """Membership says something of a peer."""
        self._tell(PeerChanged(peer, state, run_epoch, "127.0.0.1", card))

    def _tell(self, signal: PeerChanged | CatalogChanged) -> None:
        self.directory.handle(signal, self._now)
        self.bell.ring(self.directory.index)

    def meet(self, other: FakeRegistry) -> None:
        """Both know each other, and what is published from now on."""
        for one, two in ((self, other), (other, self)):
            one.others.append(two)
            one.see(two.me, "alive", two.card)

    def pass_time(self, seconds: float) -> None:
        """Meet every deadline on the way."""
        end_s = self.now_s + seconds
        while (at := self.health.next_deadline()) is not None and at <= end_s:
            self.now_s = max(self.now_s, at)
            self._perform(self.health.on_deadline(self._now))
        self.now_s = end_s

    def answer(self, probe: RunCheck, ended: CheckEnded) -> None:
        """A probe has ended."""
        self.probes.remove(probe)
        self._perform(self.health.handle(ended, self._now))

    def _perform(self, outputs: Sequence[object]) -> Reply | None:
        reply = None
        for output in outputs:
            if isinstance(output, Publish):
                for registry in (self, *self.others):
                    registry._tell(CatalogChanged(self.me, output.key, output.value))
            elif isinstance(output, RunCheck):
                self.probes.append(output)
            elif isinstance(output, Reply):
                reply = output
        return reply

    # the port

    async def change(self, command: Command) -> None:
        if self.refusal is not None:
            raise self.refusal
        reply = self._perform(self.health.handle(HealthAsked(RequestId("r"), command), self._now))
        assert reply is not None
        if isinstance(reply.value, Refusal):
            raise reply.value

    def own_services(self) -> list[Service]:
        return self.health.services()

    def own_checks(self) -> list[CheckRow]:
        return [check.row for check in self.health.checks()]

    def members(self) -> list[NodeSeen]:
        return self.directory.members()

    def nodes(self) -> list[NodeSeen]:
        return self.directory.nodes()

    def node(self, text: str) -> NodeSeen | None:
        return self.directory.node(text)

    def services(self, node: NodeSeen) -> list[ServiceSeen]:
        return self.directory.services(node)

    def checks(self, node: NodeSeen) -> list[CheckSeen]:
        return self.directory.checks(node)

    def checks_of_all(self) -> Iterator[CheckSeen]:
        return self.directory.checks_of_all()

    def instances(self, name: str) -> list[ServiceSeen]:
        return self.directory.instances(name)

    def checks_for(self, instance: ServiceSeen) -> list[CheckSeen]:
        return self.directory.checks_for(instance)

    def names(self) -> dict[str, list[str]]:
        return self.directory.names()

    def leader(self) -> NodeSeen | None:
        return self.directory.leader()

    def protocols(self, peers: Sequence[PeerId]) -> list[ProtocolSeen]:
        return [self.spoken.get(peer, ProtocolSeen(1, 1, 1)) for peer in peers]

    def index_of(self, topic: str) -> int:
        return self.directory.index_of(topic)

    @property
    def index(self) -> int:
        return self.directory.index

    async def changed(self, timeout_s: float) -> None:
        await self.bell.wait(timeout_s)

    def close(self) -> None:
        self.bell.close()

    def target_refusal(self, host: str) -> str | None:
        return self.targets.literal_refusal(host)

    async def join(self, text: str) -> None:
        if text.startswith("nowhere"):
            raise Unavailable("join_failed", f"Failed to join {text}")
        self.joined.append(text)

    async def leave(self) -> None:
        self.left = True

    async def force_leave(self, peer: PeerId) -> None:
        self.forced.append(peer)
