"""Who may ask what: each route's permission against the caller's role, and no foreign web page at all.

Decides access. Refuses to know how a role was proven: `WebOptions.roles` says, or the peer that passed the request on.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from peer.web.problems import Refused, wrong_fields
from peer.web.route import Route
from peer.web.site import ROLE, Site, forwarded_by, site_of
from protocol import limits
from protocol.access.roles import Role, allows, role_named

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ROLE_HEADER: Final = "X-Rendermesh-Role"
SUBMITTER_HEADER: Final = "X-Rendermesh-Submitter"
ROUTE: Final = web.RequestKey("route", Route)


def role_of(request: web.Request) -> Role | None:
    """The caller's role; for a request from another peer the one that it found (its certificate has proven it).

    Raises `Refused` 401 for a wrong key, 429 for too many of them."""
    if forwarded_by(request) is not None:
        return role_named(request.headers.get(ROLE_HEADER, ""))
    return site_of(request).options.roles(request)


def submitter_of(request: web.Request) -> str:
    """In whose name the caller asks. Raises `Refused` 400 for a name that another peer has passed on and no job may keep."""
    if forwarded_by(request) is not None:
        name = request.headers.get(SUBMITTER_HEADER, "")
        if len(name) > limits.SUBMITTER_CHARS_MAX or not name.isprintable():
            raise Refused(400, "bad_submitter", f"the header {SUBMITTER_HEADER} holds no name")
        return name
    return site_of(request).options.submitter(request)


def guard(site: Site, routes: Mapping[tuple[str, str], Route], request: web.Request) -> None:
    """Raises `Refused`: 403 for a foreign page, 401 without a role, 403 with too low a one, 422 for an unknown parameter."""
    route = _route_of(routes, request)
    if route is None:  # the router's own 404 and 405
        return
    if forwarded_by(request) is None:
        _refuse_foreign_pages(site, request)
    role = _role_or_stranger(route, request)
    request[ROLE], request[ROUTE] = role or "", route
    _refuse_low_role(route, role)
    _refuse_unknown_parameters(route, request)


def guard_again(request: web.Request) -> None:
    """For an answer that lasts: whether its caller may still have it. Raises `Refused` 401 and 403 as `guard` does.

    What another peer has passed on is for that peer to end: it knows the key."""
    route = request.get(ROUTE)
    if route is None or route.permission == "public" or forwarded_by(request) is not None:
        return
    look = site_of(request).options.roles_now
    if look is not None:
        _refuse_low_role(route, look(request))


def may_still(request: web.Request) -> bool:
    """Whether `guard_again` would let it go on."""
    try:
        guard_again(request)
    except Refused:
        return False
    return True


class Rights:
    """A caller's rights while an answer goes out to it. Invariant: at most one look in `WebOptions.rights_look_s`."""

    def __init__(self, request: web.Request) -> None:
        self._request, self._next_at = request, 0.0
        self._every_s = site_of(request).options.rights_look_s

    def check(self) -> None:
        """Before each piece. Raises `Refused` as `guard_again` does: an answer that has begun is cut then, so that its reader
        sees that it is not whole."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_at:
            guard_again(self._request)
            self._next_at = now + self._every_s


def _refuse_low_role(route: Route, role: Role | None) -> None:
    if not allows(route.permission, role):
        if role is None:
            raise Refused(401, "login_needed", "this peer asks for a key", headers={"WWW-Authenticate": "Bearer"})
        raise Refused(403, "role_too_low", f"this needs the role {route.permission}; yours is {role}")


def _role_or_stranger(route: Route, request: web.Request) -> Role | None:
    """What is public answers everybody, and says no more to a wrong key than to none."""
    try:
        return role_of(request)
    except Refused:
        if route.permission != "public":
            raise
        return None


def _route_of(routes: Mapping[tuple[str, str], Route], request: web.Request) -> Route | None:
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return None if resource is None else routes[method, resource.canonical]


def _refuse_unknown_parameters(route: Route, request: web.Request) -> None:
    known = [query.name for query in route.queries]
    unknown = [key for key in request.query if key not in known]
    if unknown and route.path.startswith("/api/"):
        takes = f"this path takes {', '.join(known)}" if known else "this path takes no parameters"
        raise wrong_fields(
            [{"field": key[:80], "message": f"unknown parameter; {takes}"} for key in unknown], code="unknown_field"
        )


def _refuse_foreign_pages(site: Site, request: web.Request) -> None:
    """Any page in a browser can reach a loopback port. Two checks close that door.

    A write whose Origin is another host is a cross-site request; a loopback port addressed by a name that is not its own is
    DNS rebinding.
    """
    origin = request.headers.get("Origin")
    if origin and request.method not in READS and _place(origin) != request.host.lower():
        raise Refused(403, "cross_origin", f"a page of {origin[:100]} may not write to this peer")
    if _on_loopback(request) and not _own_name(request.host, site.options.host_names):
        raise Refused(403, "foreign_host", f"this peer is not called {request.host[:100]!r}; use its address or localhost")


def _on_loopback(request: web.Request) -> bool:
    name = request.get_extra_info("sockname")
    try:
        return isinstance(name, tuple) and ipaddress.ip_address(name[0]).is_loopback
    except ValueError:
        return False


def _place(origin: str) -> str | None:
    """Host and port of an origin, None for one that cannot be read."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _own_name(host: str, names: tuple[str, ...]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or name in names
    return True
