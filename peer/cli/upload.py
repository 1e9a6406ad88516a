"""Bringing a job to a peer: a form streamed from disk, or a JSON document, under one idempotency key for all hosts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peer.cli import bounds
from peer.cli.client import Call
from peer.cli.failures import CliError, Exit
from peer.cli.multipart import FilePart, Form
from peer.cli.progress import meter

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

_PATH: Final = "/api/v1/jobs"


def send_json(invocation: Invocation, document: Mapping[str, Any], *, key: str) -> dict[str, Any]:
    """Submit a job without files. Returns the acceptance. Raises `CliError`."""
    data = json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), "Idempotency-Key": key}
    call = Call("POST", _PATH, headers=headers, body=lambda: [data], read_timeout_s=bounds.ACCEPT_TIMEOUT_S, insists=True)
    return invocation.client.request(call).json()


def send_again(invocation: Invocation, path: str, *, key: str) -> dict[str, Any]:
    """Submit what the mesh has already. Returns the acceptance. Raises `CliError`."""
    call = Call(
        "POST",
        path,
        headers={"Content-Length": "0", "Idempotency-Key": key},
        read_timeout_s=bounds.ACCEPT_TIMEOUT_S,
        insists=True,
    )
    return invocation.client.request(call).json()


def send_form(
    invocation: Invocation, fields: Sequence[tuple[str, str]], files: Sequence[FilePart], *, key: str, path: str = _PATH
) -> dict[str, Any]:
    """Submit a job with its files, or send them to another `path`, which is not insisted on. Memory is bounded by one chunk.
    Returns the answer. Raises `CliError`.

    A small request goes first: a host that is down or refuses us is found out before the scene is on its way.
    """
    form = Form(fields, files)
    invocation.client.get(_PATH, limit="1")
    headers = {"Content-Type": form.content_type, "Content-Length": str(form.length), "Idempotency-Key": key}
    headers["Connection"] = "close"  # a peer may answer before the end of the body: nothing can follow on that connection
    with meter(invocation.screen, "sending", octets_=True, quiet=form.file_bytes < bounds.QUIET_UPLOAD_BYTES) as gauge:

        def body() -> Iterable[bytes]:
            return form.chunks(lambda sent: gauge.update(sent, total=form.file_bytes))

        wait_s = bounds.ACCEPT_TIMEOUT_S + form.file_bytes / bounds.ACCEPT_BYTES_PER_S
        call = Call(
            "POST",
            path,
            headers=headers,
            body=body,
            read_timeout_s=wait_s,
            send_timeout_s=bounds.SEND_STALL_S,
            insists=path == _PATH,
        )
        return invocation.client.request(call).json()


def with_assets(scene: Path, assets: Iterable[str]) -> list[FilePart]:
    """The scene and its assets with their relative names. Raises `CliError` for what is missing, outside, or named twice."""
    parts = [FilePart("scene", scene.name, scene)]
    for text in assets:
        parts += _asset(scene.absolute().parent, text)
        if len(parts) > bounds.ASSETS_MAX:
            raise CliError(Exit.USAGE, f"more than {bounds.ASSETS_MAX} assets", remedy="send only what the scene uses")
    seen: set[str] = set()
    for file in parts:
        if file.name in seen:
            raise CliError(
                Exit.USAGE, f"two files would be sent as {file.name!r}", remedy="give one another name: --asset NAME=PATH"
            )
        seen.add(file.name)
    return parts


def _asset(base: Path, text: str) -> list[FilePart]:
    name, equals, place = text.partition("=")
    if equals and not Path(text).exists():  # a path may hold '=' itself
        return _files(Path(place), name.replace("\\", "/").strip("/"))
    path = Path(text)
    if not path.exists() and (base / text).exists():
        path = base / text
    try:
        relative = path.absolute().relative_to(base)
    except ValueError:
        relative = None
    if relative is None or ".." in relative.parts:
        raise CliError(
            Exit.USAGE,
            f"the asset {text!r} does not stand below the scene's folder {base}",
            remedy=f"say under which relative name the scene finds it: --asset textures/{path.name}={text}",
        )
    return _files(path, relative.as_posix())


def _files(path: Path, name: str) -> list[FilePart]:
    if path.is_file():
        return [FilePart("asset", name, path)]
    if not path.is_dir():
        raise CliError(Exit.USAGE, f"the asset {str(path)!r} is not there", remedy="check the path")
    below = sorted(file for file in path.rglob("*") if file.is_file())
    prefix = "" if name in ("", ".") else f"{name}/"
    return [FilePart("asset", prefix + file.relative_to(path).as_posix(), file) for file in below]
