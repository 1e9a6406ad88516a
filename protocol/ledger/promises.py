"""What clients were promised: an answer once enough peers hold what they asked for, or an open refusal in time (C1, C8).

Decides when a promise holds and when it is broken. Refuses to know what follows from either.
"""

from __future__ import annotations

from protocol import limits
from protocol.effects import Reply
from protocol.errors import Unavailable
from protocol.ids import PeerId, RequestId
from protocol.kernel import Now
from protocol.ledger.copies import wanted_copies
from protocol.ledger.held import HeldJob, Promise
from protocol.ledger.overview import view
from protocol.ledger.replicas import Replicas
from protocol.views import JobView, Submitted


def make_promise(held: HeldJob, request: RequestId, now: Now, *, submits: bool, created: bool) -> None:
    """A client waits from now on: for the job itself where it `submits`, else for all that is known of it by now."""
    assert held.fold.accepted is not None
    wait_s = limits.ACCEPT_S + held.fold.accepted.manifest.size / limits.ACCEPT_BYTES_PER_S
    versions = held.acceptance() if submits else held.fold.versions
    held.promises.append(Promise(request, versions, submits, now.monotonic_s + wait_s, created, created))


def copies_of(held: HeldJob, replicas: Replicas) -> int:
    """How many live peers hold the job and its scene durably, this one included."""
    return 1 + held.copies.count(held.acceptance(), replicas.others(), with_bytes=True)


def wanted(held: HeldJob, replicas: Replicas) -> int:
    """How many peers must hold what was promised."""
    assert held.fold.spec is not None
    return wanted_copies(held.fold.spec.durability, peers=1 + len(replicas.others()), replicas=replicas.count)


def keep(held: HeldJob, replicas: Replicas) -> tuple[list[Reply], bool]:
    """Answers to all promises that hold now, and whether one of them makes the job an accepted one."""
    needed = wanted(held, replicas)
    kept: list[tuple[Promise, int]] = []
    waiting: list[Promise] = []
    for promise in held.promises:
        copies = 1 + held.copies.count(promise.versions, replicas.others(), with_bytes=promise.with_bytes)
        if copies < needed:
            waiting.append(promise)
        else:
            kept.append((promise, copies))
    held.promises = waiting
    return [Reply(one.request, _answer(held, one, copies)) for one, copies in kept], any(one.forget for one, _ in kept)


def _answer(held: HeldJob, promise: Promise, copies: int) -> Submitted | JobView:
    seen = view(held.fold, held.activity, copies=copies)
    return Submitted(seen, copies, promise.created) if promise.with_bytes else seen


def break_late(held: HeldJob, now: Now) -> tuple[list[Reply], bool]:
    """Refusals for promises that could not be kept in time, and whether the job was never accepted at all."""
    late = [promise for promise in held.promises if promise.until <= now.monotonic_s]
    held.promises = [promise for promise in held.promises if promise.until > now.monotonic_s]
    text = "not enough peers could store this durably in time; try again, or ask for durability=local"
    replies = [Reply(one.request, Unavailable("not_durable", text, retry_after_s=5)) for one in late]
    return replies, any(promise.forget for promise in late)


def break_all(held: HeldJob, refusal: Unavailable) -> list[Reply]:
    """The job leaves this peer's hands: nobody waits in vain."""
    broken, held.promises = held.promises, []
    return [Reply(promise.request, refusal) for promise in broken]


def owner_elsewhere(owner: PeerId) -> Unavailable:
    """Only a job's owner may promise anything about it."""
    text = f"the job is in the hands of peer {owner[:8]}, which has not confirmed it yet; try again"
    return Unavailable("owner_elsewhere", text, retry_after_s=1)
