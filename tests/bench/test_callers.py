"""A caller knows what may answer it."""

from __future__ import annotations

from typing import cast

import aiohttp

from protocol import limits
from tests.bench.callers import Caller

NOWHERE = cast(aiohttp.ClientSession, None)


def test_a_wrong_key_is_refused_so_many_times_before_its_address_is_locked_out() -> None:
    caller = Caller(NOWHERE, "mk_wrong")
    most = limits.LOGIN_FAILURES_PER_MINUTE_MAX
    assert [caller.expected() for _ in range(most + 1)] == [{401}] * most + [{401, 429}]


def test_who_shows_no_key_is_never_locked_out() -> None:
    caller = Caller(NOWHERE, None)
    assert all(caller.expected() == {401} for _ in range(1_000))
    assert caller.headers == {}
