from __future__ import annotations

import contextlib
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.cards import (
    CHECK_STATUSES,
    Check,
    PeerCard,
    capabilities_from_row,
    capabilities_to_row,
    card_from_bytes,
    card_to_bytes,
)
from protocol.errors import Malformed
from tests.fuzzing import texts
from tests.protocol.making import BLENDER, NULL

FULL = PeerCard(
    name="anna", url="http://10.0.0.1:7480", version="0.1.0", slots_total=4, slots_free=1, labels=(("room", "7"),),
    capabilities=(NULL, BLENDER), checks=(Check("disk", "warning", "90 %"),), renderer_reasons=("no GPU",), draining=True,
)  # fmt: skip


def test_a_card_comes_back_as_it_was():
    assert card_from_bytes(card_to_bytes(FULL)) == FULL
    assert card_from_bytes(card_to_bytes(PeerCard())) == PeerCard()
    assert capabilities_from_row(capabilities_to_row(BLENDER)) == BLENDER


def test_only_a_critical_check_makes_a_peer_critical():
    assert not FULL.critical
    assert PeerCard(checks=(Check("a", "passing", ""), Check("b", "critical", ""))).critical


def test_fields_of_a_newer_version_are_ignored():
    row = msgpack.unpackb(card_to_bytes(FULL))
    assert card_from_bytes(msgpack.packb([*row, "new"])) == FULL


def test_a_renderer_of_an_older_peer_has_no_sandbox():
    confined = replace(BLENDER, sandbox="bwrap")
    row = capabilities_to_row(confined)
    assert capabilities_from_row(row) == confined
    assert capabilities_from_row(row[:7]) == replace(BLENDER, sandbox="none")


@given(st.binary(max_size=300))
def test_garbage_is_malformed(data: bytes):
    with pytest.raises(Malformed):
        card_from_bytes(data)


@given(st.data())
def test_a_card_that_was_damaged_anywhere_is_read_or_malformed(data: st.DataObject):
    row = msgpack.unpackb(card_to_bytes(FULL))
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.integers()))
    with contextlib.suppress(Malformed):
        card_from_bytes(msgpack.packb(row, default=str) if all_fit(row) else b"")


def all_fit(row: list[object]) -> bool:
    """msgpack holds 64 bits."""

    def fits(value: object) -> bool:
        if isinstance(value, list):
            return all(fits(one) for one in value)
        return not isinstance(value, int) or -(2**63) <= value < 2**64

    return all(fits(value) for value in row)


CHECKS = st.lists(st.builds(Check, texts, st.sampled_from(CHECK_STATUSES), texts), max_size=90).map(tuple)


@given(CHECKS, st.lists(texts, max_size=20).map(tuple))
def test_whatever_programs_and_the_system_say_others_can_read_the_card(checks: tuple[Check, ...], reasons: tuple[str, ...]):
    card = replace(FULL, checks=checks, renderer_reasons=reasons)
    read = card_from_bytes(card_to_bytes(card))
    assert (read.name, read.url, read.capabilities, read.labels) == (FULL.name, FULL.url, FULL.capabilities, FULL.labels)
    assert [check.status for check in read.checks] == [check.status for check in checks[:64]]


@pytest.mark.parametrize("text", ["x" * 5_000, "\N{CLAPPER BOARD}" * 5_000, "no such folder: \udcff"])
def test_long_words_are_cut_and_what_is_no_text_is_left_out(text: str):
    data = card_to_bytes(replace(FULL, checks=(Check(text, "critical", text),) * 64, renderer_reasons=(text,) * 20))
    assert len(data) <= limits.CATALOG_VALUE_BYTES_MAX
    read = card_from_bytes(data)
    assert read.critical
    assert len(read.renderer_reasons) == 16
