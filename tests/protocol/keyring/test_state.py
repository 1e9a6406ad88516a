from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.ids import PeerId
from protocol.keyring.state import HeldKey, RingState, fresh_ring, load_ring, read_ring, stored_under, write_ring
from protocol.wire.seal import MeshKey

KEYS = [MeshKey(b"i" * 16, bytes([number]) * 32) for number in range(12)]
A, B = PeerId("a" * 64), PeerId("b" * 64)


def ring(*numbers: int) -> RingState:
    state = fresh_ring(KEYS[numbers[0]])
    for number in numbers[1:]:
        state = state.install(HeldKey(KEYS[number]))
    return state


def name(number: int) -> str:
    return KEYS[number].fingerprint


def test_the_greater_register_rules_and_one_without_its_key_does_not() -> None:
    state = ring(0, 1)
    assert state.use((1, name(1))).primary == KEYS[1]
    assert state.use((1, name(0))).use((1, name(1))).used == state.use((1, name(1))).use((1, name(0))).used
    assert state.use((5, name(2))) == state
    assert state.use((5, name(1))).ring == (KEYS[1], KEYS[0])


def test_when_the_one_in_use_is_removed_all_fall_back_to_the_same() -> None:
    state = ring(0, 1, 2).use((1, name(2))).remove((name(2),))
    assert state.primary == min((KEYS[0], KEYS[1]), key=lambda key: key.fingerprint)


def test_the_last_key_stays_whatever_is_said() -> None:
    assert ring(0).remove((name(0),)) == ring(0)
    assert ring(0, 1).remove((name(0), name(1))) == ring(0, 1)


def test_a_lone_key_is_for_everybody() -> None:
    state = ring(0).install(HeldKey(KEYS[1], (A,)))
    assert (state.is_audience(A), state.is_audience(B)) == (True, False)
    assert state.remove((name(0),)).is_audience(B)


def test_a_full_ring_takes_no_more() -> None:
    with pytest.raises(Invalid, match="remove an old one first"):
        ring(*range(limits.KEYS_PER_RING_MAX + 1))


def test_removed_fingerprints_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_REMOVED_REMEMBERED_MAX", 2)
    state = ring(0, 1, 2, 3).remove((name(1),)).remove((name(2),)).remove((name(3),))
    assert state.removed == (name(2), name(3))


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6, unique=True), st.integers(0, 9), st.booleans())
def test_a_ring_comes_back_from_the_disk(numbers: list[int], counter: int, restricted: bool) -> None:
    state = ring(*numbers).install(HeldKey(KEYS[11], (A, B) if restricted else None))
    state = state.use((counter, name(numbers[-1]))).remove((name(numbers[0]),))
    assert read_ring(write_ring(state), KEYS[5]) == state


@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_ring(data, KEYS[0])


@pytest.mark.parametrize("cut", [1, 10, 40, 60])
def test_a_torn_ring_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        read_ring(write_ring(ring(0, 1))[:-cut], KEYS[0])


def test_a_ring_of_removed_keys_only_is_malformed() -> None:
    state = RingState(ring(0).keys, (0, name(0)), (name(0),))
    with pytest.raises(Malformed, match="without keys"):
        read_ring(write_ring(state), KEYS[0])


def test_what_is_stored_outranks_the_setting() -> None:
    stored = {stored_under(KEYS[0]): write_ring(ring(0, 1).use((1, name(1))).remove((name(0),)))}
    state, told = load_ring(stored, KEYS[0])
    assert (state.ring, "was removed" in told) == ((KEYS[1],), True)
    assert load_ring(stored, KEYS[1]) == (state, "")
    state, told = load_ring(stored, KEYS[2])
    assert (state.ring, "is new" in told) == ((KEYS[2], KEYS[1]), True)


def test_each_mesh_has_a_ring_of_its_own() -> None:
    stored = {stored_under(KEYS[0]): write_ring(ring(0, 1).use((1, name(1))))}
    other = MeshKey(b"j" * 16, b"k" * 32)
    assert load_ring(stored, other) == (fresh_ring(other), "")
    named = MeshKey(b"i" * 16, bytes(32), "demo")
    assert load_ring(stored, named) == (fresh_ring(named), "")


def test_secrets_are_not_in_what_is_shown() -> None:
    assert repr(KEYS[3].key) not in repr(ring(3))
