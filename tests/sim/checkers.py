"""All checkers of what must always hold, hung into a world; each has a test that proves that it bites."""

from __future__ import annotations

from protocol import limits
from protocol.effects import Effect, Reply
from protocol.events import Event
from protocol.views import JobView, Submitted
from tests.sim.checker import Checker
from tests.sim.commits import (
    ClosedIsComplete,
    ClosedIsSafe,
    CommittedBytesAreHeld,
    CommittedOnce,
    FactsAreOne,
    HoldsWhatItSays,
    RenderedAgainOnlyIfLost,
    ThankedIsCommitted,
    WinnerChangesAreTold,
    WinnersAreRight,
)
from tests.sim.owners import FencesGrow, HeirsAreHeld, HeirsMerge, OwnLeasesOnly
from tests.sim.promises import AcceptedIsNeverLost, AcceptedOnEnoughDisks, ControlsAreDurable
from tests.sim.world import Host, Unsafe, World

GATE_MAX = 5_000
LEASES_PER_SLOT_MAX = 8


class QueuesAreBounded(Checker):
    """Nothing that waits grows with time."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        node = host.node
        assert node is not None
        if len(host.gate) > GATE_MAX:
            raise Unsafe(f"{host.name}: {len(host.gate)} effects wait for the disk")
        if len(node.thief._leases) > LEASES_PER_SLOT_MAX * host.slots + LEASES_PER_SLOT_MAX:
            raise Unsafe(f"{host.name} holds {len(node.thief._leases)} leases in {host.slots} slots")
        frames = sum(len(held.lease.frames) for _, held in node.thief._leases.values())
        if len(node.thief._reports._open) > frames + limits.FRAMES_PER_BATCH_MAX:
            raise Unsafe(f"{host.name} keeps {len(node.thief._reports._open)} reports")


class Checkers:
    """All of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lost = AcceptedIsNeverLost(world)
        self.copies = AcceptedOnEnoughDisks(world, self.lost)
        self.controls = ControlsAreDurable(world)
        self.all: list[Checker] = [self.lost, self.copies, self.controls, *(kind(world) for kind in KINDS)]
        for checker in self.all:
            if type(checker).stepped is not Checker.stepped:
                world.on_step.append(checker.stepped)
            if type(checker).committed is not Checker.committed:
                world.on_commit.append(checker.committed)
            if type(checker).leaving is not Checker.leaving:
                world.on_leave.append(checker.leaving)
        self._answer = world.perform_reply
        world.perform_reply = self._replied

    def _replied(self, host: Host, effect: Reply) -> None:
        if isinstance(effect.value, Submitted):
            self.copies.replied(host, effect.request, effect.value)
        elif isinstance(effect.value, JobView):
            self.controls.replied(host, effect.request, effect.value)
        self._answer(host, effect)


KINDS = (
    FactsAreOne, CommittedOnce, CommittedBytesAreHeld, WinnersAreRight, WinnerChangesAreTold, HoldsWhatItSays,
    ThankedIsCommitted, ClosedIsComplete, ClosedIsSafe, RenderedAgainOnlyIfLost, OwnLeasesOnly, FencesGrow, HeirsAreHeld,
    HeirsMerge, QueuesAreBounded,
)  # fmt: skip
