"""Services and checks as the web layer sees them, from the engine's node. Satisfies `peer.ports.Registry`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence

from peer.bell import Bell
from peer.checktargets import CheckTargets
from peer.engine import Engine
from peer.settings import parse_seed
from protocol import limits
from protocol.errors import Invalid, Unavailable
from protocol.events import ForceLeaveAsked, HealthAsked, SeedsFound
from protocol.ids import Address, PeerId
from protocol.services import CheckRow, CheckSeen, Command, NodeSeen, ProtocolSeen, Service, ServiceSeen

ASK_S = 30.0


class EngineRegistry:
    """Invariant: reads never wait; `bell` is rung with the directory's index after every step of the engine."""

    def __init__(self, *, engine: Engine, bell: Bell, targets: CheckTargets, datacenter: str, leave: Callable[[], None]) -> None:
        self._engine = engine
        self._node = engine.node
        self._bell = bell
        self._targets = targets
        self._leave = leave
        self.datacenter = datacenter

    @property
    def me(self) -> PeerId:
        return self._node.me

    # asks

    async def change(self, command: Command) -> None:
        if self._engine.store_error is not None:
            raise Unavailable("store_full", f"this peer cannot store anything now: {self._engine.store_error}", retry_after_s=30)
        await self._engine.ask(lambda request: HealthAsked(request, command), timeout_s=ASK_S)

    async def force_leave(self, peer: PeerId) -> None:
        await self._engine.ask(lambda request: ForceLeaveAsked(request, peer), timeout_s=ASK_S)

    async def join(self, text: str) -> None:
        addresses = await _addresses(text)
        self._engine.tell(SeedsFound(addresses))
        deadline = asyncio.get_running_loop().time() + limits.JOIN_WAIT_S
        while not any(Address(node.host, node.port) in addresses and node.state == "alive" for node in self.members()):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0 or self._bell.closed:
                shown = ", ".join(map(str, addresses[:4]))
                raise Unavailable("join_failed", f"Failed to join {text}: no peer of this mesh answers at {shown} (yet)")
            await self._bell.wait(left_s)

    async def leave(self) -> None:
        self._leave()

    # views

    def own_services(self) -> list[Service]:
        return self._node.health.services()

    def own_checks(self) -> list[CheckRow]:
        return [check.row for check in self._node.health.checks()]

    def members(self) -> list[NodeSeen]:
        return self._node.directory.members()

    def nodes(self) -> list[NodeSeen]:
        return self._node.directory.nodes()

    def node(self, text: str) -> NodeSeen | None:
        return self._node.directory.node(text)

    def services(self, node: NodeSeen) -> list[ServiceSeen]:
        return self._node.directory.services(node)

    def checks(self, node: NodeSeen) -> list[CheckSeen]:
        return self._node.directory.checks(node)

    def checks_of_all(self) -> Iterator[CheckSeen]:
        return self._node.directory.checks_of_all()

    def instances(self, name: str) -> list[ServiceSeen]:
        return self._node.directory.instances(name)

    def checks_for(self, instance: ServiceSeen) -> list[CheckSeen]:
        return self._node.directory.checks_for(instance)

    def names(self) -> dict[str, list[str]]:
        return self._node.directory.names()

    def leader(self) -> NodeSeen | None:
        return self._node.directory.leader()

    def protocols(self, peers: Sequence[PeerId]) -> list[ProtocolSeen]:
        """A mixed mesh speaks its highest common version. One that has no part in it is shown at its own nearest."""
        common, ours = self._node.swim.common_version(), (limits.PROTOCOL_VERSION_MIN, limits.PROTOCOL_VERSION_MAX)
        ranges = [self._node.swim.versions_of(peer) or ours for peer in peers]
        return [ProtocolSeen(low, high, min(max(common, low), high)) for low, high in ranges]

    def target_refusal(self, host: str) -> str | None:
        return self._targets.literal_refusal(host)

    # waiting

    def index_of(self, topic: str) -> int:
        return self._node.directory.index_of(topic)

    @property
    def index(self) -> int:
        return self._node.directory.index

    async def changed(self, timeout_s: float) -> None:
        await self._bell.wait(timeout_s)

    def close(self) -> None:
        self._bell.close()


async def _addresses(text: str) -> tuple[Address, ...]:
    """Where HOST or HOST:PORT leads. Raises `Invalid`, `Unavailable`."""
    try:
        seed = parse_seed(text)
    except ValueError as error:
        raise Invalid("bad_address", str(error)) from None
    try:
        async with asyncio.timeout(limits.RESOLVE_S):
            rows = await asyncio.get_running_loop().getaddrinfo(seed.host, seed.port, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        raise Unavailable("join_failed", f"Failed to join {text}: {str(error) or 'the name was not resolved in time'}") from None
    found = dict.fromkeys(Address(str(row[4][0]), seed.port) for row in rows)
    return tuple(found)[: limits.ADDRESSES_PER_SEED_MAX]
