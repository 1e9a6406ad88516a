"""`POST /api/v1/jobs`: fields and files become a specification and a manifest, and those an accepted job.

Decides what a submission must hold before the mesh is asked. Refuses to know how a job is made durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from peer.ports import BlobWriter
from peer.web.guard import guard_again, submitter_of
from peer.web.multipart import Form, Part, open_form
from peer.web.names import check_template
from peer.web.openapi import MAIN
from peer.web.problems import Refused, wrong_fields
from peer.web.renderer import with_renderer
from peer.web.replies import as_json
from peer.web.requests import nearest, parse_object, read_object, validated
from peer.web.shapes import accepted_json
from peer.web.shared import take_in
from peer.web.site import Site, site_of
from peer.web.smallfiles import SmallFiles
from peer.web.unpacking import BESIDE_A_ZIP, ONLY_A_ZIP, is_zip, unpacked
from protocol import limits
from protocol.errors import Invalid, NotFound, Unavailable
from protocol.ids import Digest
from protocol.jobs.destination import is_store, parse_destination, serving
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, clean_name, make_manifest
from protocol.jobs.spec import JobSpec
from protocol.views import Submitted

KEY_HEADER: Final = "Idempotency-Key"
TEXT_FIELDS: Final = tuple(name for name in JobSpec.model_fields if name not in ("label", "settings"))
NO_SCENE: Final = "a scene is needed: send it as the file part 'scene' (curl -F scene=@shot.blend)"


class SceneRef(BaseModel):
    """The scene of a JSON submission: a blob that this peer holds or a file of a shared root, and its name (default: the
    file's own, or scene.blend) in the scene's folder. It may be a zip: `main` says which .blend in it is meant."""

    model_config = ConfigDict(extra="forbid")

    blob: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="BLAKE3-256 of the bytes, hex")
    path: str | None = Field(None, max_length=limits.DESTINATION_CHARS_MAX, description="ROOT:file in a shared root of this peer")
    name: str | None = Field(None, max_length=limits.FILE_NAME_BYTES_MAX)
    main: str | None = Field(None, max_length=limits.FILE_NAME_BYTES_MAX, description=MAIN)


class AssetRef(BaseModel):
    """A file beside the scene: a blob that this peer holds or a file of a shared root, and its relative name."""

    model_config = ConfigDict(extra="forbid")

    blob: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="BLAKE3-256 of the bytes, hex")
    path: str | None = Field(None, max_length=limits.DESTINATION_CHARS_MAX, description="ROOT:file in a shared root of this peer")
    name: str = Field(max_length=limits.FILE_NAME_BYTES_MAX)


class JsonSubmission(JobSpec):
    """A job whose files are on this peer already."""

    scene: SceneRef | None = None
    assets: tuple[AssetRef, ...] = Field((), max_length=limits.FILES_PER_MANIFEST_MAX)


@dataclass(slots=True)
class _Received:
    """What has come of a form so far. `scene` is the name of the file part, `zipped` the zip that came in it."""

    fields: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    files: list[ManifestEntry] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    scene: str | None = None
    zipped: BlobWriter | None = None


async def submit_job(request: web.Request) -> web.StreamResponse:
    """202 with the job once it is accepted."""
    key = idempotency_key(request)

    async def finish(spec: JobSpec, manifest: Manifest) -> web.StreamResponse:
        return accepted(await accept(request, spec, manifest, key=key))

    return await received(request, finish)


async def received(
    request: web.Request, finish: Callable[[JobSpec, Manifest], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What `finish` makes of the fields and files of a form or a JSON body; a form counts as an upload until then."""
    match request.content_type:
        case "multipart/form-data":
            with site_of(request).uploads.one():
                return await finish(*await _from_form(request))
        case "application/json":
            return await finish(*await _from_json(request, site_of(request)))
        case _:
            detail = "send multipart/form-data (curl -F) or application/json"
            raise Refused(415, "unsupported_media_type", detail, headers={"Accept": "multipart/form-data, application/json"})


async def accept(
    request: web.Request, spec: JobSpec, manifest: Manifest, *, key: str | None = None, on_this_peer: bool = False
) -> Submitted:
    """Check the specification against the files, then hand the job to the mesh. Raises `Invalid`, `Refused`, `Unavailable`."""
    site = site_of(request)
    spec = with_renderer(site, spec, manifest)
    check_template(spec.output)
    check_destination(site, spec)
    if spec.renderer == "null":
        if spec.frames is None:
            raise wrong_fields([{"field": "frames", "message": "the null renderer needs frames, such as 1-48"}])
    elif not manifest.main:
        raise wrong_fields([{"field": "scene", "message": NO_SCENE}], code="no_scene")
    for entry in manifest.files:
        if not await site.blobs.has(entry.digest):
            raise Unavailable(
                "store_full", f"{entry.name!r} had to leave the cache again: it is too small here", retry_after_s=60.0
            )
    if spec.renderer != "null":
        await check_scene(site, spec.renderer, manifest)
    guard_again(request)  # the files may have taken an hour to come
    return await site.mesh.submit(
        spec, manifest, submitter=submitter_of(request), key=key or secrets.token_hex(16), on_this_peer=on_this_peer,
        named=key is not None,
    )  # fmt: skip


def idempotency_key(request: web.Request) -> str | None:
    """The header's value, None without one. Raises `Refused` 422."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not (0 < len(key) <= limits.IDEMPOTENCY_KEY_CHARS_MAX and key.isprintable()):
        message = f"must be 1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} printable characters"
        raise wrong_fields([{"field": KEY_HEADER, "message": message}])
    return key


def parse_fields(fields: Mapping[str, str], labels: Sequence[str]) -> JobSpec:
    """The specification that form fields say; an empty field is one that was not sent. Raises `Refused` 422, `Invalid`."""
    values: dict[str, Any] = {name: text for name, text in fields.items() if text != ""}
    if "settings" in values:
        try:
            values["settings"] = parse_object(values["settings"])
        except Refused as error:
            message = error.detail.replace("the body", "it")
            raise wrong_fields([{"field": "settings", "message": f"must be a JSON object: {message}"}]) from None
    if labels:
        values["label"] = tuple(labels)
    return validated(JobSpec, values)


def accepted(submitted: Submitted) -> web.Response:
    """202 with the job; a header says that it was there already."""
    headers = {"Location": f"/api/v1/jobs/{submitted.job.id}"}
    if not submitted.created:
        headers["Idempotency-Replayed"] = "true"
    return as_json(accepted_json(submitted), status=202, headers=headers)


async def _from_form(request: web.Request) -> tuple[JobSpec, Manifest]:
    form, received = open_form(request), _Received()
    small = SmallFiles(site_of(request).blobs, received.files)
    try:
        async with aclosing(form.parts()) as parts:
            async for part in parts:
                await _take(form, part, received, small)
        await small.settle()
        main = received.fields.pop("main", None) or None
        spec = parse_fields(received.fields, received.labels)
        return spec, await _manifest_of(site_of(request), received, main)
    finally:
        if received.zipped is not None:
            await received.zipped.abort(keep=False)


async def _manifest_of(site: Site, received: _Received, main: str | None) -> Manifest:
    if received.zipped is not None:
        if received.files:
            raise wrong_fields([{"field": "asset", "message": BESIDE_A_ZIP}])
        return await unpacked(site, received.zipped.path, main=main)
    if main is not None:
        raise wrong_fields([{"field": "main", "message": ONLY_A_ZIP}])
    if received.scene is None:
        if received.files:
            raise wrong_fields([{"field": "scene", "message": "there are assets, but no scene to go with them"}], code="no_scene")
        return EMPTY
    return make_manifest(received.scene, received.files)


async def _take(form: Form, part: Part, received: _Received, small: SmallFiles) -> None:
    match part.name:
        case "scene" | "asset":
            await _take_file(form, part, received, small)
        case "label":
            received.labels.append(await form.text(part))
            if len(received.labels) > limits.LABELS_PER_JOB_MAX:
                raise wrong_fields([{"field": "label", "message": f"at most {limits.LABELS_PER_JOB_MAX}"}])
        case name if name in TEXT_FIELDS or name in ("settings", "main"):
            if name in received.fields:
                raise wrong_fields([{"field": name, "message": "sent twice"}])
            received.fields[name] = await form.text(part)
        case name:
            known = (*TEXT_FIELDS, "label", "settings", "scene", "main", "asset")
            message = f"unknown field{nearest(name, known)}"
            raise wrong_fields([{"field": name[:80], "message": message}], code="unknown_field")


async def _take_file(form: Form, part: Part, received: _Received, small: SmallFiles) -> None:
    if not part.filename:
        raise wrong_fields([{"field": part.name, "message": f"must be a file: curl -F {part.name}=@FILE"}])
    if len(received.files) + len(small) >= limits.FILES_PER_MANIFEST_MAX:
        raise wrong_fields([{"field": part.name, "message": f"at most {limits.FILES_PER_MANIFEST_MAX:,} files"}])
    if part.name == "scene":
        if received.scene is not None:
            raise wrong_fields([{"field": "scene", "message": "sent twice; what it uses goes into 'asset' parts"}])
        name = received.scene = clean_name(PurePosixPath(part.filename.replace("\\", "/")).name)
    else:
        name = clean_name(part.filename)
    if name in received.names:
        raise Invalid("bad_manifest", f"the file name {name!r} was sent twice; names below the scene's folder must differ")
    received.names.add(name)
    match await (form.file_or_zip(part) if part.name == "scene" else form.file(part)):
        case bytes(data):
            await small.add(name, data)
        case (digest, size):
            received.files.append(ManifestEntry(name, digest, size))
        case zipped:
            received.zipped = zipped


async def _from_json(request: web.Request, site: Site) -> tuple[JobSpec, Manifest]:
    body = validated(JsonSubmission, await read_object(request))
    spec = JobSpec(**body.model_dump(exclude={"scene", "assets"}, exclude_unset=True))
    if body.scene is None:
        if body.assets:
            raise wrong_fields([{"field": "scene", "message": "there are assets, but no scene to go with them"}], code="no_scene")
        return spec, EMPTY
    main = await _entry(site, body.scene, "scene")
    path = await site.blobs.path(main.digest)
    if path is not None and await is_zip(path):
        if body.assets:
            raise wrong_fields([{"field": "assets", "message": BESIDE_A_ZIP}])
        return spec, await unpacked(site, path, main=body.scene.main)
    if body.scene.main is not None:
        raise wrong_fields([{"field": "scene.main", "message": ONLY_A_ZIP}])
    assets = [await _entry(site, asset, f"assets.{index}") for index, asset in enumerate(body.assets)]
    return spec, make_manifest(main.name, [main, *assets])


async def _entry(site: Site, ref: SceneRef | AssetRef, where: str) -> ManifestEntry:
    if (ref.blob is None) == (ref.path is None):
        raise wrong_fields([{"field": where, "message": "needs either 'blob' or 'path'"}])
    if ref.path is not None:
        digest, size = await take_in(site, ref.path, f"{where}.path")
        own = PurePosixPath(ref.path.partition(":")[2].replace("\\", "/")).name
        return ManifestEntry(clean_name(ref.name or own), digest, size)
    digest = Digest(ref.blob or "")
    held = await site.blobs.size(digest)
    if held is None:
        message = f"this peer holds no blob {digest[:16]}...; send the file itself as multipart/form-data"
        raise wrong_fields([{"field": f"{where}.blob", "message": message}], code="no_such_blob")
    return ManifestEntry(clean_name(ref.name or "scene.blend"), digest, held)


def check_destination(site: Site, spec: JobSpec) -> None:
    """Raises `Refused` 422 for an output root that no live peer has, naming those that there are."""
    if spec.destination is None:
        return
    wanted = parse_destination(spec.destination)
    live = [peer for peer in site.mesh.peers() if peer.state in ("alive", "suspect")]
    known = sorted({root for peer in live for root in peer.roots})
    if serving(known, wanted.root, wanted.folder) is None:
        missing = f"that holds {spec.destination}" if is_store(wanted.root) else repr(wanted.root)
        message = f"no peer has an output root {missing}; there are: {', '.join(known) or 'none (see peerd --output-root)'}"
        raise wrong_fields([{"field": "destination", "message": message}], code="no_such_root")


async def check_scene(site: Site, renderer: str, manifest: Manifest) -> tuple[int, int] | None:
    """The version that saved the main file, where it says. Raises `Invalid` when that is no scene, `NotFound` when it is not here
    any more."""
    digest = next(entry.digest for entry in manifest.files if entry.name == manifest.main)
    path = await site.blobs.path(digest)
    if path is None:
        raise NotFound("no_such_blob", "the scene has left this peer's cache; send it again")
    return await asyncio.to_thread(site.options.check_scene, renderer, path)
