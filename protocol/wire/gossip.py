"""Messages about membership: who is there, who is in doubt, who has gone.

Plain rows; `wire.codec` turns them into bytes and, by hand, back. The first group rides in sealed datagrams, the second
only over streams. Refuses to know what a message leads to: that is `protocol.membership`.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import Address, PeerId
from protocol.signals import MemberState
from protocol.wire.work import AccessRoot, CatalogRoot


@dataclass(frozen=True, slots=True)
class Alive:
    """News that only `peer` itself may write: this run of it lives, here, with this metadata.

    `run_epoch` grows with each restart, `incarnation` within a run; the greater pair is the newer news. `nonce` (8 bytes)
    tells two processes with one id apart. `address` is the gossip address, `mesh_port` the stream port on the same host,
    `meta` at most `limits.METADATA_BYTES_MAX`, `versions` the (lowest, highest) protocol version spoken. `extra` holds
    the fields of a newer version, packed, so that handing the news on keeps them.
    """

    peer: PeerId
    run_epoch: int
    incarnation: int
    nonce: bytes
    address: Address
    mesh_port: int
    meta: bytes
    versions: tuple[int, int]
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Suspect:
    """`accuser` got no answer from that run of `peer`; `refused`: its host answered that nobody listens there."""

    peer: PeerId
    run_epoch: int
    incarnation: int
    accuser: PeerId
    refused: bool


@dataclass(frozen=True, slots=True)
class Dead:
    """`accuser` saw a suspicion of that run of `peer` run out unrefuted."""

    peer: PeerId
    run_epoch: int
    incarnation: int
    accuser: PeerId


@dataclass(frozen=True, slots=True)
class Left:
    """That run of `peer` has said goodbye."""

    peer: PeerId
    run_epoch: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `seq` is random (64 bits), so that its echo proves freshness.

    `target` None: whoever listens at this address (a seed). `suspicion`: what is said about the target, so that it can
    refute at once."""

    seq: int
    target: PeerId | None
    suspicion: Suspect | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The echo of a Ping's (or, forwarded, a PingReq's) `seq`; `mesh_port` is the sender's own."""

    seq: int
    mesh_port: int


@dataclass(frozen=True, slots=True)
class Nack:
    """The helper of PingReq `seq` is well, but has heard nothing from the target so far."""

    seq: int


@dataclass(frozen=True, slots=True)
class PingReq:
    """Ping `target` at `address` for me, and forward its Ack under my `seq`."""

    seq: int
    target: PeerId
    address: Address


@dataclass(frozen=True, slots=True)
class StreamPing:
    """Ping over the mesh port, in parallel with the helpers; `origin` is the asker's own news, to find it by."""

    seq: int
    origin: Alive


@dataclass(frozen=True, slots=True)
class StreamAck:
    """The echo of a StreamPing."""

    seq: int


@dataclass(frozen=True, slots=True)
class MemberNews:
    """All that the sender holds of one member."""

    alive: Alive
    state: MemberState


@dataclass(frozen=True, slots=True)
class PushPull:
    """State over a stream: `news` the receiver may lack, `wanted` what the sender lacks.

    `everything`: answer with all that you hold (a joiner asks so)."""

    news: tuple[MemberNews, ...]
    wanted: tuple[PeerId, ...]
    everything: bool


@dataclass(frozen=True, slots=True)
class SyncDigest:
    """16 bytes over (peer, run epoch, incarnation) of every member that the sender holds up; equal: nothing to say."""

    root: bytes


@dataclass(frozen=True, slots=True)
class SyncVersions:
    """The answer to a SyncDigest that differs: (peer, run epoch, incarnation, state) of every member held, sorted."""

    rows: tuple[tuple[PeerId, int, int, MemberState], ...]


News = Alive | Suspect | Dead | Left
DigestMessage = CatalogRoot | AccessRoot  # small and repeated: a stream is opened only where they differ
DatagramMessage = Ping | Ack | Nack | PingReq | News | DigestMessage
StreamGossip = StreamPing | StreamAck | PushPull | SyncDigest | SyncVersions
GossipMessage = DatagramMessage | StreamGossip
