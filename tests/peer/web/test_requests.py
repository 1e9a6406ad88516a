from __future__ import annotations

import asyncio

import pytest

from peer.web.pace import Pace
from peer.web.problems import Refused
from peer.web.requests import nearest, paced, parse_object, validated
from protocol.jobs.spec import JobSpec


async def test_a_read_that_outlasts_its_budget_is_408():
    pace = Pace(grace_s=0.01, bytes_per_s=1, total_s=10)
    with pytest.raises(Refused) as caught:
        await paced(pace, asyncio.Event().wait())
    assert (caught.value.status, caught.value.headers) == (408, {"Connection": "close"})


async def test_waiting_is_charged():
    pace = Pace(grace_s=10.0, bytes_per_s=1, total_s=20)
    came = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, came.set)
    await paced(pace, came.wait())
    assert pace.allowance_s < 10.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "null",
        '"x"',
        "{'a': 1}",
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        b"\xff",
        "{" * 5_000,
        '{"a":' * 50_000,
        '{"a": ["\\ud800"]}',
    ],
)
def test_what_is_no_object(text: str | bytes):
    with pytest.raises(Refused) as caught:
        parse_object(text)
    assert (caught.value.status, caught.value.code) == (400, "bad_json")


def test_errors_of_our_own_validators_keep_their_code():
    with pytest.raises(Refused) as caught:
        validated(JobSpec, {"frames": "9-1"})
    assert caught.value.code == "bad_frames"
    assert [error["field"] for error in caught.value.errors] == ["frames"]
    assert not caught.value.errors[0]["message"].startswith("frames:")


def test_a_name_is_suggested_only_when_one_is_close():
    assert nearest("enginne", ["engine", "samples"]) == "; did you mean 'engine'?"
    assert nearest("zzz", ["engine"]) == ""
