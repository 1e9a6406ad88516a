"""Places where a test may let this process die: every step after which something is promised, before and after it.

`PEER_FAILPOINT=name:action` names one; `peer.config` reads it, the daemon arms it. Off (the rule) a place costs one look at a
module's variable. Actions: `crash` (the process is gone at once, as by kill -9) and `crash#N` (at the N-th time).
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Final

from protocol.effects import Effect, Persist, Reply, SendStream
from protocol.ids import AuthorId
from protocol.ledger.facts import Accepted, Body, Delivered, Owner
from protocol.records import PutFact, PutValue
from protocol.scheduling.reports import OUTBOX
from protocol.views import Submitted
from protocol.wire.work import Facts, Granted

NAMES: Final = (
    "accept fsync before",  # the facts of an acceptance, on this peer's disk
    "accept fsync after",
    "accept reply before",  # the 202
    "replicate before",  # facts go out to a replica
    "replicate after",
    "replica fsync before",  # facts of others, on this peer's disk
    "replica fsync after",
    "steal grant before",  # a lease goes out
    "steal grant after",
    "fact commit before",  # any other facts of this peer, among them a frame's commit
    "fact commit after",
    "takeover before",  # the fact by which this peer becomes a job's next owner
    "takeover after",
    "hand-over before",  # and that of another peer, on this one's disk
    "hand-over after",
    "outbox before",  # a report that its owner, which is gone, has not taken
    "outbox after",
    "blob commit before",  # a file gets its name in the store
    "blob commit after",
    "output temporary before",  # a frame's bytes beside their place in the output root
    "output temporary after",
    "output rename before",  # and their final name
    "output rename after",
    "delivered commit before",  # the fact that says so
    "delivered commit after",
)


class UnknownFailpoint(ValueError):
    """No such place or action; the text names those that there are."""


@dataclass(slots=True)
class Armed:
    """One place, and how many more times it is passed unharmed, plus one."""

    name: str
    left: int


_armed: Armed | None = None


def parse(text: str) -> Armed:
    """Read `name:crash` or `name:crash#N`. Raises `UnknownFailpoint`."""
    name, _, action = text.rpartition(":")
    verb, _, count = action.partition("#")
    if name not in NAMES or verb != "crash" or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise UnknownFailpoint(f"{text[:80]!r} is not NAME:crash or NAME:crash#N; names are: {', '.join(NAMES)}")
    return Armed(name, int(count or "1"))


def arm(text: str) -> None:
    """Arm one place, or none for ''. Raises `UnknownFailpoint`."""
    global _armed
    _armed = parse(text) if text else None


def reach(name: str) -> None:
    """The process is at this place now. Dies here when it is armed and its turn has come."""
    if _armed is None or _armed.name != name:
        return
    _armed.left -= 1
    if _armed.left == 0:
        _die()


def reach_effect(effect: Effect, side: str, author: AuthorId) -> None:
    """The process is about to perform an effect (`side` before) or has done so (after). `author` is this peer's own."""
    if _armed is None:
        return
    for step in steps_of(effect, author):
        reach(f"{step} {side}")


def steps_of(effect: Effect, author: AuthorId) -> list[str]:
    """The steps that an effect is, as `NAMES` calls them, each once."""
    match effect:
        case Persist(records):
            steps = ["outbox" for record in records if isinstance(record, PutValue) and record.key.startswith(OUTBOX)]
            for fact in (record.fact for record in records if isinstance(record, PutFact)):
                if fact.author == author:
                    steps.append(_own(fact.body))
                else:
                    steps.extend(["replica fsync", "hand-over"] if _passes(fact.body) else ["replica fsync"])
            return list(dict.fromkeys(steps))
        case SendStream(message=Granted(leases=leases)) if leases:
            return ["steal grant"]
        case SendStream(message=Facts(replicate=True, facts=facts)) if facts:
            return ["replicate"]
        case Reply(value=Submitted()):
            return ["accept reply"]
        case _:
            return []


def _own(body: Body) -> str:
    """The step that a fact of this peer's own is."""
    if isinstance(body, Accepted):
        return "accept fsync"
    if isinstance(body, Delivered):
        return "delivered commit"
    return "takeover" if _passes(body) else "fact commit"


def _passes(body: Body) -> bool:
    """Whether the job passes from one owner to the next by this fact."""
    return isinstance(body, Owner) and body.fence.epoch > 1


def _die() -> None:
    """As kill -9 does it: nothing is flushed, closed or said."""
    if sys.platform == "win32":
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)
