from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.access.keys import KeyRecord, format_key, hash_secret, is_key_name, key_from_row, key_row, merge, parse_key
from protocol.access.roles import ROLES
from protocol.errors import Malformed
from tests.fuzzing import changed, texts

ALICE = KeyRecord("0011223344556677", "alice", "submitter", bytes(32), 1_700_000_000_000)

records = st.builds(
    KeyRecord,
    st.just(ALICE.id),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(ROLES),
    st.sampled_from([bytes(32), b"x" * 32]),
    st.integers(0, 2),
    st.booleans(),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=12,
)


def test_the_text_form_goes_there_and_back():
    secret = bytes(range(20))
    text = format_key(ALICE.id, secret)
    assert text == f"mk_0011223344556677_{secret.hex()}"
    assert parse_key(text) == (ALICE.id, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mk_",
        "mk__",
        "mk_0011223344556677_",
        f"mk_0011223344556677_{'0' * 39}",
        f"mk_0011223344556677_{'0' * 41}",
        f"mk_0011223344556677_{'0' * 40}\n",
        f"MK_0011223344556677_{'0' * 40}",
        f"mk_001122334455667G_{'0' * 40}",
        f"mk_0011223344556677_{'A' * 40}",
        f"mk_٠٠١١223344556677_{'0' * 40}",
        f"mk_0011223344556677_{'0' * 100_000}",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    ],
)
def test_anything_else_is_no_key(text: str):
    assert parse_key(text) is None


@given(st.binary(min_size=8, max_size=8).map(bytes.hex), st.binary(min_size=20, max_size=20))
def test_every_key_comes_back_from_its_text(key: str, secret: bytes):
    assert parse_key(format_key(key, secret)) == (key, secret)


@given(changed(format_key(ALICE.id, bytes(range(20))).encode()) | texts.map(lambda text: text.encode("utf-8", "replace")))
def test_any_text_is_exactly_one_key_or_none(data: bytes):
    text = data.decode("utf-8", "surrogateescape")
    parsed = parse_key(text)
    assert parsed is None or format_key(*parsed) == text


def test_a_hash_does_not_contain_the_secret_and_differs_from_secret_to_secret():
    assert hash_secret(b"a" * 20) != hash_secret(b"b" * 20)
    assert b"a" * 20 not in hash_secret(b"a" * 20)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("alice", True),
        ("a", True),
        ("render farm 3", True),
        ("alice@example.org", True),
        ("a" * limits.KEY_NAME_CHARS_MAX, True),
        ("", False),
        (" alice", False),
        ("alice ", False),
        ("a" * (limits.KEY_NAME_CHARS_MAX + 1), False),
        ("alice\n", False),
        ("alice\r\nX-Role: admin", False),
        ("alice/bob", False),
        ("älice", False),
        (f"mk_0011223344556677_{'0' * 40}", False),
    ],
)
def test_names_are_plain(name: str, fits: bool):
    assert is_key_name(name) is fits


@given(records, records, records)
def test_the_merge_is_a_join(one: KeyRecord, two: KeyRecord, three: KeyRecord):
    assert merge(one, one) == one
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(records, records)
def test_revocation_wins(one: KeyRecord, two: KeyRecord):
    assert merge(replace(one, revoked=True), two).revoked


@given(records, records)
def test_two_bodies_under_one_id_are_no_key(one: KeyRecord, two: KeyRecord):
    if replace(one, revoked=False) != replace(two, revoked=False):
        assert merge(one, two).revoked


@given(records)
def test_a_row_goes_there_and_back(record: KeyRecord):
    assert key_from_row(key_row(record)) == record
    assert key_from_row([*key_row(record), "of a newer version"]) == record


@given(anything)
def test_a_row_of_anything_is_read_or_malformed(row: object):
    try:
        key_from_row(row)
    except Malformed:
        return


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, b"short"),
        (0, "0011223344556677"),
        (1, "a\nb"),
        (1, b"alice"),
        (2, "root"),
        (2, 3),
        (3, bytes(31)),
        (4, -1),
        (4, True),
        (4, 2**60),
        (5, 1),
        (5, None),
    ],
)
def test_a_row_with_a_wrong_field_is_malformed(field: int, value: object):
    row = key_row(ALICE)
    row[field] = value
    with pytest.raises(Malformed):
        key_from_row(row)
