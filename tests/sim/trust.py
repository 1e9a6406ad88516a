"""Peers whose pictures are wrong, among peers of two processor levels: who lies goes out in time, who does not never.

One seed is a campaign's, with sampled verification on, and one host that lies from some moment on.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from protocol.effects import Effect, Notice
from protocol.events import Event
from protocol.ids import PeerId
from tests.sim.campaign import LIVENESS_S, build
from tests.sim.checker import Checker
from tests.sim.faults import CALM, Faults
from tests.sim.liveness import demand
from tests.sim.world import Host, Unsafe, World

SHARE: Final = 0.2
KERNELS: Final = ("avx2", "sse42")
UNSEEN_MAX: Final = 2.62 / SHARE  # frames of one peer that an owner takes without looking at one, while somebody can be asked
UNDER_WAY: Final = 24  # and those that come while two witnesses render


class HonestStayIn(Checker):
    """Nobody is distrusted whose pictures were always right."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Notice) and effect.event == "peer_distrusted":
                self.world.trace.count("peers distrusted")
                accused = self.world.by_peer[PeerId(effect.fields["peer"])]
                if not accused.lies:
                    raise Unsafe(
                        f"{host.name} does not trust {accused.name} any more, which never lied: {effect.fields['reason']}"
                    )


class LiarsAreOutInTime(Checker):
    """No owner takes more frames of a peer that lies than it may, where nothing is in the way."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.taken: dict[tuple[PeerId, PeerId], int] = {}

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Notice) and effect.event == "frame_committed":
                maker = self.world.by_peer[PeerId(effect.fields["by"])]
                if maker.lies:
                    key = (host.peer, maker.peer)
                    self.taken[key] = self.taken.get(key, 0) + 1
                    if self.taken[key] > UNSEEN_MAX + UNDER_WAY:
                        raise Unsafe(f"{host.name} has taken {self.taken[key]} wrong frames of {maker.name}")


class OutTakesNothing(Checker):
    """A frame of a peer that an owner does not trust is not committed by it."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        assert host.node is not None
        for effect in effects:
            if isinstance(effect, Notice) and effect.event == "frame_committed":
                verdict = host.node.verdicts.against(PeerId(effect.fields["by"]))
                if verdict is not None and not any(isinstance(one, Notice) and one.event == "peer_distrusted" for one in effects):
                    raise Unsafe(f"{host.name} commits a frame of {effect.fields['by'][:6]}, which it does not trust")


def run(seed: int, *, faults: Faults = CALM, peers: int = 8, liars: int = 1, chaos_s: float = 60.0) -> World:
    """One seed to its end; the world as it is then. Raises `Unsafe`, `Stuck` or `Crashed`."""
    wanted = replace(faults, audit_share=SHARE)
    world, workload, trouble = build(seed, peers=peers, faults=wanted, jobs=6, frames_max=80)
    dice = Random(f"liars {seed}")
    for host in world.hosts:
        host.kernel = KERNELS[host.index % len(KERNELS)]
    for host in dice.sample(world.hosts, liars):
        host.lies = True
    checkers = [HonestStayIn(world), OutTakesNothing(world), *([LiarsAreOutInTime(world)] if faults == CALM else [])]
    world.on_step.extend(checker.stepped for checker in checkers)
    world.run_until(chaos_s)
    trouble.end()
    workload.all_well = True
    world.run_until(world.at + 10.0)
    demand(world, [client.job for client in workload.clients if client.accepted], within_s=LIVENESS_S)
    return world


def wrong_frames(world: World) -> int:
    """Done frames in jobs that go by a lie, whose maker every owner distrusts by now."""
    wrong = 0
    for host in world.hosts:
        assert host.node is not None
        for held in host.node.ledger._jobs.values():
            if held.owner != host.peer or held.fold.cancelled:
                continue
            for frame in held.fold.winners.all_done():
                maker = world.by_peer[held.fold.winners[frame].peer]
                wrong += maker.lies and host.node.verdicts.against(maker.peer) is not None
    return wrong
