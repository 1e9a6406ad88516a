from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.failures import Busy, Exit, from_answer, seconds
from tests.fuzzing import changed, json_values, spoilt, texts


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 10),
        (401, 4),
        (403, 4),
        (404, 3),
        (408, 8),
        (409, 5),
        (413, 10),
        (418, 1),
        (422, 10),
        (429, 6),
        (500, 1),
        (503, 6),
        (504, 8),
    ],
)
def test_each_status_has_its_exit_code(status: int, code: int) -> None:
    assert from_answer(status, {}, host="h", retry_after=None, request_id="").exit_code == code


def test_the_exit_codes_are_a_contract() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0, "ERROR": 1, "USAGE": 2, "NOT_FOUND": 3, "UNAUTHORISED": 4, "CONFLICT": 5, "BUSY": 6, "UNREACHABLE": 7,
        "TIMED_OUT": 8,
        "INCOMPLETE": 9, "REFUSED": 10, "INTERRUPTED": 130,
    }  # fmt: skip


def test_detail_code_fields_remedy_and_request_are_kept() -> None:
    problem = {
        "title": "Bad",
        "detail": "two things are wrong",
        "code": "invalid",
        "remedy": "do this",
        "errors": [{"field": "samples", "message": "too many"}],
    }
    error = from_answer(422, problem, host="http://h", retry_after=None, request_id="r9")
    assert (str(error), error.code, error.remedy) == ("two things are wrong", "invalid", "do this")
    assert error.why == "samples: too many; http://h answered 422; request r9"


@pytest.mark.parametrize("problem", [{}, {"title": 3, "detail": [], "errors": "x"}, {"errors": [1, {"field": 2}]}])
def test_a_body_that_says_nothing_still_makes_a_sentence(problem: dict[str, object]) -> None:
    assert str(from_answer(500, problem, host="h", retry_after=None, request_id="")) == "the peer answered 500"


def test_busy_keeps_the_wish_of_the_peer() -> None:
    error = from_answer(503, {}, host="h", retry_after="7", request_id="")
    assert isinstance(error, Busy)
    assert error.retry_after_s == 7


def test_retry_after_in_every_form() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    at = seconds(soon)
    assert at is not None
    assert 90 < at <= 100
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [seconds(text) for text in (None, "", "soon", "-1", "1e9", "٣")] == [None] * 6


DATES = changed(b"Wed, 21 Oct 2015 07:28:00 GMT").map(lambda data: data.decode("latin-1")) | st.sampled_from(
    ["Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "1 Jan 2015 99:99:99 +99999", ",", "a,b c d e f"]
)


@given(DATES | texts)
def test_any_header_is_a_wait_or_none(text: str) -> None:
    wait_s = seconds(text)
    assert wait_s is None or wait_s >= 0


@given(
    st.integers(300, 999),
    spoilt({"title": "t", "detail": "d", "code": "c", "errors": [{"field": "f", "message": "m"}]})
    | st.dictionaries(texts, json_values, max_size=3),
    texts,
)
def test_any_refusal_has_a_sentence_and_a_code(status: int, problem: object, retry_after: str) -> None:
    error = from_answer(status, problem if isinstance(problem, dict) else {}, host="h", retry_after=retry_after, request_id="r")
    assert str(error)
    assert error.exit_code in tuple(Exit)
