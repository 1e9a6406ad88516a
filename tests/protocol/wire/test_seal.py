from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Invalid
from protocol.ids import PeerId
from protocol.wire.seal import Dropped, KeyRing, MeshKey, Opened, Opener, Sealer, format_mesh_key, parse_mesh_key
from tests.fuzzing import changed, examples, refused, texts

A, B = PeerId("aa" * 32), PeerId("bb" * 32)
SALT, LATER = b"s" * 16, b"t" * 16
KEY = MeshKey(b"i" * 16, b"k" * 32)
NEXT = MeshKey(b"i" * 16, b"n" * 32)


def opened(what: Opened | Dropped) -> Opened:
    assert isinstance(what, Opened), what
    return what


def pair(*, key: MeshKey = KEY, salt: bytes = SALT) -> tuple[Sealer, Opener]:
    return Sealer(KeyRing(key), A, salt), Opener(KeyRing(KEY))


# ---- keys --------------------------------------------------------------------------------------------------------


def test_the_text_form_comes_back_equal() -> None:
    text = format_mesh_key(KEY)
    assert text == f"rendermesh-key-1:{'69' * 16}:{'6b' * 32}"
    assert parse_mesh_key(f"  {text}\n") == KEY
    assert parse_mesh_key(text, name="demo") == replace(KEY, name="demo")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "rendermesh-key-2:" + "69" * 16 + ":" + "6b" * 32,
        "rendermesh-key-1:" + "69" * 16,
        "rendermesh-key-1:" + "69" * 15 + ":" + "6b" * 32,
        "rendermesh-key-1:" + "69" * 16 + ":" + "6b" * 33,
        "rendermesh-key-1:" + "69" * 16 + ":" + "6B" * 32,
        "rendermesh-key-1:" + "69" * 16 + ":" + "6b" * 32 + ":x",
    ],
)
def test_what_is_no_mesh_key_says_how_to_make_one_and_never_shows_the_text(text: str) -> None:
    with pytest.raises(Invalid, match="peerctl keygen") as caught:
        parse_mesh_key(text)
    assert "6b6b" not in caught.value.message


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_every_key_comes_back_from_its_text(mesh_id: bytes, key: bytes) -> None:
    assert parse_mesh_key(format_mesh_key(MeshKey(mesh_id, key))) == MeshKey(mesh_id, key)


@examples(200)
@given(changed(format_mesh_key(KEY).encode()).map(lambda data: data.decode("latin-1")) | texts, texts)
def test_any_text_is_exactly_one_key_or_refused_without_being_shown(text: str, name: str) -> None:
    error = refused(parse_mesh_key, text, by=Invalid)
    if error is None:
        assert format_mesh_key(parse_mesh_key(text)) == text.strip()
    else:
        assert error.code == "bad_mesh_key"
        assert "6b6b" not in error.message
    named = refused(MeshKey, KEY.mesh_id, KEY.key, name, by=Invalid)
    assert named is None or named.code == "bad_mesh_name"


def test_a_key_hides_itself_when_printed() -> None:
    assert "6b6b" not in repr(KEY)
    assert repr(KEY.key) not in repr(KEY)


def test_keys_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(Invalid):
        MeshKey(b"short", b"k" * 32)
    with pytest.raises(Invalid):
        MeshKey(b"i" * 16, b"k" * 32, name="")


def test_each_purpose_name_and_mesh_has_a_key_of_its_own() -> None:
    keys = [KEY, NEXT, replace(KEY, name="demo"), replace(KEY, mesh_id=b"j" * 16)]
    drawn = [key.subkey(purpose) for key in keys for purpose in (b"datagram", b"ca", b"mdns")]
    assert len(set(drawn)) == len(drawn)
    assert KEY.subkey(b"ca") == replace(KEY).subkey(b"ca")
    assert len(KEY.subkey(b"ca", length=48)) == 48


# ---- sealing -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=limits.DATAGRAM_PAYLOAD_BYTES_MAX))
def test_what_is_sealed_opens_once_and_never_exceeds_1400_bytes(payload: bytes) -> None:
    sealer, opener = pair()
    data = sealer.seal(payload)
    assert len(data) == len(payload) + limits.SEAL_BYTES <= limits.DATAGRAM_BYTES_MAX
    assert opener.open(data) == Opened(A, SALT, payload, False)
    assert opener.open(data) is Dropped.REPLAYED


@given(st.data())
def test_a_changed_byte_anywhere_is_dropped(data: st.DataObject) -> None:
    sealer, opener = pair()
    sealed = bytearray(sealer.seal(b"payload"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert isinstance(opener.open(bytes(sealed)), Dropped)


@given(st.binary(max_size=1500))
def test_garbage_is_dropped_and_never_raises(data: bytes) -> None:
    assert isinstance(Opener(KeyRing(KEY)).open(data), Dropped)


def test_each_reason_has_a_name() -> None:
    sealer, opener = pair()
    data = sealer.seal(b"payload")
    assert opener.open(b"") is Dropped.SHORT
    assert opener.open(data[:60]) is Dropped.SHORT
    assert opener.open(data + bytes(1_400)) is Dropped.OVERSIZED
    assert opener.open(b"XX" + data[2:]) is Dropped.NOT_OURS
    assert opener.open(data[:2] + b"\x02" + data[3:]) is Dropped.NOT_OURS
    assert opener.open(data[:-1] + bytes([data[-1] ^ 1])) is Dropped.FORGED
    assert opener.open(data[:-30]) is Dropped.SHORT


def test_a_wrong_key_is_dropped() -> None:
    sealer, opener = pair(key=NEXT)
    assert opener.open(sealer.seal(b"payload")) is Dropped.WRONG_KEY


@pytest.mark.parametrize("other", [replace(KEY, name="demo"), replace(KEY, mesh_id=b"j" * 16)])
def test_another_mesh_is_dropped_even_under_one_key(other: MeshKey) -> None:
    sealer, opener = pair(key=other)
    assert opener.open(sealer.seal(b"payload")) is Dropped.FOREIGN_MESH


def test_no_two_datagrams_of_two_runs_look_alike() -> None:
    first, _ = pair()
    second, _ = pair(salt=LATER)
    drawn = [sealer.seal(b"same")[63:] for sealer in (first, first, second)]
    assert len(set(drawn)) == 3


def test_a_sender_cannot_be_exchanged() -> None:
    sealer, opener = pair()
    data = sealer.seal(b"payload")
    assert opener.open(data[:15] + bytes.fromhex(B) + data[47:]) is Dropped.FORGED


# ---- freshness ---------------------------------------------------------------------------------------------------


def test_a_salt_is_trusted_only_once_it_is_believed() -> None:
    sealer, opener = pair()
    assert not opened(opener.open(sealer.seal(b"1"))).trusted
    opener.believe(A, LATER)  # another process's
    opener.believe(B, SALT)  # another peer's
    assert not opened(opener.open(sealer.seal(b"2"))).trusted
    opener.believe(A, SALT)
    assert opened(opener.open(sealer.seal(b"3"))).trusted


def test_a_restart_takes_the_trust_from_its_old_run() -> None:
    old, opener = pair()
    recorded = [old.seal(b"recorded"), old.seal(b"recorded too")]
    opened(opener.open(recorded[0]))
    opener.believe(A, SALT)
    new, _ = pair(salt=LATER)
    opened(opener.open(new.seal(b"hello")))
    opener.believe(A, LATER)
    assert opened(opener.open(new.seal(b"again"))).trusted
    assert not opened(opener.open(recorded[1])).trusted


def test_believing_keeps_the_replay_window() -> None:
    sealer, opener = pair()
    data = sealer.seal(b"once")
    opener.open(data)
    opener.believe(A, SALT)
    assert opener.open(data) is Dropped.REPLAYED


def test_reordered_datagrams_within_the_window_open_once_each() -> None:
    sealer, opener = pair()
    sealed = [sealer.seal(b"%d" % number) for number in range(limits.REPLAY_WINDOW)]
    for data in reversed(sealed):
        opened(opener.open(data))
    assert all(opener.open(data) is Dropped.REPLAYED for data in sealed)


def test_what_fell_out_of_the_window_is_a_replay() -> None:
    sealer, opener = pair()
    oldest = sealer.seal(b"oldest")
    later = [sealer.seal(b"newer") for _ in range(limits.REPLAY_WINDOW)]
    opened(opener.open(later[-1]))
    assert opener.open(oldest) is Dropped.REPLAYED


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_the_window_admits_each_counter_at_most_once(order: list[int]) -> None:
    sealed: dict[int, bytes] = {}
    sealer, opener = pair()
    for number in range(max(order, default=0) + 1):
        data = sealer.seal(b"x")
        if number in order:
            sealed[number] = data
    admitted = [number for number in order if isinstance(opener.open(sealed[number]), Opened)]
    assert len(admitted) == len(set(admitted))
    assert not order or order[0] in admitted


def test_strangers_are_forgotten_in_bounds_and_the_believed_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SALTS_REMEMBERED", 4)
    friend, opener = pair()
    opened(opener.open(friend.seal(b"hello")))
    opener.believe(A, SALT)
    for number in range(20):
        stranger = Sealer(KeyRing(KEY), B, number.to_bytes(16, "big"))
        opened(opener.open(stranger.seal(b"hello")))
    assert len(opener._strangers) == 4
    assert opened(opener.open(friend.seal(b"still here"))).trusted


# ---- key ring ----------------------------------------------------------------------------------------------------


def test_a_rotation_with_mixed_peers_loses_nothing() -> None:
    rings = KeyRing(KEY), KeyRing(KEY)
    left, right = Sealer(rings[0], A, SALT), Opener(rings[1])
    rings[1].install(NEXT)
    opened(right.open(left.seal(b"under the old key")))
    right.believe(A, SALT)
    rings[0].install(NEXT)
    rings[0].use(NEXT.fingerprint)
    data = left.seal(b"under the new key")
    assert opened(right.open(data)).trusted
    assert right.open(data) is Dropped.REPLAYED
    rings[1].use(NEXT.fingerprint)
    rings[1].remove(KEY.fingerprint)
    opened(right.open(left.seal(b"still")))
    stale = Sealer(KeyRing(KEY), B, SALT)
    assert right.open(stale.seal(b"left behind")) is Dropped.WRONG_KEY


def test_the_ring_refuses_what_would_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(KEY)
    with pytest.raises(Invalid, match="another mesh"):
        ring.install(replace(NEXT, mesh_id=b"j" * 16))
    with pytest.raises(Invalid, match="this key seals"):
        ring.remove(KEY.fingerprint)
    with pytest.raises(Invalid, match="in the ring"):
        ring.use(NEXT.fingerprint)
    ring.install(NEXT)
    ring.install(NEXT)
    assert ring.keys == (KEY, NEXT)
    monkeypatch.setattr(limits, "KEYS_PER_RING_MAX", 2)
    with pytest.raises(Invalid, match="remove an old one"):
        ring.install(replace(NEXT, key=b"3" * 32))
