"""The attic in memory."""

from __future__ import annotations

import pytest

from protocol.ledger.attic import MemoryAttic


def test_what_was_put_comes_back_until_it_is_dropped():
    attic = MemoryAttic()
    places = [attic.put(data) for data in (b"one", b"", b"three")]
    assert [attic.get(place) for place in [*places, places[0]]] == [b"one", b"", b"three", b"one"]
    attic.drop(places[0])
    assert len(attic) == 2
    with pytest.raises(KeyError):
        attic.get(places[0])
