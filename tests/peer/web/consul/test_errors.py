from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from peer.web.consul.errors import is_consul, plain
from peer.web.problems import Refused


def test_only_paths_under_v1_are_consuls():
    assert is_consul(make_mocked_request("GET", "/v1/agent/self"))
    assert not is_consul(make_mocked_request("GET", "/api/v1/jobs"))


def test_what_a_body_holds_wrongly_is_400_and_the_headers_go_along():
    request = make_mocked_request("PUT", "/v1/agent/service/register")
    answer = plain(request, Refused(422, "reserved_id", "taken", headers={"Retry-After": "1"}))
    assert (answer.status, answer.text, answer.content_type) == (400, "taken", "text/plain")
    assert answer.headers["Retry-After"] == "1"
    assert plain(request, Refused(405, "method_not_allowed", "x", headers={"Allow": "GET"})).text == "method PUT not allowed"
