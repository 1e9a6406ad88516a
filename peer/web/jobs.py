"""Jobs: the list, one of them, steering it, and why it does not go on."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from peer.ports import ControlAction
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder, at_owner, find_job
from peer.web.replies import as_json
from peer.web.requests import bad_cursor, page_limit, read_object, validated
from peer.web.shapes import because, job_json
from peer.web.site import site_of
from protocol import limits
from protocol.jobs.frames import parse_frames
from protocol.views import JobState, JobView

_CURSOR: Final = re.compile(r"(\d{1,16})\.([0-9a-f]{32})\Z", re.ASCII)
Code = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9_.-]+$")]
Codes = Annotated[tuple[Code, ...], Field(max_length=limits.WARNINGS_PER_SCENE_MAX)]


class Nothing(BaseModel):
    """No fields."""

    model_config = ConfigDict(extra="forbid")


class Resume(BaseModel):
    """`accept` are codes of warnings that are no reason to hold any more."""

    model_config = ConfigDict(extra="forbid")

    accept: Code | Codes = ()


class Retry(BaseModel):
    """`frames` restricts it (default: all that failed or are held); `include_done` renders finished ones again.

    With `replaces` (the job's `generation`, as it was seen) only frames of that generation or an older one are moved, so that a
    request that is repeated does not render them twice."""

    model_config = ConfigDict(extra="forbid", strict=True)

    frames: str | None = Field(None, max_length=limits.FRAMES_TEXT_CHARS_MAX)
    include_done: bool = False
    replaces: int | None = Field(None, ge=0, le=limits.GENERATIONS_MAX)


class Change(BaseModel):
    """What may be changed while a job is under way."""

    model_config = ConfigDict(extra="forbid")

    priority: int | None = Field(None, ge=0, le=100, strict=True)
    on_warning: Literal["hold", "fail", "accept"] | None = None
    accept: Code | Codes = ()


async def list_jobs(request: web.Request) -> web.StreamResponse:
    """A page, newest first."""
    most = page_limit(request)
    states, labels, name = _states(request), request.query.getall("label", []), request.query.get("name")
    views = sorted(site_of(request).mesh.jobs(), key=_place)
    after = _after(request.query.get("cursor"))
    fitting = [
        view
        for view in views
        if (after is None or _place(view) > after)
        and (not states or view.state in states)
        and (name is None or view.name == name)
        and all(label in view.labels for label in labels)
    ]
    page = fitting[:most]
    cursor = f"{page[-1].submitted_ms}.{page[-1].id}" if len(fitting) > most else None
    return as_json({"jobs": [job_json(view) for view in page], "cursor": cursor})


async def get_job(request: web.Request) -> web.StreamResponse:
    """One job, as this peer knows it."""
    return as_json(job_json(await find_job(request)))


async def explain_job(request: web.Request) -> web.StreamResponse:
    """Why it waits, is held or failed."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        reasons = site_of(request).mesh.explain(view.id)
        return as_json({"job": view.id, "state": view.state, "reasons": [because(reason) for reason in reasons]})

    return await at_holder(request, handle)


async def pause_job(request: web.Request) -> web.StreamResponse:
    """Grant no more frames; those under way end."""
    return await _plain(request, "pause")


async def cancel_job(request: web.Request) -> web.StreamResponse:
    """End it; frames that are done stay."""
    return await _plain(request, "cancel")


async def delete_job(request: web.Request) -> web.StreamResponse:
    """Forget a finished job and its files."""
    return await _plain(request, "delete")


async def resume_job(request: web.Request) -> web.StreamResponse:
    """Go on after a pause or a hold."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        body = validated(Resume, await read_object(request, empty=True))
        await _accept(request, view, body.accept)
        return as_json(job_json(await site_of(request).mesh.control(view.id, "resume")))

    return await at_owner(request, handle)


async def retry_job(request: web.Request) -> web.StreamResponse:
    """Render failed or held frames again."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        body = validated(Retry, await read_object(request, empty=True))
        if body.frames is not None:
            parse_frames(body.frames)
        after = await site_of(request).mesh.control(
            view.id, "retry", frames=body.frames, include_done=body.include_done, replaces=body.replaces
        )
        return as_json(job_json(after))

    return await at_owner(request, handle)


async def change_job(request: web.Request) -> web.StreamResponse:
    """Priority, what a warning does, and which warnings are accepted."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        body = validated(Change, await read_object(request))
        mesh = site_of(request).mesh
        if body.priority is not None:
            view = await mesh.control(view.id, "priority", value=str(body.priority))
        if body.on_warning is not None:
            view = await mesh.control(view.id, "on_warning", value=body.on_warning)
        return as_json(job_json(await _accept(request, view, body.accept)))

    return await at_owner(request, handle)


async def _plain(request: web.Request, action: ControlAction) -> web.StreamResponse:
    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        validated(Nothing, await read_object(request, empty=True))
        return as_json(job_json(await site_of(request).mesh.control(view.id, action)))

    return await at_owner(request, handle)


async def _accept(request: web.Request, view: JobView, codes: str | tuple[str, ...]) -> JobView:
    for code in (codes,) if isinstance(codes, str) else codes:
        view = await site_of(request).mesh.control(view.id, "accept", value=code)
    return view


def _place(view: JobView) -> tuple[int, str]:
    return -view.submitted_ms, view.id


def _after(cursor: str | None) -> tuple[int, str] | None:
    if not cursor:
        return None
    match = _CURSOR.match(cursor)
    if match is None:
        raise bad_cursor()
    return -int(match[1]), match[2]


def _states(request: web.Request) -> list[str]:
    states = [part for text in request.query.getall("state", []) for part in text.split(",") if part]
    for state in states:
        if state not in get_args(JobState):
            raise wrong_fields([{"field": "state", "message": f"{state[:40]!r} is none of {', '.join(get_args(JobState))}"}])
    return states
