"""Facts as bytes: for the journal's rows and, embedded as plain lists, for messages between peers.

Decides the layout (positional lists, ids as raw bytes) and what a fact from another process may contain: this is a
trust boundary, so every type, length and range is checked by hand. Refuses to know where the bytes come from, who
signed them, and whether a fact makes sense beside others.

Layout of a body: `[kind, field, ...]` with the fields in the order of the dataclass; fences are `[epoch, peer]`, attempts
`[epoch, owner, counter]`. A row is `[job, author, seq, body]`. Kinds are numbers that are never used twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, assert_never, cast, get_args

import msgpack

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, PeerId, is_hex, shared
from protocol.jobs.foreign import file_name, frames_text, register_value, spec_text
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, make_manifest
from protocol.jobs.results import Failure, FailureClass, FrameResult, Inspection, Output, SceneWarning, WarningClass
from protocol.ledger.facts import (
    Accepted,
    Body,
    Closed,
    Control,
    Delivered,
    Fact,
    FrameEnded,
    Inspected,
    Owner,
    Register,
    ReplicaSet,
    Retried,
)

ACCEPTED: Final = 1
REPLICA_SET: Final = 2
OWNER: Final = 3
INSPECTED: Final = 4
FRAME_ENDED: Final = 5
CONTROL: Final = 6
CLOSED: Final = 7
RETRIED: Final = 8
DELIVERED: Final = 9

JOB_BYTES: Final = 16
AUTHOR_BYTES: Final = 8
PEER_BYTES: Final = 32
DIGEST_BYTES: Final = 32
SEQ_MAX: Final = 2**63 - 1

ClosedState = Literal["completed", "failed", "cancelled"]
_REGISTERS = frozenset(get_args(Register))
_FAILURES = frozenset(get_args(FailureClass))
_WARNINGS = frozenset(get_args(WarningClass))
_CLOSED = frozenset(get_args(ClosedState))

Row = list[Any]  # what msgpack carries: nested lists of int, float, str, bytes and None
ItemT = TypeVar("ItemT")


# ---- rows --------------------------------------------------------------------------------------------------------


def fact_to_row(fact: Fact) -> bytes:
    """A fact as msgpack. Raises `Malformed` for one that `fact_from_row` would refuse, before anybody stores it."""
    row = _packed(fact_to_wire(fact))
    fact_from_row(row)
    return row


def fact_from_row(data: bytes) -> Fact:
    """The fact in `data`. Raises `Malformed` and nothing else, whatever the bytes."""
    return fact_from_wire(_unpacked(data))


def body_to_row(body: Body) -> bytes:
    """A body alone, for a table that has the identity in columns. Raises `Malformed` like `fact_to_row`."""
    row = _packed(body_to_wire(body))
    body_from_row(row)
    return row


def body_from_row(data: bytes) -> Body:
    """The body in `data`. Raises `Malformed` and nothing else, whatever the bytes."""
    return body_from_wire(_unpacked(data))


def fact_to_wire(fact: Fact) -> Row:
    """A fact as plain lists that msgpack can carry: `[job, author, seq, body]`."""
    return [_raw(fact.job), _raw(fact.author), fact.seq, body_to_wire(fact.body)]


def fact_from_wire(value: object) -> Fact:
    """The fact in an unpacked message. Raises `Malformed`."""
    job, author, seq, body = _list(value, 4)
    return Fact(
        job=JobId(shared(_hex(job, JOB_BYTES))),
        author=AuthorId(shared(_hex(author, AUTHOR_BYTES))),
        seq=_int(seq, 1, SEQ_MAX),
        body=body_from_wire(body),
    )


def body_to_wire(body: Body) -> Row:
    """A body as plain lists that msgpack can carry. Raises `Malformed` for an id that is not hexadecimal."""
    match body:
        case Accepted():
            only_on = None if body.only_on is None else _raw(body.only_on)
            return [ACCEPTED, body.spec, _manifest_row(body.manifest), body.submitter, body.key, body.wall_ms, only_on]
        case ReplicaSet():
            return [REPLICA_SET, _fence_row(body.fence), body.version, [_raw(peer) for peer in body.peers]]
        case Owner():
            return [OWNER, _fence_row(body.fence)]
        case Inspected():
            return [INSPECTED, _attempt_row(body.attempt), _raw(body.peer), _inspection_row(body.inspection), body.wall_ms]
        case FrameEnded():
            return _frame_ended_row(body)
        case Control():
            return [CONTROL, body.register, body.value, _fence_row(body.fence), body.counter, body.wall_ms]
        case Retried():
            return [RETRIED, body.frames, body.generation, body.wall_ms]
        case Closed():
            return [CLOSED, body.state, _fence_row(body.fence), body.retries, body.wall_ms]
        case Delivered():
            conflicts = [[frame, name] for frame, name in body.conflicts]
            return [DELIVERED, body.frames, body.generation, conflicts, _raw(body.peer), body.wall_ms]
        case _:
            assert_never(body)


def body_from_wire(value: object) -> Body:
    """The body in an unpacked message. Raises `Malformed`."""
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        raise Malformed("a fact's body must be a list that begins with its kind")
    read = _BODIES.get(value[0])
    if read is None:
        raise Malformed(f"a fact of the unknown kind {value[0]}")
    return read(value)


# ---- writing -----------------------------------------------------------------------------------------------------


def _frame_ended_row(body: FrameEnded) -> Row:
    attempt = _attempt_row(body.attempt)
    return [FRAME_ENDED, body.frame, body.generation, attempt, _raw(body.peer), result_to_wire(body.result), body.wall_ms]


def result_to_wire(result: FrameResult) -> Row:
    """An ended attempt as plain lists: `[outputs, failure, seconds, device, log and its size]`."""
    failure = None if result.failure is None else [result.failure.kind, result.failure.reason]
    log = None if result.log is None else [_raw(result.log), result.log_size]
    return [[_output_row(output) for output in result.outputs], failure, result.seconds, result.device, log]


def _output_row(one: Output) -> Row:
    ids = [_raw(one.digest), _raw(one.pixel_hash)]
    return [one.role, one.name, *ids, one.size, one.width, one.height, one.channels, one.format]


def manifest_to_wire(manifest: Manifest) -> Row:
    """A manifest as plain lists: `[main, [[name, digest, size], ...]]`."""
    return _manifest_row(manifest)


def _manifest_row(manifest: Manifest) -> Row:
    return [manifest.main, [[entry.name, _raw(entry.digest), entry.size] for entry in manifest.files]]


def inspection_to_wire(inspection: Inspection) -> Row:
    """An inspection as plain lists, its fields in the order of the dataclass."""
    return _inspection_row(inspection)


def _inspection_row(seen: Inspection) -> Row:
    names = [seen.blender, seen.scene, seen.camera, seen.engine]
    numbers = [seen.frame_start, seen.frame_end, seen.frame_step, seen.fps, seen.width, seen.height]
    warnings = [[warning.code, warning.kind, warning.text, warning.remedy] for warning in seen.warnings]
    error = None if seen.error is None else [seen.error.kind, seen.error.reason]
    return [*names, *numbers, seen.format, warnings, error, list(seen.notes)]


def _fence_row(fence: Fence) -> Row:
    return [fence.epoch, _raw(fence.peer)]


def _attempt_row(attempt: AttemptId) -> Row:
    return [attempt.epoch, _raw(attempt.owner), attempt.counter]


def _raw(text: str) -> bytes:
    if not is_hex(text, len(text)) or len(text) % 2:
        raise Malformed(f"not a hexadecimal id: {text[:80]!r}")
    return bytes.fromhex(text)


def _packed(value: Row) -> bytes:
    try:
        return cast(bytes, msgpack.packb(value))
    except (ValueError, OverflowError, TypeError) as fault:  # lone surrogates, numbers above 64 bits, foreign types
        raise Malformed(f"a fact that cannot be written: {fault}") from fault


# ---- reading: bodies ---------------------------------------------------------------------------------------------


def _read_accepted(value: Row) -> Accepted:
    _, spec, manifest, submitter, key, wall_ms, only_on = _list(value, 7)
    return Accepted(
        spec=spec_text(spec),
        manifest=manifest_from_wire(manifest),
        submitter=_text(submitter, limits.SUBMITTER_CHARS_MAX),
        key=_text(key, limits.IDEMPOTENCY_KEY_CHARS_MAX),
        wall_ms=_wall(wall_ms),
        only_on=None if only_on is None else _peer(only_on),
    )


def _read_replica_set(value: Row) -> ReplicaSet:
    _, fence, version, peers = _list(value, 4)
    ids = _items(peers, limits.REPLICAS_PER_JOB_MAX, _peer)
    if len(set(ids)) != len(ids):
        raise Malformed("a replica set names a peer twice")
    return ReplicaSet(fence=_fence(fence), version=_int(version, 0, limits.EPOCH_MAX), peers=ids)


def _read_owner(value: Row) -> Owner:
    _, fence = _list(value, 2)
    return Owner(fence=_fence(fence))


def _read_inspected(value: Row) -> Inspected:
    _, attempt, peer, inspection, wall_ms = _list(value, 5)
    return Inspected(_attempt(attempt), _peer(peer), inspection_from_wire(inspection), _wall(wall_ms))


def _read_frame_ended(value: Row) -> FrameEnded:
    _, frame, generation, attempt, peer, result, wall_ms = _list(value, 7)
    return FrameEnded(
        frame=_int(frame, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX),
        generation=_int(generation, 0, limits.GENERATIONS_MAX),
        attempt=_attempt(attempt),
        peer=_peer(peer),
        result=result_from_wire(result),
        wall_ms=_wall(wall_ms),
    )


def _read_control(value: Row) -> Control:
    _, register, text, fence, counter, wall_ms = _list(value, 6)
    return Control(
        register=cast(Register, _choice(register, _REGISTERS)),
        value=register_value(str(register), text),
        fence=_fence(fence),
        counter=_int(counter, 0, limits.EPOCH_MAX),
        wall_ms=_wall(wall_ms),
    )


def _read_retried(value: Row) -> Retried:
    _, frames, generation, wall_ms = _list(value, 4)
    return Retried(frames_text(frames), _int(generation, 0, limits.GENERATIONS_MAX), _wall(wall_ms))


def _read_closed(value: Row) -> Closed:
    _, state, fence, retries, wall_ms = _list(value, 5)
    return Closed(
        state=cast(ClosedState, _choice(state, _CLOSED)),
        fence=_fence(fence),
        retries=_int(retries, 0, limits.EPOCH_MAX),
        wall_ms=_wall(wall_ms),
    )


def _read_delivered(value: Row) -> Delivered:
    _, frames, generation, conflicts, peer, wall_ms = _list(value, 6)
    return Delivered(
        frames=frames_text(frames),
        generation=_int(generation, 0, limits.GENERATIONS_MAX),
        conflicts=_items(conflicts, limits.CONFLICTS_PER_FACT_MAX, _conflict),
        peer=_peer(peer),
        wall_ms=_wall(wall_ms),
    )


def _conflict(value: object) -> tuple[int, str]:
    frame, name = _list(value, 2)
    return _int(frame, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX), file_name(name)


_BODIES: Final[dict[int, Callable[[Row], Body]]] = {
    ACCEPTED: _read_accepted,
    REPLICA_SET: _read_replica_set,
    OWNER: _read_owner,
    INSPECTED: _read_inspected,
    FRAME_ENDED: _read_frame_ended,
    CONTROL: _read_control,
    CLOSED: _read_closed,
    RETRIED: _read_retried,
    DELIVERED: _read_delivered,
}


# ---- reading: parts that messages carry too ----------------------------------------------------------------------


def manifest_from_wire(value: object) -> Manifest:
    """A manifest whose names are confined and distinct. Raises `Malformed`."""
    main, rows = _list(value, 2)
    files = _items(rows, limits.FILES_PER_MANIFEST_MAX, _entry)
    if main == "" and not files:
        return EMPTY
    if len({entry.name for entry in files}) != len(files):
        raise Malformed("a manifest names a file twice")
    if sum(entry.size for entry in files) > limits.SCENE_BYTES_MAX:
        raise Malformed(f"a scene of more than {limits.SCENE_BYTES_MAX:,} bytes")
    try:
        return make_manifest(file_name(main), list(files))
    except Invalid as fault:
        raise Malformed(fault.message) from fault


def _entry(value: object) -> ManifestEntry:
    name, digest, size = _list(value, 3)
    return ManifestEntry(file_name(name), _digest(digest), _int(size, 0, limits.SCENE_BYTES_MAX))


def result_from_wire(value: object) -> FrameResult:
    """An ended attempt: outputs, or a failure, never both. Raises `Malformed`."""
    rows, failed, seconds, device, log = _list(value, 5)
    outputs = _items(rows, limits.OUTPUTS_PER_FRAME_MAX, _output)
    failure = None if failed is None else _failure(failed)
    if failure is not None and outputs:
        raise Malformed("a failed attempt with outputs")
    return FrameResult(
        outputs=outputs,
        failure=failure,
        seconds=_float(seconds),
        device=shared(_text(device, limits.TEXT_CHARS_MAX)),
        log=None if log is None else _digest(_list(log, 2)[0]),
        log_size=0 if log is None else _int(_list(log, 2)[1], 0, limits.SCENE_BYTES_MAX),
    )


def _output(value: object) -> Output:
    role, name, digest, pixel_hash, size, width, height, channels, format_ = _list(value, 9)
    return Output(
        role=shared(_text(role, limits.TEXT_CHARS_MAX)),
        name=file_name(name),
        digest=_digest(digest),
        pixel_hash=_hex(pixel_hash, DIGEST_BYTES),
        size=_int(size, 0, limits.SCENE_BYTES_MAX),
        width=_int(width, 0, limits.PIXELS_PER_SIDE_MAX),
        height=_int(height, 0, limits.PIXELS_PER_SIDE_MAX),
        channels=_int(channels, 0, limits.PIXELS_PER_SIDE_MAX),
        format=shared(_text(format_, limits.TEXT_CHARS_MAX)),
    )


def inspection_from_wire(value: object) -> Inspection:
    """What a scene is. Raises `Malformed`."""
    blender, scene, camera, engine, start, end, step, fps, width, height, format_, warnings, error, notes = _list(value, 14)
    return Inspection(
        blender=_text(blender, limits.TEXT_CHARS_MAX),
        scene=_text(scene, limits.TEXT_CHARS_MAX),
        camera=_text(camera, limits.TEXT_CHARS_MAX),
        engine=_text(engine, limits.TEXT_CHARS_MAX),
        frame_start=_int(start, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX),
        frame_end=_int(end, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX),
        frame_step=_int(step, 1, limits.FRAME_NUMBER_MAX),
        fps=_float(fps),
        width=_int(width, 0, limits.PIXELS_PER_SIDE_MAX),
        height=_int(height, 0, limits.PIXELS_PER_SIDE_MAX),
        format=_text(format_, limits.TEXT_CHARS_MAX),
        warnings=_items(warnings, limits.WARNINGS_PER_SCENE_MAX, _warning),
        error=None if error is None else _failure(error),
        notes=_items(notes, limits.WARNINGS_PER_SCENE_MAX, lambda note: _text(note, limits.REASON_CHARS_MAX)),
    )


def _warning(value: object) -> SceneWarning:
    code, kind, text, remedy = _list(value, 4)
    return SceneWarning(
        code=_text(code, limits.TEXT_CHARS_MAX),
        kind=cast(WarningClass, _choice(kind, _WARNINGS)),
        text=_text(text, limits.REASON_CHARS_MAX),
        remedy=_text(remedy, limits.REASON_CHARS_MAX),
    )


def _failure(value: object) -> Failure:
    kind, reason = _list(value, 2)
    return Failure(cast(FailureClass, _choice(kind, _FAILURES)), _text(reason, limits.REASON_CHARS_MAX))


def _fence(value: object) -> Fence:
    epoch, peer = _list(value, 2)
    return Fence(_int(epoch, 0, limits.EPOCH_MAX), _peer(peer))


def _attempt(value: object) -> AttemptId:
    epoch, owner, counter = _list(value, 3)
    return AttemptId(_int(epoch, 0, limits.EPOCH_MAX), _peer(owner), _int(counter, 0, limits.ATTEMPT_COUNTER_MAX))


# ---- reading: leaves ---------------------------------------------------------------------------------------------


def _unpacked(data: bytes) -> object:
    if len(data) > limits.FACT_BYTES_MAX:
        raise Malformed(f"a fact of {len(data):,} bytes; at most {limits.FACT_BYTES_MAX:,}")
    try:
        return msgpack.unpackb(data, max_array_len=limits.FILES_PER_MANIFEST_MAX, max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as fault:
        raise Malformed(f"not a fact: {type(fault).__name__}: {str(fault)[:200]}") from fault


def _list(value: object, length: int) -> Row:
    if not isinstance(value, list) or len(value) != length:
        raise Malformed(f"expected a list of {length}")
    return value


def _items(value: object, most: int, read: Callable[[object], ItemT]) -> tuple[ItemT, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise Malformed(f"expected a list of at most {most:,}")
    return tuple([read(item) for item in value])


def _int(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"expected a whole number from {low} to {high}")
    return value


def _wall(value: object) -> int:
    return _int(value, 0, limits.WALL_MS_MAX)


def _float(value: object) -> float:
    if type(value) not in (int, float) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Malformed("expected a finite number of at least 0")
    return float(value)


def _text(value: object, chars_max: int) -> str:
    if not isinstance(value, str) or len(value) > chars_max:
        raise Malformed(f"expected text of at most {chars_max:,} characters")
    return value


def _choice(value: object, choices: frozenset[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise Malformed(f"expected one of {', '.join(sorted(choices))}")
    return value


def _hex(value: object, length: int) -> str:
    """`length` raw bytes as lowercase hexadecimal."""
    if not isinstance(value, bytes) or len(value) != length:
        raise Malformed(f"expected {length} bytes")
    return value.hex()


def _peer(value: object) -> PeerId:
    return PeerId(shared(_hex(value, PEER_BYTES)))


def _digest(value: object) -> Digest:
    return Digest(_hex(value, DIGEST_BYTES))
