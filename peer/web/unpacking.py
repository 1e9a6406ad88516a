"""The files of a zipped scene on their way into the store, each a blob of its own, and which of them is the scene.

Decides that nothing is stored of a zip that has a fault anywhere. Refuses to know how it arrived.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from peer.ports import Blobs
from peer.web.problems import wrong_fields
from peer.web.scenezip import MAGIC, Member, SceneZip, choose_main, is_small, open_zip
from peer.web.site import Site
from peer.web.smallfiles import SmallFiles
from protocol.errors import Invalid
from protocol.ids import Digest
from protocol.jobs.manifest import Manifest, ManifestEntry, clean_name, make_manifest

BESIDE_A_ZIP: Final = "a zip holds all files of its scene; put them in there"
ONLY_A_ZIP: Final = "names a scene in a zip, but the scene is not a zip"
_END: Final = object()
_OF_MAIN: Final = ("several_scenes", "no_such_main")


async def unpacked(site: Site, path: Path, *, main: str | None) -> Manifest:
    """The files of the zip at `path`, which are in the store from now on. `main` is the scene's name among them, None: there is
    one scene only. Raises `Refused` 422 for a zip that is not taken (then nothing of it was), `StoreFull`, `StoreBroken`."""
    try:
        return await _unpack(site, path, None if main is None else clean_name(main))
    except Invalid as error:
        named = "main" if error.code in _OF_MAIN else "scene"
        raise wrong_fields([{"field": named, "message": error.message}], code=error.code) from None


async def is_zip(path: Path) -> bool:
    """Whether it begins like a zip."""
    return await asyncio.to_thread(_begins, path)


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC[0])) in MAGIC


async def _unpack(site: Site, path: Path, main: str | None) -> Manifest:
    zipped = await asyncio.to_thread(open_zip, path, bytes_max=site.options.scene_bytes_max)
    try:
        scene = choose_main([member.name for member in zipped.members], main, lambda name: _is_scene(site, name))
        steps = zipped.check()
        while await asyncio.to_thread(next, steps, _END) is not _END:
            pass
        return make_manifest(scene, await _take(zipped, site.blobs))
    finally:
        await asyncio.to_thread(zipped.close)


def _is_scene(site: Site, name: str) -> bool:
    return name.lower().endswith(".blend") or site.options.renderer_of(name) is not None


async def _take(zipped: SceneZip, blobs: Blobs) -> list[ManifestEntry]:
    taken: list[ManifestEntry] = []
    small = SmallFiles(blobs, taken)
    at = 0
    while at < len(zipped.members):
        member = zipped.members[at]
        if is_small(member):
            found = await asyncio.to_thread(zipped.few, at)
            for name, data in found:
                await small.add(name, data)
            at += len(found)
        else:
            taken.append(ManifestEntry(member.name, *await _take_large(zipped, member, blobs)))
            at += 1
    await small.settle()
    return taken


async def _take_large(zipped: SceneZip, member: Member, blobs: Blobs) -> tuple[Digest, int]:
    writer = await blobs.writer(size=member.size)
    pieces = zipped.pieces(member)
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            await writer.write(piece)
        return await writer.finish()
    except BaseException:
        await writer.abort(keep=False)
        raise
