"""Health: one word for load balancers, probes for Kubernetes, and details for those who may see them.

Readiness never asks how many other peers there are: a mesh of one must be able to start.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from peer.web.replies import as_json, as_text
from peer.web.site import ROLE, Site, site_of

STATUS: Final = {"passing": 200, "warning": 429, "critical": 503}
ORDER: Final = tuple(STATUS)


async def get_health(request: web.Request) -> web.StreamResponse:
    """The worst of the checks."""
    checks = site_of(request).mesh.checks()
    worst = worst_of(checks)
    rows = [{"name": name, "status": status, "output": output} for name, status, output in checks]
    shown = rows if request[ROLE] else []
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "5"} if worst != "passing" else {})
    return as_json({"status": worst, "checks": shown}, status=STATUS[worst], headers=headers)


async def startup(_request: web.Request) -> web.StreamResponse:
    """The store is open and the socket bound, or nothing would answer."""
    return as_text("started")


async def live(_request: web.Request) -> web.StreamResponse:
    """The event loop turns."""
    return as_text("alive")


async def ready(request: web.Request) -> web.StreamResponse:
    """Takes requests: no check is critical, and the peer is not draining."""
    site = site_of(request)
    if site.closing.is_set() or _draining(site):
        return as_text("draining", status=503)
    if worst_of(site.mesh.checks()) == "critical":
        return as_text("critical", status=503)
    return as_text("ready")


def worst_of(checks: list[tuple[str, str, str]]) -> str:
    """The worst status; a status that is unknown counts as critical, none at all as passing."""
    return max((status if status in STATUS else "critical" for _, status, _ in checks), key=ORDER.index, default="passing")


def _draining(site: Site) -> bool:
    return any(view.draining for view in site.mesh.peers() if view.id == site.mesh.me)
