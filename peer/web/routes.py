"""Every route of the user port, with its permission, in one table.

The router is built from it, the guard enforces it, and `/openapi.json` describes it.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from peer.web import (
    archive,
    config,
    events,
    frames,
    health,
    inspections,
    jobs,
    keys,
    metrics,
    pages,
    peers,
    resubmission,
    shapes,
    simple,
    submission,
    tokens,
)
from peer.web.consul.table import CONSUL
from peer.web.expecting import expect
from peer.web.openapi import FORM
from peer.web.problems import Problem
from peer.web.route import Answer, Query, Route
from protocol import limits

_PAGE: Final = (
    Query("limit", "At most so many, 1 to 1000", "integer"),
    Query("cursor", "Where the last page ended, as it said"),
)
_FOLLOW: Final = (Query("follow", "Go on with new events (default: true)", "boolean"),)
_JOB: Final = (Answer(200, "The job", shapes.Job),)
_PEER: Final = (Answer(200, "The peer", shapes.Peer),)
_EVENTS: Final = (Answer(200, "Events; resume with the header Last-Event-ID; ends when the key is revoked", "text/event-stream"),)
_FILE: Final = (
    Answer(200, "The bytes, with ETag (BLAKE3-256)", "application/octet-stream"),
    Answer(206, "A part of them", "application/octet-stream"),
    Answer(304, "Not changed"),
)
_TEXT_STATUS: Final = (
    Answer(200, "Job completed", "text/plain"),
    Answer(202, "Job still running; Retry-After says when to ask again", "text/plain"),
    Answer(404, "Job not found", "text/plain"),
    Answer(500, "Why it failed", "text/plain"),
)
_JOBS: Final = (
    Route(
        "POST",
        "/api/v1/jobs",
        submission.submit_job,
        "submitter",
        "Submit a job; it will not be lost.",
        (Answer(202, "Accepted; Location names it", shapes.Accepted),),
        body=submission.JsonSubmission,
        body_types=(FORM, "application/json"),
        body_required=True,
    ),
    Route(
        "GET",
        "/api/v1/jobs",
        jobs.list_jobs,
        "viewer",
        "Jobs, newest first.",
        (Answer(200, "A page", shapes.Jobs),),
        queries=(
            *_PAGE,
            Query("state", "Only these states, with commas"),
            Query("label", "Only with this label, key=value"),
            Query("name", "Only of this name"),
        ),
    ),
    Route("GET", "/api/v1/jobs/{job}", jobs.get_job, "viewer", "One job.", _JOB),
    Route(
        "PATCH",
        "/api/v1/jobs/{job}",
        jobs.change_job,
        "submitter",
        "Change priority, on_warning, or accept a warning.",
        _JOB,
        body=jobs.Change,
        body_required=True,
    ),
    Route("DELETE", "/api/v1/jobs/{job}", jobs.delete_job, "submitter", "Forget a finished job and its files.", _JOB),
    Route("POST", "/api/v1/jobs/{job}/pause", jobs.pause_job, "submitter", "Grant no more frames.", _JOB, body=jobs.Nothing),
    Route(
        "POST",
        "/api/v1/jobs/{job}/resume",
        jobs.resume_job,
        "submitter",
        "Go on after a pause or a hold.",
        _JOB,
        body=jobs.Resume,
    ),
    Route(
        "POST",
        "/api/v1/jobs/{job}/cancel",
        jobs.cancel_job,
        "submitter",
        "End it; frames that are done stay.",
        _JOB,
        body=jobs.Nothing,
    ),
    Route(
        "POST",
        "/api/v1/jobs/{job}/retry",
        jobs.retry_job,
        "submitter",
        "Render failed or held frames again.",
        _JOB,
        body=jobs.Retry,
    ),
    Route(
        "POST",
        "/api/v1/jobs/{job}/resubmit",
        resubmission.resubmit_job,
        "submitter",
        "A new job from this one's specification and scene.",
        (Answer(202, "Accepted; Location names it", shapes.Accepted),),
        body=jobs.Nothing,
    ),
    Route(
        "GET",
        "/api/v1/jobs/{job}/why",
        jobs.explain_job,
        "viewer",
        "Why it waits, is held or failed.",
        (Answer(200, "Reasons", shapes.Why),),
    ),
    Route(
        "POST",
        "/api/v1/inspections",
        inspections.inspect_scene,
        "submitter",
        "Look at a scene without making a job of it.",
        (Answer(200, "The scene, with findings and remedies", inspections.InspectionSeen),),
        body=submission.JsonSubmission,
        body_types=(FORM, "application/json"),
        body_required=True,
    ),
    Route(
        "GET",
        "/api/v1/jobs/{job}/inspection",
        inspections.get_inspection,
        "viewer",
        "What its scene is, and what was found in it.",
        (Answer(200, "The scene, with findings and remedies", inspections.InspectionSeen),),
    ),
    Route("GET", "/api/v1/jobs/{job}/events", events.job_events, "viewer", "Events of one job.", _EVENTS, queries=_FOLLOW),
    Route(
        "GET",
        "/api/v1/jobs/{job}/archive",
        archive.get_archive,
        "viewer",
        "All finished frames as a zip.",
        (
            Answer(200, "The zip; X-Frames-Missing counts what is not in it", "application/zip"),
            Answer(409, "No frame is done yet", Problem),
        ),
        queries=(Query("frames", "Only these, such as 1-10,20"),),
    ),
)

_FRAMES: Final = (
    Route(
        "GET",
        "/api/v1/jobs/{job}/frames",
        frames.list_frames,
        "viewer",
        "Frames in order.",
        (Answer(200, "A page", shapes.Frames),),
        queries=(*_PAGE, Query("state", "Only this state")),
    ),
    Route("GET", "/api/v1/jobs/{job}/frames/{frame}", frames.get_frame, "viewer", "The main output of a frame.", _FILE),
    Route(
        "GET",
        "/api/v1/jobs/{job}/frames/{frame}/outputs",
        frames.list_outputs,
        "viewer",
        "All files of a frame.",
        (Answer(200, "Main first", shapes.Outputs),),
    ),
    Route(
        "GET", "/api/v1/jobs/{job}/frames/{frame}/outputs/{name:.+}", frames.get_output, "viewer", "One file of a frame.", _FILE
    ),
    Route(
        "GET",
        "/api/v1/jobs/{job}/frames/{frame}/log",
        frames.get_log,
        "viewer",
        "What the renderer said.",
        (Answer(200, "The log", "text/plain"),),
    ),
)

_MESH: Final = (
    Route("GET", "/api/v1/events", events.all_events, "viewer", "Everything that this peer notes.", _EVENTS, queries=_FOLLOW),
    Route(
        "GET",
        "/api/v1/peers",
        peers.list_peers,
        "viewer",
        "Peers as this one sees them.",
        (Answer(200, "A page", shapes.Peers),),
        queries=_PAGE,
    ),
    Route("GET", "/api/v1/peers/{peer}", peers.get_peer, "viewer", "One peer.", _PEER),
    Route(
        "POST", "/api/v1/peers/{peer}/drain", peers.drain_peer, "operator", "Take no new work there.", _PEER, body=jobs.Nothing
    ),
    Route("POST", "/api/v1/peers/{peer}/undrain", peers.undrain_peer, "operator", "Take work again.", _PEER, body=jobs.Nothing),
    Route(
        "POST",
        "/api/v1/peers/{peer}/readmit",
        peers.readmit_peer,
        "operator",
        "Trust the frames of a peer again that was out because they had wrong pixels.",
        _PEER,
        body=jobs.Nothing,
    ),
    Route(
        "POST",
        "/api/v1/peers/{peer}/ping",
        peers.ping_peer,
        "operator",
        "How that peer is reached from this one: by datagram, stream and through a helper.",
        (Answer(200, "Round-trip times", shapes.PingSeen),),
        queries=(Query("count", f"How often, 1 to {limits.PINGS_PER_ASK_MAX} (default: 1)", "integer"),),
        body=jobs.Nothing,
    ),
    Route(
        "GET",
        "/api/v1/mesh",
        peers.see_mesh,
        "viewer",
        "Who sees whom, with round-trip times.",
        (Answer(200, "Views", shapes.MeshSeen),),
    ),
    Route(
        "GET",
        "/api/v1/config",
        config.get_config,
        "operator",
        "Settings and where they came from.",
        (Answer(200, "Settings", shapes.Settings),),
    ),
    Route(
        "GET", "/metrics", metrics.get_metrics, "viewer", "Metrics for Prometheus.", (Answer(200, "Text format", "text/plain"),)
    ),
    Route(
        "GET",
        "/health",
        health.get_health,
        "public",
        "Health in a word; details for viewers.",
        (Answer(200, "Passing", shapes.Health), Answer(429, "Warning", shapes.Health), Answer(503, "Critical", shapes.Health)),
    ),
    Route("GET", "/healthz/startup", health.startup, "public", "Has started.", (Answer(200, "Yes", "text/plain"),)),
    Route("GET", "/healthz/live", health.live, "public", "Is alive.", (Answer(200, "Yes", "text/plain"),)),
    Route(
        "GET",
        "/healthz/ready",
        health.ready,
        "public",
        "Takes requests.",
        (Answer(200, "Yes", "text/plain"), Answer(503, "No", "text/plain")),
    ),
)

_SIMPLE: Final = (
    Route(
        "POST",
        "/render",
        simple.render,
        "submitter",
        "Queue frames of the default scene in the mesh.",
        (Answer(202, "Queued; Location is its status", shapes.JobRef), Answer(400, "Bad input, or no default scene", Problem)),
        body=simple.FrameRange,
        body_required=True,
    ),
    Route("GET", "/status/{job}", simple.status, "viewer", "How such a job stands.", _TEXT_STATUS),
    Route(
        "POST",
        "/job",
        simple.job_here,
        "submitter",
        "Render frames of the default scene on this very peer.",
        (
            Answer(202, "Begun; Location is its status", shapes.PidRef),
            Answer(400, "Bad input, or no default scene", Problem),
            Answer(503, "Busy: Retry-After, and peers with a free slot", simple.Busy),
        ),
        body=simple.FrameRange,
        body_required=True,
    ),
    Route("GET", "/job/{pid}", simple.job_there, "viewer", "How such a job stands, from any peer.", _TEXT_STATUS),
)


_KEYS: Final = (Answer(200, "The key ring, and who has not confirmed it", shapes.MeshKeys),)
_ACCESS: Final = (
    Route(
        "GET",
        "/api/v1/tokens",
        tokens.list_tokens,
        "admin",
        "API keys, without their secrets.",
        (Answer(200, "A page", shapes.Tokens),),
        queries=_PAGE,
    ),
    Route(
        "POST",
        "/api/v1/tokens",
        tokens.create_token,
        "admin",
        "Make an API key; it is shown this once.",
        (Answer(201, "The key", shapes.NewToken),),
        body=tokens.NewToken,
        body_required=True,
    ),
    Route(
        "DELETE",
        "/api/v1/tokens/{token}",
        tokens.revoke_token,
        "admin",
        "Revoke an API key, for good.",
        (Answer(200, "The key, revoked", shapes.Token), Answer(409, "The last admin key, or a name of several", Problem)),
    ),
    Route("GET", "/api/v1/keys", keys.list_mesh_keys, "admin", "The mesh's key ring, by fingerprints.", _KEYS),
    Route(
        "POST",
        "/api/v1/keys",
        keys.install_mesh_key,
        "admin",
        "Give every peer, or all but some, one more mesh key.",
        (*_KEYS, Answer(409, "Everybody has it already", Problem)),
        body=keys.NewMeshKey,
        body_required=True,
    ),
    Route(
        "POST",
        "/api/v1/keys/{fingerprint}/use",
        keys.use_mesh_key,
        "admin",
        "Seal with this mesh key from now on.",
        (*_KEYS, Answer(409, "Somebody has not got it", Problem)),
        body=keys.Forced,
    ),
    Route(
        "DELETE",
        "/api/v1/keys/{fingerprint}",
        keys.remove_mesh_key,
        "admin",
        "Remove a mesh key, for good.",
        (*_KEYS, Answer(409, "Somebody still uses it", Problem)),
        body=keys.Forced,
    ),
    Route("GET", "/api/v1/whoami", tokens.whoami, "viewer", "Who the caller is.", (Answer(200, "The caller", shapes.Whoami),)),
    Route(
        "GET",
        "/ca.pem",
        tokens.authority,
        "public",
        "The mesh's certificate authority; compare its SHA-256 with what a peer prints.",
        (Answer(200, "PEM", "application/x-pem-file"), Answer(404, "Plain HTTP", Problem)),
    ),
)

_ABOUT: Final = (
    Route(
        "GET",
        "/openapi.json",
        pages.openapi,
        "public",
        "This API as OpenAPI 3.1.",
        (Answer(200, "The document", "application/json"),),
    ),
    Route("GET", "/docs", pages.docs, "public", "This API for people.", (Answer(200, "A page", "text/html"),)),
    Route("GET", "/", pages.index, "public", "Where to begin.", (Answer(200, "A page", "text/html"),)),
)

TABLE: Final = (*_JOBS, *_FRAMES, *_MESH, *_ACCESS, *_SIMPLE, *CONSUL, *_ABOUT)


def add_routes(router: web.UrlDispatcher, routes: tuple[Route, ...]) -> None:
    """Give the router what the table says; GET answers HEAD too."""
    for route in routes:
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        for method in methods:
            router.add_route(method, route.path, route.handler, expect_handler=expect)
