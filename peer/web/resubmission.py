"""`POST /api/v1/jobs/{job}/resubmit`: a new job from an old one's specification and scene, at a peer that holds them.

Decides that its key is drawn once, before any peer is asked. Refuses to know how a job is accepted.
"""

from __future__ import annotations

import secrets

from aiohttp import web

from peer.web.jobs import Nothing
from peer.web.relay import KEY, at_holder
from peer.web.requests import read_object, validated
from peer.web.site import site_of
from peer.web.submission import accept, accepted, idempotency_key
from protocol.views import JobView


async def resubmit_job(request: web.Request) -> web.StreamResponse:
    """202 with the new job. Raises `Unavailable` when nobody who holds the old one, or a file of its scene, can be reached."""
    request[KEY] = idempotency_key(request) or secrets.token_hex(16)
    return await at_holder(request, _again)


async def _again(request: web.Request, view: JobView) -> web.StreamResponse:
    validated(Nothing, await read_object(request, empty=True))
    site = site_of(request)
    spec, scene = site.mesh.spec(view.id), site.mesh.scene(view.id)
    for entry in scene.files:
        if not await site.blobs.has(entry.digest):
            await site.mesh.fetch(entry.digest, entry.size, site.mesh.where(view.id))
    return accepted(await accept(request, spec, scene, key=request[KEY]))
