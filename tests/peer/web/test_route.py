from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from peer.web.routes import TABLE


def test_a_route_cannot_be_opened_after_the_fact():
    with pytest.raises(FrozenInstanceError):
        setattr(TABLE[0], "permission", "public")  # noqa: B010 - an assignment would not pass the type checker
