"""Messages about delivery, over streams only: an owner asks a peer that has an output root, and hears what came of it.

Plain rows; `wire.delivery_rows` turns them into bytes and back.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import JobId, PeerId
from protocol.jobs.parcels import Parcel, Placed


@dataclass(frozen=True, slots=True)
class Carry:
    """The owner of a job to a peer that has the root: put these frames there. Resent until `Carried` of the same number.

    `sweep`: write nothing, only say which of them are there; where one that is to give way lies, the frame is not."""

    job: JobId
    number: int
    root: str
    folder: str
    sweep: bool
    parcels: tuple[Parcel, ...]
    holders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """The answer to Carry `number`: frames that are dealt with, durably; `code` and `reason` when something hindered the rest."""

    job: JobId
    number: int
    placed: tuple[Placed, ...]
    code: str
    reason: str


DeliveryMessage = Carry | Carried
