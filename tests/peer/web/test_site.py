from __future__ import annotations

import pytest

from peer.web.site import Slots
from protocol.errors import Unavailable


def test_slots_come_back_also_after_an_error():
    slots = Slots(1, "too_many_x", "x")
    with slots.one(), pytest.raises(Unavailable) as caught, slots.one():
        pass
    assert caught.value.code == "too_many_x"
    with pytest.raises(KeyError), slots.one():
        raise KeyError
    assert slots.used == 0
