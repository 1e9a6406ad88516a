from __future__ import annotations

import json

from aiohttp import web

from peer.ports import StoreFull
from peer.web import problems
from protocol.errors import Conflict, Invalid, NotFound, Unavailable


def test_refusals_have_their_status():
    kinds = [Invalid("a", "t"), NotFound("a", "t"), Conflict("a", "t"), Unavailable("a", "t")]
    assert [problems.from_refusal(error).status for error in kinds] == [422, 404, 409, 503]
    assert problems.from_refusal(Unavailable("a", "t", retry_after_s=0.2)).headers == {"Retry-After": "1"}


def test_a_full_store_says_when_to_come_back():
    refused = problems.from_store(StoreFull("/data"))
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "store_full", "60")


def test_the_document():
    refused = problems.wrong_fields([{"field": "a", "message": "is wrong"}, {"field": "b", "message": "too"}])
    response = problems.problem(refused, request_id="r1")
    assert response.content_type == "application/problem+json"
    assert json.loads(response.text or "") == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "bad_field",
        "detail": "a: is wrong (and 1 more)",
        "request_id": "r1",
        "errors": [{"field": "a", "message": "is wrong"}, {"field": "b", "message": "too"}],
    }


def test_what_aiohttp_says_gets_a_code():
    assert problems.from_aiohttp(web.HTTPExpectationFailed()).code == "expectation_failed"
    assert problems.from_aiohttp(web.HTTPMethodNotAllowed("PUT", ["GET"])).headers == {"Allow": "GET"}
