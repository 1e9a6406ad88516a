"""Scenes that lie in a shared root: read into this peer's store without an upload.

Decides what `ROOT:relative` may name: a plain file that stays below the root, also once links are followed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from peer.ports import Blobs
from peer.web.problems import wrong_fields
from peer.web.site import Site
from protocol import limits
from protocol.errors import Invalid
from protocol.ids import Digest
from protocol.jobs.destination import parse_destination


async def take_in(site: Site, text: str, where: str) -> tuple[Digest, int]:
    """The digest and size of the file that `text` names, whose bytes are in the store from now on.

    Raises `Refused` 422 for a name that leads nowhere, `StoreFull`."""
    try:
        path = await asyncio.to_thread(_find, site, text)
        return await _copy(site.blobs, path)
    except Invalid as error:
        raise wrong_fields([{"field": where, "message": error.message}], code=error.code) from None
    except OSError as error:
        message = f"{text[:200]!r} cannot be read: {error.strerror or error}"
        raise wrong_fields([{"field": where, "message": message}], code="bad_path") from None


def _find(site: Site, text: str) -> Path:
    try:
        named = parse_destination(text)
    except Invalid:
        raise Invalid("bad_path", f"{text[:200]!r} is not ROOT:path; write for example shots:010/shot.blend") from None
    root = site.options.shared_roots.get(named.root)
    if root is None:
        known = ", ".join(sorted(site.options.shared_roots)) or "none"
        raise Invalid("no_such_root", f"this peer has no shared root {named.root!r}; it has: {known}")
    base = root.resolve(strict=True)
    path = (base / named.folder).resolve(strict=True)
    if not path.is_relative_to(base):
        raise Invalid("bad_path", f"{text[:200]!r} leads out of the shared root")
    if not path.is_file():
        raise Invalid("bad_path", f"{text[:200]!r} is not a file")
    return path


async def _copy(blobs: Blobs, path: Path) -> tuple[Digest, int]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        writer = await blobs.writer()
        try:
            while piece := await asyncio.to_thread(file.read, limits.HASH_PIECE_BYTES):
                await writer.write(piece)
            return await writer.finish()
        except BaseException:
            await writer.abort(keep=False)
            raise
    finally:
        await asyncio.to_thread(file.close)
