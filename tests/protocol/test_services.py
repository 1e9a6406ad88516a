from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.services import (
    CheckRow,
    CheckSpec,
    Service,
    check_from_bytes,
    check_to_bytes,
    service_from_bytes,
    service_to_bytes,
    spec_from_bytes,
    spec_to_bytes,
)

texts = st.text(max_size=30)


@given(
    st.builds(
        Service, texts, texts, st.lists(texts, max_size=5).map(tuple), texts, st.integers(0, 65_535),
        st.lists(st.tuples(texts, texts), max_size=5).map(tuple), st.integers(0, 9), st.integers(0, 9), st.booleans(),
        st.lists(st.tuples(texts, texts, st.integers(0, 65_535)), max_size=3).map(tuple),
    )
)  # fmt: skip
def test_a_service_comes_back_as_it_was(service: Service):
    assert service_from_bytes(service_to_bytes(service)) == service


@given(
    st.builds(CheckRow, texts, texts, st.sampled_from(["passing", "warning", "critical"]), st.sampled_from(["ttl", ""]), texts)
)
def test_a_check_comes_back_as_it_was(check: CheckRow):
    assert check_from_bytes(check_to_bytes(check)) == check


def test_a_definition_comes_back_as_it_was():
    spec = CheckSpec(
        "id", "name", "http", "service", "notes", "https://127.0.0.1/", "HEAD", (("X-Key", "secret"),), False, "name.test",
        1.5, 2.5, 0.0, 2, 3, 4, 90.0, "warning",
    )  # fmt: skip
    assert spec_from_bytes(spec_to_bytes(spec)) == spec


@given(st.binary(max_size=200))
def test_any_other_bytes_are_malformed_and_nothing_else(data: bytes):
    for read in (service_from_bytes, check_from_bytes, spec_from_bytes):
        with pytest.raises(Malformed):
            read(data)


def test_a_service_of_an_older_writer_has_no_tagged_addresses():
    whole = service_to_bytes(Service("a", "a"))
    assert service_from_bytes(bytes([whole[0] - 1]) + whole[1:-1]) == Service("a", "a")


def test_too_long_ids_are_malformed():
    with pytest.raises(Malformed):
        service_from_bytes(service_to_bytes(Service("a" * (limits.SERVICE_ID_CHARS_MAX + 1), "a")))
