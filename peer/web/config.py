"""What this peer was told, and by whom."""

from __future__ import annotations

from aiohttp import web

from peer.web.replies import as_json
from peer.web.site import site_of


async def get_config(request: web.Request) -> web.StreamResponse:
    """Every setting with its origin; secrets are masked by the mesh."""
    rows = site_of(request).mesh.settings()
    return as_json({"settings": [{"name": name, "value": value, "origin": origin} for name, value, origin in rows]})
