"""Messages about membership as plain lists and back: `[tag, field, ...]`, the fields in the order of the dataclass.

Tags are never used twice. Trailing fields of a newer version are ignored, except those of `Alive`, which are kept, since
its news is handed on. Every reader raises `Malformed` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import PeerId
from protocol.signals import MemberState
from protocol.wire.fields import Row, address, blob, flag, items, octets, peer, sequence, shallow, uint, whole
from protocol.wire.gossip import (
    Ack,
    Alive,
    Dead,
    GossipMessage,
    Left,
    MemberNews,
    Nack,
    Ping,
    PingReq,
    PushPull,
    StreamAck,
    StreamPing,
    Suspect,
    SyncDigest,
    SyncVersions,
)

PING: Final = 1
ACK: Final = 2
NACK: Final = 3
PING_REQ: Final = 4
ALIVE: Final = 5
SUSPECT: Final = 6
DEAD: Final = 7
LEFT: Final = 8
STREAM_PING: Final = 16
STREAM_ACK: Final = 17
PUSH_PULL: Final = 18
SYNC_DIGEST: Final = 19
SYNC_VERSIONS: Final = 20

ALIVE_FIELDS: Final = 11  # the tag included; what follows is kept unread
NONCE_BYTES: Final = 8
ROOT_BYTES: Final = 16

_STATES: Final[tuple[MemberState, ...]] = ("alive", "suspect", "dead", "left")  # their places are their numbers
_NUMBERS: Final = {state: number for number, state in enumerate(_STATES)}


# ---- writing -----------------------------------------------------------------------------------------------------


def alive_row(news: Alive) -> Row:
    """`[5, peer, epoch, incarnation, nonce, host, port, mesh_port, meta, lowest, highest, kept...]`."""
    host, port = news.address.host, news.address.port
    row = [ALIVE, bytes.fromhex(news.peer), news.run_epoch, news.incarnation, news.nonce, host, port, news.mesh_port]
    row += [news.meta, *news.versions]
    if news.extra:
        row += msgpack.unpackb(news.extra)
    return row


def _ping_row(ping: Ping) -> Row:
    row: Row = [PING, ping.seq, ping.target and bytes.fromhex(ping.target), ping.suspicion and _suspect_row(ping.suspicion)]
    return row


def _suspect_row(news: Suspect) -> Row:
    accuser = bytes.fromhex(news.accuser)
    return [SUSPECT, bytes.fromhex(news.peer), news.run_epoch, news.incarnation, accuser, news.refused]


def _push_pull_row(message: PushPull) -> Row:
    news = [[alive_row(one.alive), _NUMBERS[one.state]] for one in message.news]
    return [PUSH_PULL, news, [bytes.fromhex(one) for one in message.wanted], message.everything]


def _versions_row(message: SyncVersions) -> Row:
    rows = [[bytes.fromhex(one), epoch, incarnation, _NUMBERS[state]] for one, epoch, incarnation, state in message.rows]
    return [SYNC_VERSIONS, rows]


WRITERS: Final[dict[type[Any], Callable[[Any], Row]]] = {
    Ping: _ping_row,
    Ack: lambda one: [ACK, one.seq, one.mesh_port],
    Nack: lambda one: [NACK, one.seq],
    PingReq: lambda one: [PING_REQ, one.seq, bytes.fromhex(one.target), one.address.host, one.address.port],
    Alive: alive_row,
    Suspect: _suspect_row,
    Dead: lambda one: [DEAD, bytes.fromhex(one.peer), one.run_epoch, one.incarnation, bytes.fromhex(one.accuser)],
    Left: lambda one: [LEFT, bytes.fromhex(one.peer), one.run_epoch, one.incarnation],
    StreamPing: lambda one: [STREAM_PING, one.seq, alive_row(one.origin)],
    StreamAck: lambda one: [STREAM_ACK, one.seq],
    PushPull: _push_pull_row,
    SyncDigest: lambda one: [SYNC_DIGEST, one.root],
    SyncVersions: _versions_row,
}


# ---- reading -----------------------------------------------------------------------------------------------------


def read_alive(row: Row) -> Alive:
    """The news in a row of at least `ALIVE_FIELDS` items."""
    lowest, highest = uint(row[9], limits.VERSION_MAX), uint(row[10], limits.VERSION_MAX)
    if lowest > highest:
        raise Malformed("a version range that ends before it begins")
    return Alive(
        peer=peer(row[1]),
        run_epoch=_epoch(row[2]),
        incarnation=_epoch(row[3]),
        nonce=octets(row[4], NONCE_BYTES),
        address=address(row[5], row[6]),
        mesh_port=_port(row[7]),
        meta=blob(row[8], limits.METADATA_BYTES_MAX),
        versions=(lowest, highest),
        extra=_kept(row[ALIVE_FIELDS:]) if len(row) > ALIVE_FIELDS else b"",
    )


def _kept(fields: Row) -> bytes:
    if not shallow(fields, limits.MESSAGE_DEPTH_MAX):
        raise Malformed("nested too deeply")
    packed = cast(bytes, msgpack.packb(fields))
    if len(packed) > limits.KEPT_FIELDS_BYTES_MAX:
        raise Malformed(f"more than {limits.KEPT_FIELDS_BYTES_MAX} bytes of unknown fields")
    return packed


def _alive_within(value: object) -> Alive:
    row = sequence(value, ALIVE_FIELDS, limits.MESSAGE_ITEMS_MAX)
    if row[0] != ALIVE:
        raise Malformed("expected news of a living member")
    return read_alive(row)


def _read_ping(row: Row) -> Ping:
    target = None if row[2] is None else peer(row[2])
    return Ping(uint(row[1]), target, None if row[3] is None else _suspect_within(row[3]))


def _suspect_within(value: object) -> Suspect:
    row = sequence(value, 6, limits.MESSAGE_ITEMS_MAX)
    if row[0] != SUSPECT:
        raise Malformed("expected a suspicion")
    return _read_suspect(row)


def _read_suspect(row: Row) -> Suspect:
    return Suspect(peer(row[1]), _epoch(row[2]), _epoch(row[3]), peer(row[4]), flag(row[5]))


def _read_push_pull(row: Row) -> PushPull:
    news = items(row[1], limits.MESSAGE_ITEMS_MAX, _member_news)
    return PushPull(news, items(row[2], limits.MESSAGE_ITEMS_MAX, peer), flag(row[3]))


def _member_news(value: object) -> MemberNews:
    pair = sequence(value, 2, 2)
    return MemberNews(_alive_within(pair[0]), _state(pair[1]))


def _version(value: object) -> tuple[PeerId, int, int, MemberState]:
    one, epoch, incarnation, state = sequence(value, 4, 4)
    return peer(one), _epoch(epoch), _epoch(incarnation), _state(state)


def _state(value: object) -> MemberState:
    return _STATES[uint(value, len(_STATES) - 1)]


def _epoch(value: object) -> int:
    return uint(value, limits.EPOCH_MAX)


def _port(value: object) -> int:
    return whole(value, 1, 65_535)


# tag: (number of items with the tag, reader); a shorter row is malformed, a longer one comes from a newer version
READERS: Final[dict[int, tuple[int, Callable[[Row], GossipMessage]]]] = {
    PING: (4, _read_ping),
    ACK: (3, lambda row: Ack(uint(row[1]), _port(row[2]))),
    NACK: (2, lambda row: Nack(uint(row[1]))),
    PING_REQ: (5, lambda row: PingReq(uint(row[1]), peer(row[2]), address(row[3], row[4]))),
    ALIVE: (ALIVE_FIELDS, read_alive),
    SUSPECT: (6, _read_suspect),
    DEAD: (5, lambda row: Dead(peer(row[1]), _epoch(row[2]), _epoch(row[3]), peer(row[4]))),
    LEFT: (4, lambda row: Left(peer(row[1]), _epoch(row[2]), _epoch(row[3]))),
    STREAM_PING: (3, lambda row: StreamPing(uint(row[1]), _alive_within(row[2]))),
    STREAM_ACK: (2, lambda row: StreamAck(uint(row[1]))),
    PUSH_PULL: (4, _read_push_pull),
    SYNC_DIGEST: (2, lambda row: SyncDigest(octets(row[1], ROOT_BYTES))),
    SYNC_VERSIONS: (2, lambda row: SyncVersions(items(row[1], limits.MESSAGE_ITEMS_MAX, _version))),
}
