"""A disk: what is committed survives a crash, what is not is gone. Commits are atomic; a crash may come on either side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.events import Booted
from protocol.ids import AuthorId, Digest, JobId
from protocol.ledger.facts import Fact
from protocol.records import DropValue, ForgetJob, PutFact, PutValue, Record


@dataclass(slots=True)
class Disk:
    """Invariant: `facts`, `values` and `blobs` hold durable things only, and nothing but `commit` and `keep` adds to them."""

    facts: dict[JobId, dict[tuple[AuthorId, int], Fact]] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[Digest, int] = field(default_factory=dict)
    damaged: dict[Digest, None] = field(default_factory=dict)  # blobs whose bytes are others by now; nobody has looked
    commits: int = 0
    run: int = 0  # how often a process has started on it

    def copied(self) -> Disk:
        """Another disk with the same on it."""
        facts = {job: dict(kept) for job, kept in self.facts.items()}
        return Disk(facts, dict(self.values), dict(self.blobs), dict(self.damaged), self.commits, self.run)

    def commit(self, records: Sequence[Record]) -> None:
        """All of `records` are durable now."""
        self.commits += 1
        for record in records:
            match record:
                case PutFact(fact):
                    self.facts.setdefault(fact.job, {})[fact.author, fact.seq] = fact
                case PutValue(key, value):
                    self.values[key] = value
                case DropValue(key):
                    self.values.pop(key, None)
                case ForgetJob(job):
                    self.facts.pop(job, None)

    def keep(self, digest: Digest, size: int) -> None:
        """A blob is complete, hashed and fsynced."""
        self.blobs[digest] = size
        self.damaged.pop(digest, None)

    def is_whole(self, digest: Digest) -> bool:
        """Whether these bytes can be read here."""
        return digest in self.blobs and digest not in self.damaged

    def drop(self, digest: Digest) -> None:
        """A damaged blob was found out, and is removed."""
        del self.blobs[digest], self.damaged[digest]

    def booted(self) -> Booted:
        """What a start finds: facts ordered by job, author and sequence."""
        facts = [self.facts[job][key] for job in sorted(self.facts) for key in sorted(self.facts[job])]
        values: Mapping[str, bytes] = dict(self.values)
        return Booted(tuple(facts), values)
