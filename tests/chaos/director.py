"""Makes the faults of a plan happen to a fleet, ends them again, and notices what no fault explains.

One thread. A fault that cannot be made at its moment (nobody fits, or a promise would not cover it) is left out, with the
reason in the history. Refuses to know whether anything was lost.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.chaos.client import Client
from tests.chaos.faults import LOSES_A_DISK, Fault
from tests.chaos.fleet import Fleet, Peer, put_back, take_copy, wait_for, wipe
from tests.chaos.history import History
from tests.e2e.netns import partition

READY_S: Final = 60.0
TOGETHER_S: Final = 60.0
COPIED_S: Final = 40.0
APART_S: Final = 75.0  # between two losses of a disk: longer than a replica's grace, so that copies are made again
TWIN_S: Final = 60.0
CALLS: Final = ("posix/io/sync/fsync", "posix/io/sync/fdatasync", "posix/io/rw/pwrite")
JUMPS: Final = ("+1h", "-1h", "+40d", "-40d", "-20s", "+20s", "+0s")
TICK_S: Final = 0.1


class CannotNow(Exception):
    """Why a fault is left out."""


@dataclass(slots=True)
class Undo:
    """How a fault ends, at `at` of the history's clock."""

    at: float
    kind: str
    number: int
    run: Callable[[], None]


class Director:
    """Invariant: every fault that was begun has its end among `undos` until it has ended."""

    def __init__(self, fleet: Fleet, history: History, client: Client) -> None:
        self._fleet = fleet
        self._history = history
        self._client = client
        self._undos: list[Undo] = []
        self._cut = False
        self._lost_at = float("-inf")
        self._ended: dict[int, set[int]] = {}
        self._makers: dict[str, Callable[[Fault], dict[str, Any]]] = {
            "kill": self._kill, "kill_all": self._kill_all, "stop": self._stop, "partition": self._partition,
            "leave": self._leave, "disk_full": self._disk_full, "io_error": self._io_error, "clock": self._clock,
            "wipe": self._wipe, "roll_back": self._roll_back, "twin": self._twin,
        }  # fmt: skip

    # time

    def run(self, plan: Sequence[Fault], seconds: float, on_end: Callable[[], None]) -> None:
        """Perform the plan, for so long at most, call `on_end`, then end every fault."""
        began, due_s = time.monotonic(), 0.0
        for fault in plan:
            due_s = max(due_s + fault.gap_s, time.monotonic() - began)
            if due_s >= seconds:
                break
            self._wait(due_s - (time.monotonic() - began))
            self._strike(fault)
        self._wait(seconds - (time.monotonic() - began))
        on_end()
        self._set_clock_right()
        try:
            self.make_well()
        except CannotNow as reason:
            self._history.add("stuck", peer="", what=str(reason))

    def _set_clock_right(self) -> None:
        """The peer under libfaketime goes on without it: the library makes it a slow peer, which it shall not be in the end."""
        peer = self._fleet.clocked
        if peer is None:
            return
        if peer.is_stopped:
            peer.signal(signal.SIGCONT)
        self._end(peer)
        peer.variables.clear()
        self._begin(peer)
        self._history.add("fault", kind="kill", number=-1, peers=[peer.name], slots=peer.slots, why="its clock is set right")

    def make_well(self) -> None:
        """End all faults now; every peer runs. Raises `CannotNow` when one does not come back."""
        while self._undos:
            self._undo(self._undos.pop(0))
        self.look_after()
        late = wait_for(self._fleet.peers, READY_S)
        self.look_after()
        if late:
            raise CannotNow(f"{', '.join(peer.name for peer in late)} did not get ready within {READY_S:g} s")

    def together(self) -> bool:
        """Whether every peer sees every peer alive."""
        return all(self._sees(peer) >= {one.id for one in self._fleet.peers} for peer in self._fleet.peers)

    def until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for it, looking after the peers; whether it came in time."""
        until = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > until:
                return False
            self.look_after()
            time.sleep(0.3)
        return True

    def look_after(self) -> None:
        """Learn who is ready; a process that has ended by itself is written down and started again."""
        for peer in self._fleet.peers:
            peer.look()
            if peer.process is None or peer.runs or peer.starts in self._down(peer):
                continue
            code = peer.process.returncode
            if code in peer.may_end:
                continue
            self._history.add("ended", peer=peer.name, code=code, log=peer.end_of_log())
            self._fleet.begin(peer)

    def _down(self, peer: Peer) -> set[int]:
        """Starts of this peer that we have ended ourselves."""
        return self._ended.setdefault(peer.index, set())

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            now = self._history.now
            for undo in [one for one in self._undos if one.at <= now]:
                self._undos.remove(undo)
                self._undo(undo)
            self.look_after()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(TICK_S, left))

    def _strike(self, fault: Fault) -> None:
        try:
            if fault.kind in self._fleet.left_out:
                raise CannotNow(self._fleet.left_out[fault.kind])
            if fault.kind in LOSES_A_DISK:
                self._be_covered()
            began = self._history.now
            told = self._makers[fault.kind](fault)
        except CannotNow as reason:
            self._history.add("left_out", kind=fault.kind, number=fault.number, reason=str(reason))
            return
        self._history.add("fault", kind=fault.kind, number=fault.number, began=began, **told)

    def _undo(self, undo: Undo) -> None:
        undo.run()
        self._history.add("over", kind=undo.kind, number=undo.number)

    def _later(self, fault: Fault, run: Callable[[], None]) -> None:
        self._undos.append(Undo(self._history.now + fault.down_s, fault.kind, fault.number, run))

    # who

    def _victim(self, fault: Fault) -> Peer:
        """By the plan's choice; an owner of a job that is under way where the plan says so and there is one."""
        up = self._fleet.up()
        if not up:
            raise CannotNow("nobody is up")
        if fault.owner:
            owners = self._owners(up[fault.chosen(len(up))])
            owning = [peer for peer in up if peer.id in owners]
            up = owning or up
        return up[fault.chosen(len(up))]

    def _jobs(self, peer: Peer) -> list[dict[str, Any]]:
        answer = self._client.ask((peer.name, peer.url), "GET", "/api/v1/jobs?limit=1000")
        return list(answer.json["jobs"]) if answer.status == 200 else []

    def _owners(self, peer: Peer) -> set[str]:
        return {row["owner"] for row in self._jobs(peer) if row["state"] in ("pending", "running", "inspecting")}

    def _sees(self, peer: Peer) -> set[str]:
        answer = self._client.ask((peer.name, peer.url), "GET", "/api/v1/peers?limit=1000")
        return {row["id"] for row in answer.json["peers"] if row["state"] == "alive"} if answer.status == 200 else set()

    def _be_covered(self) -> None:
        """All is well, and every job has a second copy: from here on the loss of one disk breaks no promise."""
        if self._history.now - self._lost_at < APART_S:
            raise CannotNow("the last disk was lost too short ago for its copies to have been made again")
        self.make_well()
        if not self.until(self.together, TOGETHER_S):
            raise CannotNow(f"the peers did not all see one another within {TOGETHER_S:g} s")

        def copied() -> bool:
            return all(row["durability"]["copies"] >= 2 for peer in self._fleet.peers for row in self._jobs(peer))

        if not self.until(copied, COPIED_S):
            raise CannotNow(f"some job had no second copy within {COPIED_S:g} s")
        self._lost_at = self._history.now

    def _end(self, peer: Peer) -> None:
        """kill -9, ours."""
        self._down(peer).add(peer.starts)
        if peer.runs:
            peer.kill()

    def _begin(self, peer: Peer) -> None:
        if not peer.runs:
            self._fleet.begin(peer)

    # faults

    def _kill(self, fault: Fault) -> dict[str, Any]:
        victim = self._victim(fault)
        owned = victim.id in self._owners(victim)
        self._end(victim)
        self._later(fault, lambda: self._begin(victim))
        return {"peers": [victim.name], "slots": victim.slots, "owner": owned}

    def _kill_all(self, fault: Fault) -> dict[str, Any]:
        victims = [peer for peer in self._fleet.peers if peer.runs]
        for peer in victims:
            if peer.is_stopped:
                peer.signal(signal.SIGCONT)
            self._end(peer)
        order = Random(fault.detail).sample(victims, len(victims))

        def all_back() -> None:
            for peer in order:
                self._begin(peer)

        self._later(fault, all_back)
        return {"peers": [peer.name for peer in victims], "slots": sum(peer.slots for peer in victims)}

    def _stop(self, fault: Fault) -> dict[str, Any]:
        victim = self._victim(fault)
        start = victim.starts
        victim.signal(signal.SIGSTOP)

        def go_on() -> None:
            if victim.starts == start and victim.runs:
                victim.signal(signal.SIGCONT)

        self._later(fault, go_on)
        return {"peers": [victim.name], "seconds": round(fault.down_s, 1)}

    def _partition(self, fault: Fault) -> dict[str, Any]:
        if self._cut:
            raise CannotNow("the network is cut already")
        peers = Random(fault.detail).sample(self._fleet.peers, len(self._fleet.peers))
        at = 1 + fault.chosen(len(peers) - 1)
        partition(self._fleet.hosts(peers[:at]), self._fleet.hosts(peers[at:]))
        self._cut = True

        def heal() -> None:
            for host in self._fleet.hosts(peers):
                host.well()
            self._cut = False

        self._later(fault, heal)
        return {"peers": [peer.name for peer in peers[:at]], "seconds": round(fault.down_s, 1)}

    def _leave(self, fault: Fault) -> dict[str, Any]:
        victim = self._victim(fault)
        victim.may_end = (0,)
        victim.signal(signal.SIGTERM)

        def back() -> None:
            if victim.runs:
                self.until(lambda: not victim.runs, READY_S)
            if victim.runs:
                self._history.add("stuck", peer=victim.name, what="SIGTERM", log=victim.end_of_log())
                self._end(victim)
            self._begin(victim)

        self._later(fault, back)
        return {"peers": [victim.name]}

    def _disk_full(self, fault: Fault) -> dict[str, Any]:
        victim = self._fleet.small
        if victim is None or not victim.is_up:
            raise CannotNow("the peer with the small disk is not up")
        self._fleet.fill()
        self._later(fault, self._fleet.free)
        return {"peers": [victim.name], "seconds": round(fault.down_s, 1)}

    def _io_error(self, fault: Fault) -> dict[str, Any]:
        victim = self._fleet.fragile
        if victim is None or not victim.is_up:
            raise CannotNow("the peer under libfiu is not up")
        call = CALLS[fault.chosen(len(CALLS))]
        victim.may_end = (1,)
        if not victim.fail_calls(call):
            victim.may_end = ()
            raise CannotNow("fiu-ctrl did not reach it")

        def back() -> None:
            self._end(victim)
            self._begin(victim)

        self._later(fault, back)
        return {"peers": [victim.name], "call": call}

    def _clock(self, fault: Fault) -> dict[str, Any]:
        jump = JUMPS[fault.chosen(len(JUMPS))]
        self._fleet.set_clock(jump)
        return {"peers": [self._fleet.clocked.name] if self._fleet.clocked else [], "to": jump}

    def _wipe(self, fault: Fault) -> dict[str, Any]:
        victim = self._victim(fault)
        owned = victim.id in self._owners(victim)
        self._end(victim)
        wipe(victim.data_dir)
        self._later(fault, lambda: self._begin(victim))
        return {"peers": [victim.name], "slots": victim.slots, "owner": owned}

    def _roll_back(self, fault: Fault) -> dict[str, Any]:
        """To the last copy that was taken of it, or, where there is none yet, take one now."""
        victim = self._victim(fault)
        copy = self._fleet.folder / "copies" / victim.name
        owned, has_copy = victim.id in self._owners(victim), copy.exists()
        self._end(victim)
        if has_copy:
            put_back(copy, victim.data_dir)
        else:
            take_copy(copy, victim.data_dir)
        self._later(fault, lambda: self._begin(victim))
        return {"peers": [victim.name], "slots": victim.slots, "owner": owned, "copied_only": not has_copy}

    def _twin(self, fault: Fault) -> dict[str, Any]:
        """The same identity twice: a copy is started elsewhere while the original runs, or before it comes back."""
        victim, spare = self._victim(fault), self._fleet.spare
        original_first = fault.detail < 0.5
        self._end(victim)
        take_copy(spare.data_dir, victim.data_dir)
        for peer in (victim, spare) if original_first else (spare, victim):
            self._fleet.begin(peer)
            wait_for([peer], READY_S)
            self.until(lambda peer=peer: len(self._sees(peer)) > 1, 10)  # type: ignore[misc]
        victim.may_end = spare.may_end = (2,)
        gone = self.until(lambda: not (victim.runs and spare.runs), TWIN_S)
        left = [peer.name for peer in (victim, spare) if peer.runs]
        codes = [peer.process.returncode for peer in (victim, spare) if peer.process is not None and not peer.runs]

        def only_the_original() -> None:
            if spare.runs:
                spare.kill()
            if not victim.runs:
                self._fleet.begin(victim)
            victim.may_end = ()

        self._later(fault, only_the_original)
        if not gone or codes != [2]:
            logs = {peer.name: peer.end_of_log() for peer in (victim, spare)}
            self._history.add("twins", peer=victim.name, left=left, codes=codes, log=logs)
        return {"peers": [victim.name], "slots": victim.slots, "original_first": original_first, "left": left}
