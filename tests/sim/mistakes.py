"""Mistakes in ledger and scheduling, each small and likely, that campaigns must find. Data only; `planting` plants them.

A mistake is a few exact replacements in one file below `protocol/`. `seed` is one that finds it; when the sources have moved
on and it does not any more, another within `SEEDS` must.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SEEDS: Final = 200


@dataclass(frozen=True, slots=True)
class Mistake:
    """`edits` are (old, new), each old text exactly once in `file`; `seed` finds it."""

    what: str
    file: str
    edits: tuple[tuple[str, str], ...]
    seed: int


def _one(what: str, file: str, old: str, new: str, *more: tuple[str, str], seed: int) -> Mistake:
    return Mistake(what, file, ((old, new), *more), seed)


MISTAKES: Final[dict[int, Mistake]] = {
    1: _one(
        "a job is acknowledged before a second peer holds it",
        "ledger/copies.py",
        "            return min(2, peers)",
        "            return 1",
        seed=1,
    ),
    2: _one(
        "what has been sent counts as held",
        "ledger/copies.py",
        "return copy.safe if with_bytes else copy.held",
        "return copy.sent",
        seed=1,
    ),
    3: _one(
        "facts count where bytes were promised",
        "ledger/copies.py",
        "return copy.safe if with_bytes else copy.held",
        "return copy.held",
        seed=1,
    ),
    4: _one(
        "an heir takes over without asking who may know more",
        "ledger/succession.py",
        '            return "ask"',
        '            self.forget(job)\n            return "take"',
        seed=8,
    ),
    5: _one(
        "an heir does not raise the epoch",
        "ledger/ownership.py",
        "Fence(before.epoch + 1, self._me)",
        "Fence(before.epoch, self._me)",
        seed=2,
    ),
    6: _one(
        "a lower fence is accepted",
        "ledger/fold.py",
        "self.fence = max(self.fence, body.fence)",
        "self.fence = body.fence",
        seed=2,
    ),
    7: _one(
        "a replica says that it holds facts before they are durable",
        "ledger/ledger.py",
        "outputs: list[Output] = [Persist(taken)] if taken else []",
        "outputs: list[Output] = []",
        (
            "            self._wake_rounds(now)\n        return outputs\n\n    def _heard_held",
            "            self._wake_rounds(now)\n        return [*outputs, Persist(taken)] if taken else outputs\n\n"
            "    def _heard_held",
        ),
        seed=1,
    ),
    8: _one(
        "a late result replaces the winner",
        "ledger/outcomes.py",
        "if winner_order(ended) >= winner_order(held):",
        "if ended.generation < held.generation:",
        seed=14,
    ),
    9: _one(
        "a replica says that it holds bytes which it has not fetched",
        "ledger/keeper.py",
        "        if not items:",
        "        if items is not None:",
        seed=1,
    ),
    10: _one(
        "a job is closed with a frame missing",
        "ledger/closing.py",
        "if fold.done + len(failed) < len(fold.frames) or",
        "if fold.done + len(failed) < len(fold.frames) - 1 or",
        seed=3,
    ),
    11: _one(
        "a result that comes after its lease has run out is thanked for and dropped",
        "scheduling/dispatcher.py",
        "        if book.step(at) is FrameStep.DONE:\n            book.drop_frame",
        "        if report.lease not in book.leases:\n            return done\n"
        "        if book.step(at) is FrameStep.DONE:\n            book.drop_frame",
        seed=4,
    ),
    12: _one(
        "what a peer held in its last run counts in its next",
        "ledger/replicas.py",
        "fresh = known is None or known.run_epoch != changed.run_epoch or (changed.live and not known.live)",
        "fresh = known is None",
        seed=19,
    ),
    13: _one(
        "facts are taken although one before them is missing",
        "ledger/fold.py",
        "if fact.seq != (1 if held is None else len(held) + 1):",
        "if fact.seq <= (0 if held is None else len(held)):",
        seed=2,
    ),
    14: _one(
        "the author is the same in every run",
        "node.py",
        "        self.author = o.author\n",
        "        self.author = AuthorId(o.me[:16])\n",
        ("me=o.me, author=o.author, run_epoch", "me=o.me, author=self.author, run_epoch"),
        seed=2,
    ),
    15: _one(
        "a control is answered before a second peer knows of it",
        "ledger/promises.py",
        "if copies < needed:",
        "if promise.with_bytes and copies < needed:",
        seed=2,
    ),
    16: _one(
        "a frame is committed although its bytes have not arrived",
        "scheduling/dispatcher.py",
        '        if error:\n            book.settle(report.frame, "return")',
        '        if error == "never":\n            book.settle(report.frame, "return")',
        seed=3,
    ),
    17: _one(
        "who steps down keeps what it knows to itself",
        "ledger/replicas.py",
        "return [owner] if self.is_live(owner) else []",
        "return []",
        seed=3,
    ),
    18: _one(
        "a suspected owner is succeeded",
        "ledger/replicas.py",
        'changed.state == "left", changed.live and fit',
        'changed.state == "left", changed.state == "alive" and fit',
        seed=14,
    ),
    19: _one(
        "an heir hands out work before anybody knows that it is the owner",
        "ledger/succession.py",
        "return 1 + held.copies.count(held.claim.versions, others, with_bytes=False) >= min(2, 1 + len(others))",
        "return 1 + held.copies.count(held.claim.versions, others, with_bytes=False) >= 1",
        seed=21,
    ),
    20: _one(
        "a worker is thanked before its frame is a fact",
        "scheduling/dispatcher.py",
        "            return [*self._tell(book, now), *committed, *done]",
        "            return [*self._tell(book, now), *done, *committed]",
        (
            "        return [*self._tell(book, now), *committed, reported]",
            "        return [*self._tell(book, now), reported, *committed]",
        ),
        seed=3,
    ),
    21: _one(
        "the copies of a peer whose disk was put back count as before",
        "membership/news.py",
        "                self._outlive(news.run_epoch)\n            else:",
        "                pass\n            else:",
        seed=3,
    ),
    22: _one(
        "a writer whose disk was put back goes on numbering from there",
        "catalog/catalog.py",
        "            mine.epoch, self._root = known[0] + 1, None",
        "            pass",
        seed=14,
    ),
    23: _one(
        "a frame that the sweep misses is not delivered again",
        "delivery/consignment.py",
        "                    self._waiting.setdefault(frame, found)",
        "                    pass",
        seed=21,
    ),
    24: _one(
        "a blob that has rotted still counts as held",
        "ledger/keeper.py",
        "        kept.safe = {}\n        if kept.ticket is not None:",
        "        if kept.ticket is not None:",
        seed=21,
    ),
    25: _one(
        "a frame whose bytes are lost is not looked for by itself",
        "ledger/ownership.py",
        "            return [*outputs, *self._recovery.look_for(held, self._keeper.lacking(held.fold), self._replicas, now)]",
        "            return outputs",
        seed=23,
    ),
    26: _one(
        "a frame whose bytes are lost is wanted again in the generation that it has",
        "ledger/recovery.py",
        "by_generation.setdefault(ended.generation + 1, [])",
        "by_generation.setdefault(ended.generation, [])",
        seed=23,
    ),
    27: _one(
        "the facts of one step are made durable one by one, the last one first",
        "ledger/ownership.py",
        "return [Persist(tuple(PutFact(fact) for fact in facts)), *again",
        "return [*(Persist((PutFact(fact),)) for fact in reversed(facts)), *again",
        seed=13,
    ),
    28: _one(
        "whatever was handed to a carrier counts as placed",
        "delivery/consignment.py",
        "placed = tuple(one for one in carried.placed if asked.get(one.frame) == one.generation)",
        "placed = tuple(Placed(frame, generation) for frame, generation in asked.items())",
        seed=2,
    ),
    29: _one(
        "a file that was kept from others is not told",
        "ledger/delivering.py",
        "generation, conflicts, peer, now.wall_ms)",
        "generation, conflicts[:0], peer, now.wall_ms)",
        seed=2,
    ),
    30: _one(
        "a job is closed without a last look at what was delivered",
        "ledger/ownership.py",
        "        if sweep is not None:",
        "        if sweep:",
        seed=2,
    ),
    31: _one(
        "authors are counted, not drawn: a disk that was copied or put back has written under their names",
        "node.py",
        "        self.author = o.author\n",
        '        self.author = AuthorId(f"{o.me[:8]}{o.run_epoch:08x}")\n',
        ("me=o.me, author=o.author, run_epoch", "me=o.me, author=self.author, run_epoch"),
        seed=14,
    ),
    32: _one(
        "of two owners the lesser goes on handing out work",
        "ledger/ownership.py",
        '        if held.opened:\n            outputs.append(WorkClosed(held.fold.job, "another peer',
        '        if held.opened and held.fold.is_closed:\n            outputs.append(WorkClosed(held.fold.job, "another peer',
        seed=2,
    ),
    33: _one(
        "a report in the outbox is not told to the next owner",
        "scheduling/reports.py",
        "if one.report.job == job and one.owner != owner and epoch",
        "if not one.stored and one.report.job == job and one.owner != owner and epoch",
        seed=21,
    ),
    34: _one(
        "nobody hears that another owner's result has taken a frame",
        "ledger/ledger.py",
        "for before, after in replaced.values())",
        "for before, after in [*replaced.values()][:0])",
        seed=2,
    ),
}
