"""Clock, dice, sockets and files raise when `protocol` reaches for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.protocol.poison import poison


@pytest.fixture(autouse=True, scope="package")
def the_world_is_out_of_reach() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        poison(patch)
        yield
