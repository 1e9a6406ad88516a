"""From a request to its caller: which header carries the key, and what happens to those who show a wrong one.

Decides who is let in without a key (whom the operator has named), and slows down whoever guesses: failed logins are counted
by address. Refuses to know how a key is verified.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from peer.access import Caller, Verifier, first_of
from peer.telemetry.metrics import Metrics
from peer.web.problems import Refused, retry_after
from protocol import limits
from protocol.access.roles import Role

BEARER: Final = "bearer"
CALLER: Final = web.RequestKey("caller", Caller)
_log = structlog.get_logger("rendermesh")


class Logins:
    """Satisfies `WebOptions.roles` and `.submitter`. Invariants: a key that is wrong never counts as none at all, unless
    nobody needs one here; a request is looked at once, however often it is asked about."""

    def __init__(
        self, verifiers: Sequence[Verifier], *, anonymous: Role | None, metrics: Metrics,
        failures: RateLimitItem | None = None,
    ) -> None:  # fmt: skip
        self._verifiers = verifiers
        self._nobody = None if anonymous is None else Caller(anonymous, "local" if anonymous == "admin" else "anonymous", None)
        self._metrics = metrics
        self._failures = Failures(failures or RateLimitItemPerMinute(limits.LOGIN_FAILURES_PER_MINUTE_MAX))

    def role(self, request: web.Request) -> Role | None:
        """The caller's role, None without a login. Raises `Refused` 401 (`bad_key`, `bad_credentials`), 429."""
        caller = self.caller(request)
        return None if caller is None else caller.role

    def submitter(self, request: web.Request) -> str:
        """In whose name the caller asks."""
        caller = self.caller(request)
        return "" if caller is None else caller.submitter

    def caller(self, request: web.Request) -> Caller | None:
        """Who asks. Raises as `role` does."""
        if CALLER in request:
            return request[CALLER]
        found = self._caller(request)
        if found is not None:
            request[CALLER] = found
        return found

    def role_now(self, request: web.Request) -> Role | None:
        """The same for a request that was let in and lasts: its key may have been revoked since. Raises `Refused` 401, and counts
        no failed login."""
        caller = self._look(request)
        return None if caller is None else caller.role

    def _caller(self, request: web.Request) -> Caller | None:
        try:
            return self._look(request)
        except Refused as refused:
            self._failed(request, refused)
            raise

    def _look(self, request: web.Request) -> Caller | None:
        try:
            text = credentials(request)
            caller = self._nobody if text is None else first_of(self._verifiers, text)
            if text is not None and caller is None:
                raise wrong_key()
        except Refused:
            if self._nobody is not None and self._nobody.role == "admin":
                return self._nobody  # a client that shows another mesh's key out of habit gains and loses nothing
            raise
        return caller

    def _failed(self, request: web.Request, refused: Refused) -> None:
        self._metrics.logins_failed.labels(reason=refused.code).inc()
        address = request.remote or ""
        wait_s = self._failures.wait_s(address)
        if wait_s is not None:
            text = "too many wrong keys came from this address; wait, and check which key is sent"
            raise Refused(429, "too_many_failed_logins", text, headers=retry_after(wait_s)) from None
        _log.warning("login_failed", address=address, reason=refused.code)


class Failures:
    """Failed logins by address. Invariant: at most `limits.LOGIN_ADDRESSES_MAX` addresses are remembered; when more come in
    one window, all are forgotten."""

    def __init__(self, most: RateLimitItem) -> None:
        self._most = most
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)

    def wait_s(self, address: str) -> float | None:
        """Count one failure; seconds to wait once there are too many, else None."""
        if len(self._storage.storage) >= limits.LOGIN_ADDRESSES_MAX:
            self._storage.reset()
        network = network_of(address)
        if self._limiter.hit(self._most, network):
            return None
        return max(1.0, math.ceil(self._limiter.get_window_stats(self._most, network).reset_time - time.time()))


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 host has to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)
    return str(parsed)


def credentials(request: web.Request) -> str | None:
    """The one key that a request shows; None when it shows none. Raises `Refused` 401 (`bad_credentials`).

    `Authorization: Bearer KEY`, `X-API-Key: KEY`, and `X-Consul-Token: KEY` for the paths that Consul's clients use."""
    shown = [_bearer(value) for value in request.headers.getall("Authorization", ())]
    shown += request.headers.getall("X-API-Key", ())
    if request.path.startswith("/v1/"):
        shown += [value for value in request.headers.getall("X-Consul-Token", ()) if value]
    if len(set(shown)) > 1:
        raise _malformed("several different keys were sent; send one")
    return shown[0].strip() if shown else None


def _bearer(value: str) -> str:
    scheme, _, text = value.strip().partition(" ")
    if scheme.lower() != BEARER or not text.strip():
        raise _malformed("the header Authorization must be 'Bearer KEY'")
    return text.strip()


def wrong_key() -> Refused:
    """One answer for every reason: an unknown, a wrong, a revoked key, a key of another mesh. It never repeats the key."""
    text = "this key is not one of this mesh, or it has been revoked"
    return Refused(401, "bad_key", text, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _malformed(text: str) -> Refused:
    return Refused(401, "bad_credentials", text, headers={"WWW-Authenticate": 'Bearer error="invalid_request"'})
