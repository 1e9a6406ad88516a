from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.pace import Pace
from peer.web.problems import Refused, problem
from peer.web.requests import nearest, paced, parse_object, validated
from protocol.jobs.spec import JobSpec
from tests.fuzzing import changed, deep_json, examples, json_values, refused, spoilt


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
        '{"a": 1e999}',
        '{"a": -1e999}',
        '{"a": ' + "9" * 5_000 + "}",
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


BODIES = (
    st.dictionaries(st.text(max_size=9), json_values, max_size=4).map(json.dumps).map(str.encode).flatmap(changed)
    | json_values.map(json.dumps).map(str.encode)
    | deep_json.map(lambda text: b'{"a": %s}' % text.encode())
    | st.binary(max_size=60)
)


@examples(200)
@given(BODIES)
def test_any_body_is_an_object_that_can_be_said_again_or_bad_json(body: bytes):
    error = refused(parse_object, body, by=Refused)
    if error is None:
        value = parse_object(body)
        assert parse_object(json.dumps(value, allow_nan=False).encode()) == value
    else:
        assert (error.status, error.code) == (400, "bad_json")
        problem(error)


FIELDS = {"name": "a", "frames": "1-4", "priority": 3, "label": ["a=b"], "settings": {"frame_ms": 4}, "output": "{frame}"}


@examples(200)
@given(spoilt(FIELDS) | st.dictionaries(st.sampled_from(sorted(JobSpec.model_fields)), json_values))
def test_any_fields_are_a_specification_or_errors_that_can_be_sent(fields: Any):
    if not isinstance(fields, dict):
        return
    error = refused(validated, JobSpec, fields, by=Refused)
    if error is not None:
        assert error.status == 422
        problem(error)
