"""Text forms of identifiers, and the order of the tokens that decide who rules."""

from __future__ import annotations

import pytest

from protocol.ids import Address, AttemptId, Fence, PeerId, is_hex, shared


@pytest.mark.parametrize(
    ("text", "length", "good"),
    [
        ("0af9", 4, True),
        ("0AF9", 4, False),
        ("0af9", 5, False),
        ("0afg", 4, False),
        ("", 0, False),
        ("0af9\n", 5, False),
        (b"0af9", 4, False),
        (None, 4, False),
    ],
)
def test_an_identifier_is_lowercase_hexadecimal_of_one_length(text: object, length: int, good: bool):
    assert is_hex(text, length) is good


def test_the_greater_epoch_rules_then_the_greater_peer():
    a, b = PeerId("a" * 64), PeerId("b" * 64)
    assert sorted([Fence(2, a), Fence(1, b), Fence(1, a)]) == [Fence(1, a), Fence(1, b), Fence(2, a)]


def test_attempts_are_ordered_by_epoch_owner_and_counter():
    a, b = PeerId("a" * 64), PeerId("b" * 64)
    attempts = [AttemptId(1, b, 0), AttemptId(1, a, 9), AttemptId(0, b, 9)]
    assert sorted(attempts) == [AttemptId(0, b, 9), AttemptId(1, a, 9), AttemptId(1, b, 0)]


def test_an_address_is_written_as_people_type_it():
    assert [str(Address("10.0.0.1", 7700)), str(Address("fd00::1", 7700))] == ["10.0.0.1:7700", "[fd00::1]:7700"]


def test_equal_texts_are_one_object():
    assert shared("".join(["ab"] * 32)) is shared("".join(["abab"] * 16))
