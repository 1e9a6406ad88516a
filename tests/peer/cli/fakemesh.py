"""A mesh that only its HTTP interface shows: real servers on loopback, one shared state, nothing rendered.

It holds to the contract of the interface and can be told to misbehave. Each look at a running job finishes one frame more,
so that tests need no clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web
from blake3 import blake3

from tests.peer.cli.fakejob import FINAL, FakeJob

T = TypeVar("T")
FIELDS = frozenset(
    [
        "frames",
        "main",
        "name",
        "priority",
        "scene_name",
        "view_layer",
        "camera",
        "engine",
        "device",
        "blender",
        "samples",
        "resolution",
        "format",
        "max_attempts",
        "frame_timeout_s",
        "threads",
        "on_warning",
        "durability",
        "label",
        "renderer",
        "settings",
    ]
)
PUBLIC = ("/health", "/healthz/live", "/ca.pem")


@dataclass
class Seen:
    """One request as a server saw it."""

    peer: str
    method: str
    path: str
    headers: dict[str, str]
    json: Any = None


class FakeMesh:
    """Servers in a thread of their own. `mishaps` are asked first, and may answer in the place of the mesh."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.keys: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.peers: list[FakePeer] = []
        self.gone: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.inspection: dict[str, Any] | None = None
        self.inspected: list[dict[str, Any]] = []
        self.looks_refused = 0
        self.token: str | None = None
        self.tokens: list[dict[str, Any]] = []
        self.keys_behind: list[str] = []
        self.authority = ""
        self.ways: dict[str, list[float]] = {"datagram": [0.4, 0.6], "stream": [2.0, 3.0], "indirect": []}
        self.page = 1000
        self.health = 200
        self.prepare: Callable[[FakeJob], None] = lambda job: None
        self.mishaps: list[Callable[[web.Request], Awaitable[web.StreamResponse | None]]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-mesh")
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the servers' loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start_peer(self, name: str, *, ssl: Any = None) -> FakePeer:
        """One more peer, on a port of its own."""
        peer = FakePeer(self, name, ssl)
        self.call(peer.start())
        self.peers.append(peer)
        return peer

    def close(self) -> None:
        """Stop everything."""
        for peer in self.peers:
            peer.stop()
        self.call(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def add(self, name: str, frames: list[int], /, **spec: Any) -> FakeJob:
        """Accept a job."""
        identifier = hashlib.md5(f"{name}{len(self.jobs)}".encode(), usedforsecurity=False).hexdigest()
        job = FakeJob(identifier, name, frames, spec, self.peers[0].id if self.peers else "")
        self.jobs[identifier] = job
        self.prepare(job)
        return job

    def busy(self, times: int, *, status: int = 503, retry_after: str | None = "0", path: str = "/api/v1/jobs") -> None:
        """Answer the next requests to `path` with busy."""
        left = [times]

        async def mishap(request: web.Request) -> web.StreamResponse | None:
            if left[0] == 0 or request.path != path:
                return None
            left[0] -= 1
            headers = {"Retry-After": retry_after} if retry_after is not None else {}
            return problem(status, "busy", "every slot is taken", headers=headers)

        self.mishaps.append(mishap)


def problem(status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    """An RFC 9457 answer."""
    body = {"type": "about:blank", "title": "Refused", "status": status, "code": code, "detail": detail, **more}
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)


async def _settle() -> None:
    """Let what the servers still do come to its end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


class Refused(Exception):
    """An answer that ends a request."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


class FakePeer:
    """One peer's user port."""

    def __init__(self, mesh: FakeMesh, name: str, ssl: Any) -> None:
        self.mesh, self.name, self.ssl = mesh, name, ssl
        self.id = hashlib.sha256(name.encode()).hexdigest()
        self.draining = False
        self.address = ""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.ssl else 'http'}://{self.address}"

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._gate], client_max_size=2**32)
        job = "/api/v1/jobs/{id}"
        app.add_routes(
            [
                web.post("/api/v1/jobs", self._submit),
                web.post("/api/v1/inspections", self._inspect),
                web.get("/api/v1/jobs", self._jobs),
                web.get(job, self._job),
                web.patch(job, self._patch),
                web.delete(job, self._delete),
                web.get(job + "/frames", self._frames),
                web.get(job + "/frames/{n}/outputs", self._outputs),
                web.get(job + "/frames/{n}/outputs/{name}", self._output),
                web.get(job + "/frames/{n}/log", self._log),
                web.get(job + "/events", self._job_events),
                web.get(job + "/why", self._why),
                web.post(job + "/{verb}", self._verb),
                web.get("/api/v1/events", self._events),
                web.get("/api/v1/peers", self._peers),
                web.get("/api/v1/keys", self._keys),
                web.post("/api/v1/keys", self._keys),
                web.post("/api/v1/keys/{fingerprint}/use", self._keys),
                web.delete("/api/v1/keys/{fingerprint}", self._keys),
                web.get("/api/v1/tokens", self._tokens),
                web.post("/api/v1/tokens", self._new_token),
                web.delete("/api/v1/tokens/{id}", self._revoke_token),
                web.get("/api/v1/whoami", self._whoami),
                web.get("/ca.pem", self._authority),
                web.get("/healthz/live", self._live),
                web.post("/api/v1/peers/{id}/ping", self._ping),
                web.post("/api/v1/peers/{id}/{verb}", self._drain),
                web.get("/api/v1/config", self._config),
                web.get("/health", self._health),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self.ssl)
        await site.start()
        self.address = "{}:{}".format(*self._runner.addresses[0][:2])

    def stop(self) -> None:
        """Die: every connection is cut, the port is closed."""
        if self._runner is not None:
            self.mesh.call(self._runner.cleanup())
            self._runner = None

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        seen = Seen(self.name, request.method, request.path_qs, dict(request.headers))
        self.mesh.seen.append(seen)
        if request.content_type == "application/json" and request.can_read_body:
            seen.json = await request.json()
        for mishap in self.mesh.mishaps:
            answer = await mishap(request)
            if answer is not None:
                return answer
        if request.path not in PUBLIC and not self._lets_in(request):
            return problem(401, "no_token", "this mesh wants a key", headers={"X-Request-Id": "r-401"})
        try:
            response: web.StreamResponse = await handler(request)
        except Refused as refused:
            response = refused.response
        if not response.prepared:
            response.headers["X-Request-Id"] = "r-1"
        return response

    def _lets_in(self, request: web.Request) -> bool:
        return not self.mesh.token or request.headers.get("Authorization") == f"Bearer {self.mesh.token}"

    def _found(self, request: web.Request) -> FakeJob:
        text = request.match_info["id"]
        jobs = self.mesh.jobs.values()
        found = [job for job in jobs if text in (job.id, job.name)] or [job for job in jobs if job.id.startswith(text)]
        if not found:
            raise Refused(problem(404, "no_such_job", f"no job is called {text!r}"))
        if len(found) > 1:
            raise Refused(problem(409, "ambiguous_job", f"{text!r} means {len(found)} jobs"))
        return found[0]

    async def _inspect(self, request: web.Request) -> web.Response:
        if self.mesh.inspection is None:
            self.mesh.looks_refused += 1
            return problem(503, "no_renderer", "no peer has the renderer blender", headers={"Retry-After": "0"})
        form = await request.post()
        parts = {name: value.file.read() if isinstance(value, web.FileField) else value for name, value in form.items()}
        self.mesh.inspected.append(parts)
        return web.json_response(self.mesh.inspection)

    async def _submit(self, request: web.Request) -> web.Response:
        files: dict[str, bytes] = {}
        if request.content_type == "application/json":
            spec = dict(await request.json())
        else:
            spec = await self._form(request, files)
        key = request.headers["Idempotency-Key"]
        if key in self.mesh.keys:
            return self._accepted(self.mesh.jobs[self.mesh.keys[key]])
        unknown = [name for name in spec if name not in FIELDS]
        if unknown:
            return problem(
                422, "unknown_field", f"there is no field {unknown[0]!r}", errors=[{"field": unknown[0], "message": "unknown"}]
            )
        text = spec.get("frames", "1-3")
        match = re.fullmatch(r"(\d+)-(\d+)", text)
        if match is None or int(match[2]) < int(match[1]):
            return problem(422, "bad_frames", f"frames: cannot read {text!r}", remedy="write for example 1-48")
        if not files and spec.get("renderer") != "null":
            return problem(422, "no_scene", "a scene is missing")
        job = self.mesh.add(spec.get("name", "untitled"), list(range(int(match[1]), int(match[2]) + 1)), **spec)
        job.files, job.owner = files, self.id
        return self._once(key, lambda: job)

    def _once(self, key: str, make: Callable[[], FakeJob]) -> web.Response:
        if key not in self.mesh.keys:
            self.mesh.keys[key] = make().id
        return self._accepted(self.mesh.jobs[self.mesh.keys[key]])

    async def _form(self, request: web.Request, files: dict[str, bytes]) -> dict[str, Any]:
        spec: dict[str, Any] = {}
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            body = bytes(await part.read())
            name = part.name
            if name in ("scene", "asset"):
                files[("" if name == "asset" else "scene:") + (part.filename or "")] = body
            elif name == "label":
                spec.setdefault("label", []).append(body.decode())
            elif name == "settings":
                spec["settings"] = json.loads(body)
            else:
                spec[name or ""] = body.decode()
        return spec

    def _accepted(self, job: FakeJob) -> web.Response:
        body = {"id": job.id, "name": job.name, "state": job.state, "owner": job.owner, "durability": {"copies": 2}}
        return web.json_response(body, status=202, headers={"Location": f"/api/v1/jobs/{job.id}"})

    async def _jobs(self, request: web.Request) -> web.Response:
        rows = [job.view() for job in self.mesh.jobs.values() if request.query.get("state") in (None, job.state)]
        return self._paged(request, "jobs", rows)

    def _paged(self, request: web.Request, key: str, rows: list[dict[str, Any]]) -> web.Response:
        size = min(self.mesh.page, int(request.query.get("limit", 1000)))
        at = int(request.query.get("cursor", 0))
        following = str(at + size) if at + size < len(rows) else None
        return web.json_response({key: rows[at : at + size], "cursor": following})

    async def _job(self, request: web.Request) -> web.Response:
        job = self._found(request)
        job.step()
        return web.json_response(job.view())

    async def _patch(self, request: web.Request) -> web.Response:
        job = self._found(request)
        body = await request.json()
        job.spec |= body
        accepted = set(body.get("accept", []))
        job.held_because = [reason for reason in job.held_because if reason["code"] not in accepted]
        if job.state == "held" and not job.held_because:
            job.state = "queued"
        return web.json_response(job.view())

    async def _delete(self, request: web.Request) -> web.Response:
        job = self._found(request)
        if job.state not in FINAL:
            return problem(409, "job_not_finished", f"the job is {job.state}", remedy="cancel it first")
        del self.mesh.jobs[job.id]
        return web.json_response({"id": job.id})

    async def _verb(self, request: web.Request) -> web.Response:
        job = self._found(request)
        match request.match_info["verb"]:
            case "pause":
                job.state = "paused"
            case "resume":
                job.state = "queued" if job.state == "paused" else job.state
            case "cancel":
                job.state = "cancelled"
            case "resubmit":
                return self._once(request.headers["Idempotency-Key"], lambda: self.mesh.add(job.name, job.frames, **job.spec))
            case "retry":
                job.failed.clear()
                job.failing = frozenset()
                job.state = "queued"
            case verb:
                return problem(404, "no_such_route", verb)
        return web.json_response(job.view())

    async def _frames(self, request: web.Request) -> web.Response:
        rows = [row for row in self._found(request).rows() if request.query.get("state") in (None, row["state"])]
        return self._paged(request, "frames", rows)

    async def _outputs(self, request: web.Request) -> web.Response:
        job, frame = self._found(request), int(request.match_info["n"])
        rows = [
            {"role": "main", "name": name, "digest": blake3(content).hexdigest(), "size": len(content)}
            for name, content in job.contents(frame)
        ]
        return web.json_response({"outputs": rows})

    async def _output(self, request: web.Request) -> web.Response:
        job, frame = self._found(request), int(request.match_info["n"])
        content = dict(job.contents(frame))[request.match_info["name"]]
        headers = {"ETag": f'"{blake3(content).hexdigest()}"'}
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if match is None or request.headers.get("If-Range") != headers["ETag"]:
            return web.Response(body=content, headers=headers)
        start = int(match[1])
        if start >= len(content):
            return problem(416, "bad_range", "beyond the end")
        return web.Response(status=206, body=content[start:], headers=headers)

    async def _log(self, request: web.Request) -> web.Response:
        return web.Response(text=f"Fra:{request.match_info['n']} Mem:12M\n\x1b[2JSaved\n")

    async def _why(self, request: web.Request) -> web.Response:
        job = self._found(request)
        reasons = [{**reason, "peer": self.id} for reason in job.held_because]
        return web.json_response({"job": job.id, "state": job.state, "reasons": reasons})

    async def _job_events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self._found(request).events)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self.mesh.events)

    async def _stream(self, request: web.Request, events: list[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        sent = int(request.headers.get("Last-Event-ID", 0))
        while self._lets_in(request):
            fresh = events[sent:]
            for event in fresh:
                await response.write(f"id: {event['id']}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n".encode())
            sent += len(fresh)
            if request.query.get("follow") == "false":
                break
            await asyncio.sleep(0.01)
        return response

    async def _peers(self, request: web.Request) -> web.Response:
        return self._paged(request, "peers", [*(peer.view() for peer in self.mesh.peers), *self.mesh.gone])

    def view(self) -> dict[str, Any]:
        """As `/peers` shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "state": "alive" if self._runner is not None else "dead",
            "address": self.url,
            "slots": {"total": 1, "free": 1},
            "labels": {"room": "attic"},
            "capabilities": [{"renderer": "blender", "version": "5.0.1", "engines": ["CYCLES"]}],
            "checks": [{"name": "disk", "status": "passing", "output": ""}],
            "version": "0.1.0",
            "rtt_ms": 0.4,
            "draining": self.draining,
        }

    async def _drain(self, request: web.Request) -> web.Response:
        for peer in self.mesh.peers:
            if peer.id == request.match_info["id"]:
                peer.draining = request.match_info["verb"] == "drain"
                return web.json_response(peer.view())
        return problem(404, "no_such_peer", "no such peer")

    async def _keys(self, request: web.Request) -> web.Response:
        if request.match_info.get("fingerprint") == "0" * 16:
            return problem(404, "no_such_key", "no such key in the ring")
        row = {"id": "f" * 16, "primary": True, "holders": 3, "missing": self.mesh.keys_behind}
        return web.json_response({"keys": [row], "removed": [], "unconfirmed": self.mesh.keys_behind})

    async def _tokens(self, request: web.Request) -> web.Response:
        return self._paged(request, "tokens", self.mesh.tokens)

    async def _new_token(self, request: web.Request) -> web.Response:
        body = await request.json()
        row = {"id": f"{len(self.mesh.tokens):016x}", "created_at": "2026-01-02T03:04:05.000Z", "revoked": False, **body}
        self.mesh.tokens.append(row)
        return web.json_response({**row, "token": f"mk_{row['id']}_{'5' * 40}"}, status=201)

    async def _revoke_token(self, request: web.Request) -> web.Response:
        for row in self.mesh.tokens:
            if request.match_info["id"] in (row["id"], row["name"]):
                row["revoked"] = True
                return web.json_response(row)
        return problem(404, "no_such_key", "there is no such key")

    async def _whoami(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "alice", "role": "operator", "key": "0" * 16, "peer": self.id})

    async def _authority(self, request: web.Request) -> web.Response:
        return web.Response(text=self.mesh.authority)

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="alive")

    async def _ping(self, request: web.Request) -> web.Response:
        sent = int(request.query["count"])
        ways = {
            way: {"sent": sent if rtt_ms or way != "indirect" else 0, "received": len(rtt_ms), "rtt_ms": rtt_ms}
            for way, rtt_ms in self.mesh.ways.items()
        }
        return web.json_response({"asker": self.id, "peer": request.match_info["id"], "name": "x", **ways, "helpers": []})

    async def _config(self, request: web.Request) -> web.Response:
        rows = [
            {"name": "port", "value": 7700, "origin": "default"},
            {"name": "mesh_key", "value": "***", "origin": "environment PEER_MESH_KEY"},
        ]
        return web.json_response({"settings": rows})

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "?"}, status=self.mesh.health)
