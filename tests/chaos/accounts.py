"""What the clients were promised, job by job, read from their history and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.orders import Order, order_of

NO_ANSWER = 0
MAYBE = frozenset({NO_ANSWER, 500, 502, 503, 504})
"""After these a client does not know whether what it asked for has happened."""


@dataclass(slots=True)
class Account:
    """One key. `jobs` are the ids that 202 named, in order; a control is sure after its 200, possible after no answer.

    `paused_at` is when its first pause was asked for, `resumed_at` when its resume was answered."""

    order: Order
    jobs: list[str] = field(default_factory=list)
    tries: int = 0
    surely_cancelled: bool = False
    perhaps_cancelled: bool = False
    rerenders: list[tuple[int, int, bool]] = field(default_factory=list)
    paused_at: float | None = None
    resumed_at: float | None = None

    @property
    def job(self) -> str:
        """Its id, empty when nothing was acknowledged."""
        return self.jobs[0] if self.jobs else ""

    def may_end_as(self) -> set[str]:
        """The states in which its job may be at last."""
        if self.surely_cancelled:
            return {"cancelled"}
        done = "failed" if self.order.failing else "completed"
        return {done, "cancelled"} if self.perhaps_cancelled else {done}

    def generations(self, frame: int) -> tuple[int, int]:
        """How often a frame was surely, and may have been, asked for again."""
        asked = [sure for first, last, sure in self.rerenders if first <= frame <= last]
        return sum(asked), len(asked)


def accounts(lines: Iterable[dict[str, Any]]) -> dict[str, Account]:
    """One account for each key that a client meant to submit."""
    found: dict[str, Account] = {}
    for line in lines:
        match line["op"]:
            case "intend":
                found[line["key"]] = Account(order_of(line["order"]))
            case "submit":
                account = found[line["key"]]
                account.tries += 1
                if line["status"] == 202:
                    account.jobs.append(line["answer"]["id"])
            case "pause":
                account = found[line["key"]]
                account.paused_at = line["began"] if account.paused_at is None else account.paused_at
            case "resume" if line["status"] == 200:
                account = found[line["key"]]
                account.resumed_at = line["at"] if account.resumed_at is None else account.resumed_at
            case "cancel":
                _cancelled(found[line["key"]], line)
            case "rerender" if line["status"] == 200 or line["status"] in MAYBE:
                first, last = line["frames"]
                found[line["key"]].rerenders.append((first, last, line["status"] == 200))
    return found


def _cancelled(account: Account, line: dict[str, Any]) -> None:
    if line["status"] == 200 and line["answer"].get("state") == "cancelled":
        account.surely_cancelled = True
    elif line["status"] == 200 or line["status"] in MAYBE:
        account.perhaps_cancelled = True
