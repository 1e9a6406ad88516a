"""The simple endpoints: the shape that the tutorial series' clients already use, on every peer.

Decides the words, statuses and headers of that shape; bad input is 400 here, and bodies of `/status` and `/job/{pid}` are text.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web
from typing_extensions import TypedDict

from peer.web.problems import Problem, Refused, from_refusal, retry_after
from peer.web.relay import relay
from peer.web.replies import as_json, as_text
from peer.web.requests import read_object, validated
from peer.web.site import Site, forwarded_by, site_of
from peer.web.submission import accept, idempotency_key
from protocol import limits
from protocol.errors import Invalid, NotFound, Unavailable
from protocol.ids import PeerId
from protocol.jobs.manifest import EMPTY, Manifest
from protocol.jobs.spec import JobSpec
from protocol.views import JobView, Submitted

_PID: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{12})\Z", re.ASCII)
POLL_S_MAX: Final = 30.0
POLL_S: Final = 2.0

FrameRange = TypedDict("FrameRange", {"from": int, "to": int})
"""The body of both; further fields of a job may stand beside them."""


class Busy(Problem):
    """Why nothing begins here now, for how long, and who has a free slot (URLs)."""

    error: str
    retryAfterSeconds: int
    freePeers: list[str]


async def render(request: web.Request) -> web.StreamResponse:
    """Queue a range of the default scene in the mesh."""
    submitted = await _submit(request, on_this_peer=False)
    headers = {"Location": f"/status/{submitted.job.id}", **_poll(submitted.job)}
    return as_json({"jobId": submitted.job.id}, status=202, headers=headers)


async def status(request: web.Request) -> web.StreamResponse:
    """How it stands, in a sentence."""
    try:
        view = await site_of(request).mesh.locate(request.match_info["job"])
    except NotFound:
        return as_text("Job not found", status=404)
    return _told(view)


async def job_here(request: web.Request) -> web.StreamResponse:
    """Render a range on this very peer, or say that it is busy."""
    site = site_of(request)
    _refuse_busy(site)
    try:
        submitted = await _submit(request, on_this_peer=True)
    except Unavailable as error:
        raise _busy(site, error.message, seconds=error.retry_after_s or POLL_S_MAX, free=_free(site), code=error.code) from None
    pid = f"{site.mesh.me[:8]}-{submitted.job.id[:12]}"
    return as_json({"pid": pid}, status=202, headers={"Location": f"/job/{pid}", **_poll(submitted.job)})


async def job_there(request: web.Request) -> web.StreamResponse:
    """How such a job stands; the pid names its peer, which is asked when it is another one."""
    site, match = site_of(request), _PID.match(request.match_info["pid"])
    if match is None:
        return as_text("Job not found", status=404)
    away = _away(site, match[1])
    if away is not None and forwarded_by(request) is None:
        try:
            return await relay(request, [away], request.rel_url.raw_path.lstrip("/"), what="this job")
        except Unavailable:
            pass  # its peer is gone, but others may know the job
    try:
        return _told(await site.mesh.locate(match[2]))
    except NotFound:
        return as_text("Job not found", status=404)


async def _submit(request: web.Request, *, on_this_peer: bool) -> Submitted:
    """Raises `Refused` 400 where the body is wrong or there is no default scene, `Unavailable`."""
    try:
        spec, manifest = await _asked(request)
        return await accept(request, spec, manifest, key=idempotency_key(request), on_this_peer=on_this_peer)
    except Invalid as error:
        raise _bad(from_refusal(error)) from None
    except Refused as error:
        raise _bad(error) from None


async def _asked(request: web.Request) -> tuple[JobSpec, Manifest]:
    body = await read_object(request)
    frames = _range(body)
    fields = {name: value for name, value in body.items() if name not in ("from", "to")}
    if "frames" in fields:
        raise Refused(400, "bad_field", "the frames are 'from' and 'to'; for ranges use POST /api/v1/jobs")
    options = site_of(request).options
    if options.null_only():
        fields.setdefault("renderer", "null")
    spec = validated(JobSpec, {**fields, "frames": frames})
    if spec.renderer == "null":
        return spec, EMPTY
    manifest = await options.default_scene()
    if manifest is None:
        raise Refused(
            400, "no_default_scene", "this peer has no default scene; start it with --scene FILE, or use POST /api/v1/jobs"
        )
    return spec, manifest


def _range(body: dict[str, Any]) -> str:
    for name in ("from", "to"):
        value = body.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(400, "bad_field", f'\'{name}\' must be a whole number: {{"from": 1, "to": 48}}')
        if not limits.FRAME_NUMBER_MIN <= value <= limits.FRAME_NUMBER_MAX:
            raise Refused(400, "bad_frames", f"'{name}' must be from {limits.FRAME_NUMBER_MIN} to {limits.FRAME_NUMBER_MAX}")
    if body["from"] > body["to"]:
        raise Refused(400, "bad_frames", f"'from' ({body['from']}) is after 'to' ({body['to']})")
    return f"{body['from']}-{body['to']}"


def _bad(error: Refused) -> Refused:
    """The same refusal as 400 with `error`, a plain sentence, for clients that read nothing else."""
    status = 400 if error.status == 422 else error.status
    return Refused(status, error.code, error.detail, headers=error.headers, errors=error.errors, extra={"error": error.detail})


def _refuse_busy(site: Site) -> None:
    busy = site.mesh.busy()
    if busy is not None:
        raise _busy(site, "Server busy, try again later", seconds=busy[0], free=busy[1], code="busy")


def _busy(site: Site, text: str, *, seconds: float, free: list[str], code: str) -> Refused:
    header = retry_after(seconds)
    extra = {"error": text, "retryAfterSeconds": int(header["Retry-After"]), "freePeers": free}
    return Refused(503, code, text, headers=header, extra=extra)


def _free(site: Site) -> list[str]:
    return [
        view.address
        for view in site.mesh.peers()
        if view.state == "alive" and view.slots_free > 0 and not view.draining and not view.me
    ]


def _away(site: Site, prefix: str) -> PeerId | None:
    """The live peer whose id begins so, unless it is this one."""
    if site.mesh.me.startswith(prefix):
        return None
    found = [view.id for view in site.mesh.peers() if view.state == "alive" and view.id.startswith(prefix)]
    return found[0] if len(found) == 1 else None


def _told(view: JobView) -> web.Response:
    state: dict[str, str] = {"X-Job-State": view.state}
    match view.state:
        case "completed":
            return as_text("Job completed", headers=state)
        case "failed":
            return as_text(view.error or "Job failed", status=500, headers=state)
        case "cancelled":
            return as_text("Job cancelled", status=500, headers=state)
        case _:
            return as_text("Job still running", status=202, headers={**state, **_poll(view)})


def _poll(view: JobView) -> dict[str, str]:
    """When to ask again: at the estimated end, at the latest after `POLL_S_MAX`."""
    return retry_after(min(POLL_S_MAX, view.eta_s if view.eta_s is not None else POLL_S))
