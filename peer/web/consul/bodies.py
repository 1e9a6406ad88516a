"""Service and check definitions as Consul's clients send them, to our own.

Decides what is accepted: http, tcp and ttl, to the targets that are open; never a command, which would be remote code
execution, and never a method that changes something. Refuses to know what is registered already.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from yarl import URL

from peer.web.consul.fields import Fields, bad, plain_text
from protocol import limits
from protocol.cards import CHECK_STATUSES, CheckStatus
from protocol.services import CheckKind, CheckSpec, RegisterService, Service

METHODS: Final = ("GET", "HEAD", "OPTIONS")
OTHER_KINDS: Final = ("GRPC", "AliasNode", "AliasService", "H2PING", "UDP", "OSService", "DockerContainerID")
COMMANDS: Final = ("Script", "Args", "ScriptArgs", "Shell")
NOT_HERE: Final = ("Kind", "Proxy", "Connect")
TargetRefusal = Callable[[str], str | None]


def registration(body: Fields, target_refusal: TargetRefusal, *, replace_checks: bool) -> RegisterService:
    """What `agent/service/register` asks for. Raises `Refused` 400."""
    service = _service(body)
    raw = [
        *([body.value("Check")] if body.value("Check") is not None else []),
        *body.list("Checks", limits.CHECKS_PER_SERVICE_MAX),
    ]
    named = [Fields.of(one, "a check") for one in raw]
    checks = []
    for index, fields in enumerate(named, 1):
        number = f":{index}" if len(named) > 1 else ""
        default_id = f"service:{service.id}{number}"
        checks.append(
            _check(fields, target_refusal, check_id=default_id, name=f"Service '{service.name}' check", service=service.id)
        )
    ids = [check.id for check in checks]
    if len(set(ids)) != len(ids):
        raise bad(f"Invalid check: two checks of the service have the same CheckID {max(ids, key=ids.count)!r}")
    return RegisterService(service, tuple(checks), replace_checks)


def check_definition(body: Fields, target_refusal: TargetRefusal) -> CheckSpec:
    """What `agent/check/register` asks for. Raises `Refused` 400."""
    name = body.text("Name", limits.CHECK_ID_CHARS_MAX)
    if not name:
        raise bad("Missing check name")
    service = body.text("ServiceID", limits.SERVICE_ID_CHARS_MAX)
    return _check(body, target_refusal, check_id=name, name=name, service=service)


def status_of(text: str) -> CheckStatus | None:
    """A status by its name."""
    return next((status for status in CHECK_STATUSES if status == text), None)


def _service(body: Fields) -> Service:
    name = body.text("Name", limits.SERVICE_ID_CHARS_MAX)
    if not name:
        raise bad("Missing service name")
    for field in NOT_HERE:
        if body.value(field):
            raise bad(f"Invalid service: {field} belongs to Consul Connect, which is not here")
    address = body.text("Address", limits.CHECK_TARGET_CHARS_MAX)
    if address in ("0.0.0.0", "::", "[::]"):
        raise bad("Invalid service address")
    port = body.number("Port", 0, 65_535)
    weights = Fields.of(body.value("Weights"), "Weights")
    return Service(
        id=body.text("ID", limits.SERVICE_ID_CHARS_MAX) or name,
        name=name,
        tags=body.texts("Tags", count_max=limits.SERVICE_TAGS_MAX, chars_max=limits.SERVICE_TAG_CHARS_MAX),
        address=address,
        port=port,
        meta=_meta(body),
        weight_passing=weights.number("Passing", 0, 65_535, default=1),
        weight_warning=weights.number("Warning", 0, 65_535, default=1),
        tag_override=body.flag("EnableTagOverride"),
        tagged=_tagged(body, address, port),
    )


def _meta(body: Fields) -> tuple[tuple[str, str], ...]:
    rows = []
    for key, value in body.map("Meta", limits.SERVICE_META_MAX).items():
        if not key:
            raise bad("Invalid Service Meta: a key is empty")
        rows.append(
            (
                plain_text(key, "Meta", limits.SERVICE_META_KEY_CHARS_MAX),
                plain_text(value, "Meta", limits.SERVICE_META_VALUE_CHARS_MAX),
            )
        )
    return tuple(sorted(rows))


def _tagged(body: Fields, address: str, port: int) -> tuple[tuple[str, str, int], ...]:
    """Addresses by name; like Consul, a literal address is also that of the LAN and the WAN."""
    rows: dict[str, tuple[str, int]] = {}
    for key, value in body.map("TaggedAddresses", limits.SERVICE_META_MAX).items():
        fields = Fields.of(value, "TaggedAddresses")
        name = plain_text(key, "TaggedAddresses", limits.SERVICE_META_KEY_CHARS_MAX)
        rows[name] = (fields.text("Address", limits.CHECK_TARGET_CHARS_MAX), fields.number("Port", 0, 65_535))
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        version = None
    if version is not None:
        for network in ("lan", "wan"):
            rows.setdefault(f"{network}_ipv{version}", (address, port))
    return tuple((name, *rows[name]) for name in sorted(rows))


# checks


def _check(body: Fields, target_refusal: TargetRefusal, *, check_id: str, name: str, service: str) -> CheckSpec:
    kind, target = _kind(body)
    interval_s, ttl_s = body.seconds("Interval"), body.seconds("TTL")
    if interval_s > 0 and ttl_s > 0:
        raise bad("Invalid check: Interval and TTL cannot both be specified")
    if kind != "ttl" and interval_s <= 0:
        raise bad("Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    if kind == "ttl" and ttl_s <= 0:
        raise bad("Invalid check: TTL must be > 0 for TTL checks")
    _refuse_target(kind, target, target_refusal)
    critical = body.number("FailuresBeforeCritical", 0, limits.CHECK_THRESHOLD_MAX)
    warning = body.number("FailuresBeforeWarning", 0, limits.CHECK_THRESHOLD_MAX) or critical
    if warning > max(critical, 1):
        raise bad("Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
    return CheckSpec(
        id=body.text("CheckID", limits.CHECK_ID_CHARS_MAX) or body.text("ID", limits.CHECK_ID_CHARS_MAX) or check_id,
        name=body.text("Name", limits.CHECK_NAME_CHARS_MAX) or name,
        kind=kind,
        service=service,
        notes=body.text("Notes", limits.CHECK_NOTES_CHARS_MAX),
        target=target,
        method=_method(body),
        headers=_headers(body),
        verify_tls=not body.flag("TLSSkipVerify"),
        server_name=body.text("TLSServerName", limits.CHECK_TARGET_CHARS_MAX),
        interval_s=min(max(interval_s, limits.CHECK_INTERVAL_S_MIN), limits.CHECK_INTERVAL_S_MAX),
        timeout_s=_timeout(body),
        ttl_s=min(ttl_s, limits.DURATION_S_MAX),
        success_before_passing=body.number("SuccessBeforePassing", 0, limits.CHECK_THRESHOLD_MAX) or 1,
        failures_before_warning=warning or 1,
        failures_before_critical=critical or 1,
        deregister_after_s=_deregister_after(body),
        initial=_initial(body),
    )


def _kind(body: Fields) -> tuple[CheckKind, str]:
    for field in COMMANDS:
        if body.value(field):
            raise bad(f"Scripts are disabled on this agent: {field} would run a command for whoever may register a check")
    for field in OTHER_KINDS:
        if body.value(field):
            raise bad(f"Invalid check: {field} is not known here; there are HTTP, TCP and TTL")
    http, tcp = body.text("HTTP", limits.CHECK_TARGET_CHARS_MAX), body.text("TCP", limits.CHECK_TARGET_CHARS_MAX)
    if http and tcp:
        raise bad("Invalid check: HTTP and TCP cannot both be specified")
    return ("http", http) if http else ("tcp", tcp) if tcp else ("ttl", "")


def _refuse_target(kind: CheckKind, target: str, target_refusal: TargetRefusal) -> None:
    """A target that cannot lead anywhere is refused here; what a name leads to is judged at each probe."""
    if kind == "ttl":
        return
    try:
        url = URL(target if kind == "http" else f"tcp://{target}")
        host, port = url.host, url.port
    except ValueError:
        host, port, url = None, None, URL()
    if kind == "http" and (url.scheme not in ("http", "https") or not host):
        raise bad(f"Invalid check: HTTP {target[:120]!r} is not an http or https URL")
    if kind == "tcp" and (not host or not port or url.path not in ("", "/")):
        raise bad(f"Invalid check: TCP {target[:120]!r} is not HOST:PORT")
    refusal = target_refusal(host or "")
    if refusal is not None:
        raise bad(f"Invalid check: {refusal}")


def _method(body: Fields) -> str:
    method = body.text("Method", 16).upper() or "GET"
    if method not in METHODS:
        raise bad(f"Invalid check: Method {method!r}; a check looks and changes nothing: {', '.join(METHODS)}")
    if body.value("Body"):
        raise bad("Invalid check: Body; a check looks and changes nothing, and so it sends none")
    return method


def _headers(body: Fields) -> tuple[tuple[str, str], ...]:
    rows = []
    for key, values in body.map("Header", limits.CHECK_HEADERS_MAX).items():
        for value in values if isinstance(values, list) else [values]:
            name = plain_text(key, "Header", limits.SERVICE_META_KEY_CHARS_MAX)
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise bad(f"Invalid Header: {name!r} is no name of a header")
            rows.append((name, plain_text(value, "Header", limits.CHECK_TARGET_CHARS_MAX)))
    if len(rows) > limits.CHECK_HEADERS_MAX:
        raise bad(f"Invalid Header: {len(rows)} headers, at most {limits.CHECK_HEADERS_MAX}")
    return tuple(rows)


def _timeout(body: Fields) -> float:
    seconds = body.seconds("Timeout")
    return limits.CHECK_TIMEOUT_S_DEFAULT if seconds <= 0 else min(seconds, limits.CHECK_TIMEOUT_S_MAX)


def _deregister_after(body: Fields) -> float:
    seconds = body.seconds("DeregisterCriticalServiceAfter")
    return 0.0 if seconds <= 0 else min(max(seconds, limits.DEREGISTER_AFTER_S_MIN), limits.DURATION_S_MAX)


def _initial(body: Fields) -> CheckStatus:
    text: Any = body.text("Status", 16) or "critical"
    status = status_of(text)
    if status is None:
        raise bad("Bad check status")
    return status
