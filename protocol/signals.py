"""What one machine must tell the others: handed round by `Node` until none is left, never leaving the process.

(The design calls these facts; here they are signals, since a *fact* is a row of the ledger.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.ids import Address, JobId, PeerId

MemberState = Literal["alive", "suspect", "dead", "left"]


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """Membership says something new about `peer`.

    `run_epoch` grows with each restart of that peer: another value means that everything its old run held is gone.
    `address` is its gossip address, `mesh_port` its stream port, `meta` its small opaque digest (see `node_meta`).
    """

    peer: PeerId
    state: MemberState
    run_epoch: int
    address: Address
    mesh_port: int
    meta: bytes


@dataclass(frozen=True, slots=True)
class CatalogChanged:
    """A single-writer record has changed: `writer` now says `value` under `key` (None: removed)."""

    writer: PeerId
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Publish:
    """Another machine asks the catalogue to publish `value` under `key` as this peer (None removes it)."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class JobChanged:
    """The ledger's folded state of a job has changed; whoever derives from it looks again."""

    job: JobId


Signal = MemberChanged | CatalogChanged | Publish | JobChanged
