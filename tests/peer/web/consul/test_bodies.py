from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.checktargets import CheckTargets
from peer.web.consul.bodies import check_definition, registration
from peer.web.consul.fields import Fields
from peer.web.problems import Refused
from protocol import limits
from protocol.services import (
    CheckSpec,
    RegisterService,
    service_from_bytes,
    service_to_bytes,
    spec_from_bytes,
    spec_to_bytes,
)
from tests.fuzzing import examples, json_values, spoilt, texts
from tests.fuzzing import refused as refusal_of

TARGETS = CheckTargets(own=frozenset)


def service(body: Any, *, replace_checks: bool = False) -> RegisterService:
    return registration(Fields.of(body, "the body"), TARGETS.literal_refusal, replace_checks=replace_checks)


def check(**body: Any) -> CheckSpec:
    return check_definition(Fields.of({"Name": "c", **body}, "the body"), TARGETS.literal_refusal)


def refusal(make, *args: Any, **body: Any) -> str:
    with pytest.raises(Refused) as refused:
        make(*args, **body)
    assert refused.value.status == 400
    return refused.value.detail


def test_a_name_is_enough_and_is_the_id():
    command = service({"name": "web"})
    assert (command.service.id, command.service.name, command.service.tags, command.checks) == ("web", "web", (), ())
    assert (command.service.weight_passing, command.service.weight_warning) == (1, 1)


def test_everything_that_a_service_can_say():
    command = service(
        {
            "ID": "web-1", "Name": "web", "Tags": ["a", "b"], "Address": "10.0.0.1", "Port": 80, "Meta": {"z": "1", "a": "2"},
            "Weights": {"Passing": 5, "Warning": 2}, "EnableTagOverride": True,
            "TaggedAddresses": {"x": {"Address": "h", "Port": 1}},
        }
    )  # fmt: skip
    one = command.service
    assert (one.id, one.tags, one.address, one.port, one.meta) == ("web-1", ("a", "b"), "10.0.0.1", 80, (("a", "2"), ("z", "1")))
    assert (one.weight_passing, one.weight_warning, one.tag_override) == (5, 2, True)
    assert one.tagged == (("lan_ipv4", "10.0.0.1", 80), ("wan_ipv4", "10.0.0.1", 80), ("x", "h", 1))
    assert [name for name, _, _ in service({"Name": "w", "Address": "::1"}).service.tagged] == ["lan_ipv6", "wan_ipv6"]
    assert service({"Name": "w", "Address": "web.test"}).service.tagged == ()


def test_the_ids_of_a_services_checks_are_consuls():
    assert [one.id for one in service({"Name": "w", "Check": {"TTL": "10s"}}).checks] == ["service:w"]
    both = service({"Name": "w", "Check": {"TTL": "10s"}, "Checks": [{"TTL": "10s", "CheckID": "mine"}, {"TTL": "10s"}]})
    assert [one.id for one in both.checks] == ["service:w:1", "mine", "service:w:3"]
    assert both.checks[0].name == "Service 'w' check"
    assert {one.service for one in both.checks} == {"w"}


def test_times_are_text_or_nanoseconds_and_kept_within_limits():
    one = check(HTTP="http://127.0.0.1/", Interval=20_000_000_000, Timeout="3s", deregister_critical_service_after="90m")
    assert (one.interval_s, one.timeout_s, one.deregister_after_s) == (20.0, 3.0, 5_400.0)
    low = check(HTTP="http://127.0.0.1/", Interval="10ms", Timeout="1h", DeregisterCriticalServiceAfter="1s")
    assert low.interval_s == limits.CHECK_INTERVAL_S_MIN
    assert low.timeout_s == limits.CHECK_TIMEOUT_S_MAX
    assert low.deregister_after_s == limits.DEREGISTER_AFTER_S_MIN


def test_thresholds_default_to_the_first_result():
    one = check(TTL="10s")
    assert (one.success_before_passing, one.failures_before_warning, one.failures_before_critical) == (1, 1, 1)
    two = check(TTL="10s", SuccessBeforePassing=3, FailuresBeforeCritical=4)
    assert (two.success_before_passing, two.failures_before_warning, two.failures_before_critical) == (3, 4, 4)
    assert check(TTL="10s", FailuresBeforeCritical=4, FailuresBeforeWarning=2).failures_before_warning == 2
    assert "FailuresBeforeWarning" in refusal(check, TTL="10s", FailuresBeforeCritical=2, FailuresBeforeWarning=3)


def test_headers_are_lists_or_texts_and_tls_is_verified_unless_told():
    one = check(HTTP="https://127.0.0.1/", Interval="1s", Header={"X-A": ["1", "2"], "X-B": "3"}, TLSSkipVerify=True)
    assert one.headers == (("X-A", "1"), ("X-A", "2"), ("X-B", "3"))
    assert one.verify_tls is False
    assert check(HTTP="https://127.0.0.1/", Interval="1s").verify_tls is True


@pytest.mark.parametrize("field", ["Script", "Args", "ScriptArgs", "args", "Shell"])
def test_a_command_is_never_taken(field: str):
    text = refusal(check, **{field: ["sh", "-c", "true"], "Interval": "1s"})
    assert text.startswith("Scripts are disabled on this agent")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"HTTP": "http://127.0.0.1/"}, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks"),
        (
            {"HTTP": "http://127.0.0.1/", "Interval": "1s", "TTL": "1s"},
            "Interval and TTL cannot both be specified",
        ),
        ({"TTL": "soon"}, 'Request decode failed: time: invalid duration "soon"'),
        ({"TTL": "1s", "Status": "fine"}, "Bad check status"),
        ({"GRPC": "127.0.0.1:1", "Interval": "1s"}, "GRPC is not known here"),
        ({"AliasService": "web"}, "AliasService is not known here"),
        ({"HTTP": "file:///etc/passwd", "Interval": "1s"}, "not an http or https URL"),
        ({"HTTP": "gopher://127.0.0.1/", "Interval": "1s"}, "not an http or https URL"),
        ({"HTTP": "http://", "Interval": "1s"}, "not an http or https URL"),
        ({"HTTP": "http://[::1", "Interval": "1s"}, "not an http or https URL"),
        ({"HTTP": "http://127.0.0.1:99999/", "Interval": "1s"}, "not an http or https URL"),
        ({"HTTP": "http://10.0.0.1/", "Interval": "1s"}, "--check-allow"),
        ({"HTTP": "http://169.254.169.254/", "Interval": "1s"}, "credentials"),
        ({"TCP": "127.0.0.1", "Interval": "1s"}, "not HOST:PORT"),
        ({"TCP": "127.0.0.1:80/x", "Interval": "1s"}, "not HOST:PORT"),
        ({"TCP": "10.0.0.1:80", "Interval": "1s"}, "--check-allow"),
        ({"TCP": "127.0.0.1:1", "HTTP": "http://127.0.0.1/", "Interval": "1s"}, "cannot both be specified"),
        ({"HTTP": "http://127.0.0.1/", "Interval": "1s", "Method": "DELETE"}, "a check looks and changes nothing"),
        ({"HTTP": "http://127.0.0.1/", "Interval": "1s", "Body": "x"}, "a check looks and changes nothing"),
        ({"HTTP": "http://127.0.0.1/", "Interval": "1s", "Header": {"X\r\nY": ["1"]}}, "Invalid Header"),
        ({"HTTP": "http://127.0.0.1/", "Interval": "1s", "Header": {"X": ["1\r\n2"]}}, "Invalid Header"),
        ({"HTTP": "http://127.0.0.1/", "Interval": "1s", "Header": {"X": ["1"] * 40}}, "at most 32"),
        ({"TTL": "1s", "SuccessBeforePassing": -1}, "SuccessBeforePassing"),
    ],
)
def test_what_is_wrong_with_a_check_is_said(body: dict[str, Any], text: str):
    assert text in refusal(check, **body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Missing service name"),
        ({"Name": ""}, "Missing service name"),
        ({"Name": 5}, "Request decode failed: Name must be text"),
        ({"Name": "w", "Port": "80"}, "Request decode failed: Port must be a whole number"),
        ({"Name": "w", "Port": 70_000}, "Invalid Port"),
        ({"Name": "w", "Port": -1}, "Invalid Port"),
        ({"Name": "w" * 129}, "at most 128"),
        ({"Name": "w\n"}, "control character"),
        ({"Name": "w", "Tags": "a"}, "Tags must be a list"),
        ({"Name": "w", "Tags": [1]}, "Tags must be text"),
        ({"Name": "w", "Tags": ["a"] * 65}, "at most 64"),
        ({"Name": "w", "Tags": ["a" * 256]}, "at most 255"),
        ({"Name": "w", "Meta": {"": "x"}}, "a key is empty"),
        ({"Name": "w", "Meta": {"k": 1}}, "Meta must be text"),
        ({"Name": "w", "Meta": {str(n): "" for n in range(65)}}, "at most 64"),
        ({"Name": "w", "Address": "0.0.0.0"}, "Invalid service address"),
        ({"Name": "w", "Connect": {"SidecarService": {}}}, "Consul Connect"),
        ({"Name": "w", "Kind": "connect-proxy"}, "Consul Connect"),
        ({"Name": "w", "Check": "x"}, "a check must be a JSON object"),
        ({"Name": "w", "Checks": [{"TTL": "1s"}] * 33}, "at most 32"),
        ({"Name": "w", "Checks": [{"TTL": "1s", "CheckID": "x"}, {"TTL": "1s", "CheckID": "x"}]}, "the same CheckID"),
        ({"Name": "w", "Weights": {"Passing": 99_999}}, "Invalid Passing"),
    ],
)
def test_what_is_wrong_with_a_service_is_said(body: dict[str, Any], text: str):
    assert text in refusal(service, body)


def test_a_check_without_a_name_is_refused():
    assert refusal(check_definition, Fields.of({"TTL": "1s"}, "x"), TARGETS.literal_refusal) == "Missing check name"


CHECK = {
    "Name": "c", "CheckID": "c-1", "HTTP": "http://127.0.0.1/x", "Interval": "10s", "Timeout": 10**9, "Method": "HEAD",
    "Header": {"X-A": ["1"]}, "TLSSkipVerify": True, "FailuresBeforeCritical": 3, "DeregisterCriticalServiceAfter": "90m",
    "Status": "passing", "Notes": "n",
}  # fmt: skip
WHOLE = {
    "ID": "w-1", "Name": "w", "Tags": ["a"], "Address": "10.0.0.1", "Port": 80, "Meta": {"k": "v"}, "Weights": {"Passing": 5},
    "EnableTagOverride": True, "TaggedAddresses": {"x": {"Address": "h", "Port": 1}}, "Check": CHECK, "Checks": [{"TTL": "1s"}],
}  # fmt: skip
NAMES = sorted({*WHOLE, *CHECK, "TCP", "TTL", "Args", "ServiceID", "Body", "GRPC", "Kind"})
BODIES = (
    spoilt(WHOLE) | spoilt(CHECK) | json_values | st.dictionaries(st.sampled_from(NAMES), json_values | st.just("1s"), max_size=6)
)


@examples(200)
@given(BODIES)
def test_any_body_is_a_service_that_can_be_stored_or_refused(body: Any):
    error = refusal_of(service, body, by=Refused)
    if error is not None:
        assert error.status == 400
        return
    command = service(body)
    assert service_from_bytes(service_to_bytes(command.service)) == command.service
    assert [spec_from_bytes(spec_to_bytes(one)) for one in command.checks] == list(command.checks)


@examples(200)
@given(BODIES)
def test_any_body_is_a_check_that_can_be_stored_or_refused(body: Any):
    def read() -> CheckSpec:
        return check_definition(Fields.of(body, "the body"), TARGETS.literal_refusal)

    error = refusal_of(read, by=Refused)
    if error is not None:
        assert error.status == 400
        return
    assert spec_from_bytes(spec_to_bytes(read())) == read()


HOSTS = st.sampled_from(
    ["127.0.0.1", "[::1]", "web.test", "10.0.0.1", "[::1", "::1", "é.test", "", "a b", "xn--", "%31", "1.2.3"]
)


@examples(200)
@given(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "http://", "https://", "//", "x:"]),
            HOSTS,
            st.sampled_from(["", ":80", ":0", ":99999", ":x", ":-1"]),
            texts,
        ),
    ),
    st.sampled_from(["HTTP", "TCP"]),
)
def test_any_target_leads_somewhere_or_is_refused(target: str, field: str):
    error = refusal_of(lambda: check(**{field: target, "Interval": "1s"}), by=Refused)
    assert error is None or error.status == 400
