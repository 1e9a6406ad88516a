"""The door's bench judges answers as it says: what was let in, what was refused by another word, and what was right."""

from __future__ import annotations

import pytest

from peer.web.routes import TABLE
from tests.bench.callers import asks
from tests.bench.door import Tally

ASKED = asks(TABLE, {"job": "ab" * 16})


def test_every_route_is_asked_for_and_every_read_by_head_too() -> None:
    assert {(ask.route.method, ask.route.path) for ask in ASKED} == {(route.method, route.path) for route in TABLE}
    assert sum(ask.method == "HEAD" for ask in ASKED) == sum(route.method == "GET" for route in TABLE)
    assert not [ask.path for ask in ASKED if "{" in ask.path]
    assert f"/api/v1/jobs/{'ab' * 16}/events?follow=false" in {ask.path for ask in ASKED}


@pytest.mark.parametrize("status", [200, 202, 204, 304, 400, 404, 405, 409, 422])
def test_whoever_is_answered_by_what_stands_behind_the_door_was_let_in(status: int) -> None:
    tally = Tally()
    tally.take("no key", ASKED[0], status=status, right={401})
    assert (len(tally.let_in), len(tally.odd)) == (1, 0)


@pytest.mark.parametrize("status", [0, 403, 429, 500, 503])
def test_another_refusal_than_the_right_one_is_told_apart(status: int) -> None:
    tally = Tally()
    tally.take("no key", ASKED[0], status=status, right={401})
    assert (len(tally.let_in), len(tally.odd)) == (0, 1)


def test_what_is_right_is_only_counted() -> None:
    tally = Tally()
    for status in (401, 429):
        tally.take("wrong", ASKED[0], status=status, right={401, 429})
    assert (tally.let_in, tally.odd, tally.count, tally.statuses[429]) == ([], [], 2, 1)
