"""Facts survive the trip through bytes; nothing else gets through."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, PeerId
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry
from protocol.jobs.results import Failure, FrameResult, Inspection, Output, SceneWarning
from protocol.ledger import rows
from protocol.ledger.facts import Accepted, Closed, Control, Delivered, Fact, FrameEnded, Inspected, Owner, ReplicaSet, Retried
from tests.protocol.specs import spec_texts

ID = "ab" * 32


def hexes(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


def texts(most: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=min(most, 30))


PEERS = hexes(32).map(PeerId)
DIGESTS = hexes(32).map(Digest)
WALLS = st.integers(0, limits.WALL_MS_MAX)
SECONDS = st.floats(0, 1e9, allow_nan=False)
SIZES = st.integers(0, 2**20)
NAMES = st.from_regex(r"[a-z0-9 äß_]{1,8}(/[a-z0-9_]{1,8}){0,3}\Z", fullmatch=True)
FRAMES = st.integers(limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX)
SIDES = st.integers(0, limits.PIXELS_PER_SIDE_MAX)
FENCES = st.builds(Fence, st.integers(0, limits.EPOCH_MAX), PEERS)
ATTEMPTS = st.builds(AttemptId, st.integers(0, limits.EPOCH_MAX), PEERS, st.integers(0, limits.ATTEMPT_COUNTER_MAX))
FAILURES = st.builds(
    Failure,
    st.sampled_from(["scene", "crash", "timeout", "stalled", "verification", "memory", "renderer", "infrastructure"]),
    texts(limits.REASON_CHARS_MAX),
)
OUTPUTS = st.builds(Output, st.sampled_from(["main", "left"]), NAMES, DIGESTS, hexes(32), SIZES, SIDES, SIDES, SIDES, texts(20))
DONE = st.builds(FrameResult, st.lists(OUTPUTS, max_size=4).map(tuple), st.none(), SECONDS, texts(20), st.none() | DIGESTS)
FAILED = st.builds(FrameResult, st.just(()), FAILURES, SECONDS, texts(20), st.none() | DIGESTS)
WARNINGS = st.builds(SceneWarning, texts(20), st.sampled_from(["info", "picture"]), texts(20), texts(20))
INSPECTIONS = st.builds(
    Inspection, texts(9), texts(9), texts(9), texts(9), FRAMES, FRAMES, st.integers(1, 100), SECONDS, SIDES, SIDES, texts(9),
    st.lists(WARNINGS, max_size=3).map(tuple), st.none() | FAILURES, st.lists(texts(9), max_size=3).map(tuple),
)  # fmt: skip


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    files = tuple(sorted(ManifestEntry(name, draw(DIGESTS), draw(SIZES)) for name in names))
    return Manifest(draw(st.sampled_from(names)), files) if names else EMPTY


BODIES = st.one_of(
    st.builds(Accepted, spec_texts, manifests(), texts(30), texts(30), WALLS, st.none() | PEERS),
    st.builds(ReplicaSet, FENCES, st.integers(0, 2**40), st.lists(PEERS, max_size=4, unique=True).map(tuple)),
    st.builds(Owner, FENCES),
    st.builds(Inspected, ATTEMPTS, PEERS, INSPECTIONS, WALLS),
    st.builds(FrameEnded, FRAMES, st.integers(0, 99), ATTEMPTS, PEERS, DONE | FAILED, WALLS),
    st.builds(
        Control,
        st.sampled_from(["cancelled", "paused", "on_warning", "accepted_warnings"]), texts(30), FENCES, st.integers(0, 2**40),
        WALLS,
    ),
    st.builds(Control, st.just("priority"), st.integers(0, 100).map(str), FENCES, st.integers(0, 2**40), WALLS),
    st.builds(
        Delivered, st.sampled_from(["1-48", "-5"]), st.integers(0, 99), st.sampled_from([(), ((1, "a/b.png"), (2, "c.png"))]),
        PEERS, WALLS,
    ),
    st.builds(Retried, st.sampled_from(["1-48", "-5", "1-9x2,60"]), st.integers(0, 99), WALLS),
    st.builds(Closed, st.sampled_from(["completed", "failed", "cancelled"]), FENCES, st.integers(0, 99), WALLS),
)  # fmt: skip
FACTS = st.builds(Fact, hexes(16).map(JobId), hexes(8).map(AuthorId), st.integers(1, rows.SEQ_MAX), BODIES)
ATOMS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts(9) | st.binary(max_size=40)


@given(FACTS)
def test_every_fact_comes_back_equal(fact: Fact):
    assert rows.fact_from_row(rows.fact_to_row(fact)) == fact
    assert rows.body_from_row(rows.body_to_row(fact.body)) == fact.body
    assert rows.fact_from_wire(rows.fact_to_wire(fact)) == fact


@given(FACTS)
def test_rows_are_lists_without_maps_all_the_way_down(fact: Fact):
    def plain(value: Any) -> bool:
        return all(map(plain, value)) if isinstance(value, list) else value is None or type(value) in (int, float, str, bytes)

    assert plain(rows.fact_to_wire(fact))


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_garbage_is_malformed_and_nothing_worse(data: bytes):
    with pytest.raises(Malformed):
        rows.fact_from_row(data)


@given(FACTS, st.data())
@settings(max_examples=300)
def test_a_changed_byte_gives_another_fact_or_malformed(fact: Fact, data: st.DataObject):
    row = bytearray(rows.fact_to_row(fact))
    row[data.draw(st.integers(0, len(row) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        again = rows.fact_from_row(bytes(row))
    except Malformed:
        return
    assert rows.fact_from_row(rows.fact_to_row(again)) == again


@given(FACTS, st.data())
@settings(max_examples=300)
def test_a_replaced_value_anywhere_gives_a_fact_or_malformed(fact: Fact, data: st.DataObject):
    def replaced(value: Any) -> Any:
        if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
            at = data.draw(st.integers(0, len(value) - 1))
            return [*value[:at], replaced(value[at]), *value[at + 1 :]]
        return data.draw(ATOMS | st.lists(ATOMS, max_size=3) | st.dictionaries(texts(3), ATOMS, max_size=2))

    wire = replaced(rows.fact_to_wire(fact))
    try:
        again = rows.fact_from_wire(wire)
    except Malformed:
        return
    assert rows.fact_from_row(rows.fact_to_row(again)) == again


def ended(**changes: Any) -> FrameEnded:
    values: dict[str, Any] = {
        "frame": 1, "generation": 0, "attempt": AttemptId(1, PeerId(ID), 1), "peer": PeerId(ID),
        "result": FrameResult((), None, 1.0), "wall_ms": 0,
    }  # fmt: skip
    return FrameEnded(**(values | changes))


def output(**changes: Any) -> FrameResult:
    values: dict[str, Any] = {
        "role": "main", "name": "a.png", "digest": ID, "pixel_hash": ID, "size": 1, "width": 1, "height": 1, "channels": 4,
        "format": "PNG",
    }  # fmt: skip
    return FrameResult((Output(**(values | changes)),), None, 1.0)


def accepted(**changes: Any) -> Accepted:
    values: dict[str, Any] = {"spec": "{}", "manifest": EMPTY, "submitter": "me", "key": "k", "wall_ms": 0}
    return Accepted(**(values | changes))


def scene(*names: str, main: str = "a", size: int = 1) -> Manifest:
    return Manifest(main, tuple(ManifestEntry(name, Digest(ID), size) for name in names))


@pytest.mark.parametrize(
    "body",
    [
        ended(frame=limits.FRAME_NUMBER_MAX + 1),
        ended(generation=-1),
        ended(wall_ms=-1),
        ended(wall_ms=True),
        ended(attempt=AttemptId(1, PeerId(ID), 2**64)),
        ended(peer="xy" * 32),
        ended(peer=ID.upper()),
        ended(peer=ID[:-2]),
        ended(peer=ID[:-1]),
        ended(result=FrameResult((), None, float("nan"))),
        ended(result=FrameResult((), None, float("inf"))),
        ended(result=FrameResult((), None, -1.0)),
        ended(result=FrameResult((), Failure("bad luck", "x"), 1.0)),  # type: ignore[arg-type]
        ended(result=FrameResult((), Failure("crash", "x" * (limits.REASON_CHARS_MAX + 1)), 1.0)),
        ended(result=FrameResult(output().outputs, Failure("crash", "x"), 1.0)),
        ended(result=FrameResult(output().outputs * (limits.OUTPUTS_PER_FRAME_MAX + 1), None, 1.0)),
        ended(result=output(name="../a.png")),
        ended(result=output(name="/a.png")),
        ended(result=output(name="a//b.png")),
        ended(result=output(name="\ud800")),
        ended(result=output(size=-1)),
        ended(result=output(digest="")),
        ended(result=output(width=1.5)),
        accepted(spec="x" * (limits.SPEC_CHARS_MAX + 1)),
        accepted(spec='{"frames":"48-1"}'),
        accepted(spec='{"settings":{"a":' + "[" * 210 + "]" * 210 + "}}"),
        accepted(key="k" * (limits.IDEMPOTENCY_KEY_CHARS_MAX + 1)),
        accepted(submitter="\udfff"),
        accepted(submitter=None),
        accepted(manifest=scene("a", "a")),
        accepted(manifest=scene("b")),
        accepted(manifest=scene("a", "../b")),
        accepted(manifest=scene("a", "b\x00")),
        accepted(manifest=scene("a", "b" * (limits.FILE_NAME_BYTES_MAX + 1))),
        accepted(manifest=scene("a", "b", size=limits.SCENE_BYTES_MAX)),
        accepted(manifest=scene(main="a")),
        accepted(only_on="here"),
        ReplicaSet(Fence(1, PeerId(ID)), 1, (PeerId(ID), PeerId(ID))),
        ReplicaSet(Fence(-1, PeerId(ID)), 1, ()),
        ReplicaSet(Fence(1, PeerId(ID)), 1, tuple(PeerId(f"{n:064x}") for n in range(limits.REPLICAS_PER_JOB_MAX + 1))),
        Control("priority", "soon", Fence(1, PeerId(ID)), 1, 0),
        Control("colour", "red", Fence(1, PeerId(ID)), 1, 0),  # type: ignore[arg-type]
        Delivered("48-1", 1, (), PeerId("ab" * 32), 0),
        Delivered("1", 1, ((1, "../x"),), PeerId("ab" * 32), 0),
        Retried("48-1", 1, 0),
        Retried("abc", 1, 0),
        Retried("9" * 5000, 1, 0),
        Retried("1-10000001", 1, 0),
        Closed("done", Fence(1, PeerId(ID)), 0, 0),  # type: ignore[arg-type]
    ],
)
def test_a_body_beyond_the_limits_is_refused_before_it_is_stored(body: Any):
    with pytest.raises(Malformed):
        rows.body_to_row(body)


@pytest.mark.parametrize("fact", [Fact(JobId("00" * 16), AuthorId("00" * 8), seq, ended()) for seq in (0, -1, 2**63)])
def test_sequences_begin_at_one_and_fit_sqlite(fact: Fact):
    with pytest.raises(Malformed):
        rows.fact_to_row(fact)


@pytest.mark.parametrize(
    "wire",
    [None, 1, "x", {}, [], [99], ["1"], [True], [[]], [rows.OWNER], [rows.OWNER, [1, b"x" * 32], 3], [rows.OWNER, [1, ID]]],
)
def test_a_body_of_the_wrong_shape_is_malformed(wire: object):
    with pytest.raises(Malformed):
        rows.body_from_wire(wire)


def test_deep_nesting_and_huge_claims_are_malformed():
    for data in (
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x80",
        b"\xd4\x01\x00",
    ):
        with pytest.raises(Malformed):
            rows.fact_from_row(data)


def test_trailing_bytes_are_malformed():
    row = rows.fact_to_row(Fact(JobId("00" * 16), AuthorId("00" * 8), 1, Owner(Fence(1, PeerId(ID)))))
    with pytest.raises(Malformed):
        rows.fact_from_row(row + b"\xc0")


def test_a_row_longer_than_the_limit_is_not_even_unpacked():
    with pytest.raises(Malformed, match="at most"):
        rows.fact_from_row(bytes(limits.FACT_BYTES_MAX + 1))


def test_a_finished_frame_with_one_output_is_small():
    """A job of a million frames stores as many of these."""
    fact = Fact(
        JobId("00" * 16), AuthorId("00" * 8), 1, ended(result=output(name="shot_0001.png", size=10**6, width=1920, height=1080))
    )
    assert len(rows.fact_to_row(fact)) < 256
    assert isinstance(msgpack.unpackb(rows.fact_to_row(fact)), list)
