"""Rows that must be on the disk before what follows from them is said aloud."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import JobId
from protocol.ledger.facts import Fact


@dataclass(frozen=True, slots=True)
class PutFact:
    """Store one fact; storing it again is harmless."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class PutValue:
    """Store a value under a key of at most 200 characters, replacing an older one."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class DropValue:
    """Remove a value."""

    key: str


@dataclass(frozen=True, slots=True)
class ForgetJob:
    """Remove every fact of a job."""

    job: JobId


Record = PutFact | PutValue | DropValue | ForgetJob
