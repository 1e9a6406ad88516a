"""Several Blenders on one peer, as one renderer: each scene is opened by the version that its job is rendered with.

Decides which: the one that the settings name, else the nearest at or above the version that saved the file. Refuses to know
how a Blender is found and started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from peer.ports import Renderer, RenderFailed, Session
from peer.render.blendfile import known_versions, read_header
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import RenderSettings

Version = tuple[int, int]


class Shelf:
    """A `Renderer` (see `peer.ports`) over several of one name. Invariant: no two are of the same major.minor."""

    def __init__(self, started: Sequence[tuple[Renderer, Capabilities]]) -> None:
        """`started` are probed; at least one. Of two with the same version the first is taken."""
        self.name = started[0][0].name
        self._by_version: dict[Version, Renderer] = {}
        for renderer, able in started:
            self._by_version.setdefault(version_of(able), renderer)

    async def probe(self) -> Capabilities:
        """See `Renderer.probe`: of the newest."""
        return await self._by_version[max(self._by_version)].probe()

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        """See `Renderer.inspect`. A version that is not there is an `Inspection` with `error`."""
        try:
            chosen = await self._choose(tree / main, settings)
        except RenderFailed as error:
            return Inspection(error=error.failure)
        return await chosen.inspect(tree, main, settings)

    async def open(self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None) -> Session:
        """See `Renderer.open`. Raises `RenderFailed` also when that version is not there."""
        chosen = await self._choose(tree / main, settings)
        return await chosen.open(tree, main, settings, frame_timeout_s=frame_timeout_s)

    async def close(self) -> None:
        """See `Renderer.close`."""
        for renderer in self._by_version.values():
            await renderer.close()

    async def _choose(self, scene: Path, settings: RenderSettings) -> Renderer:
        if settings.blender is None:
            return self._by_version[nearest(list(self._by_version), await asyncio.to_thread(_saved_by, scene))]
        [wanted] = known_versions([settings.blender])
        if wanted not in self._by_version:
            there = ", ".join(f"{major}.{minor}" for major, minor in sorted(self._by_version))
            raise RenderFailed(Failure("infrastructure", f"this peer has no Blender {settings.blender}; it has {there}"))
        return self._by_version[wanted]


def version_of(able: Capabilities) -> Version:
    """Major and minor; (0, 0) for what is no version."""
    return next(iter(known_versions([able.version])), (0, 0))


def nearest(versions: Sequence[Version], saved_by: Version | None) -> Version:
    """The least version that opens the file as it was meant; the newest when none is new enough, or nothing is known."""
    return min((one for one in versions if saved_by is not None and one >= saved_by), default=max(versions))


def _saved_by(scene: Path) -> Version | None:
    try:
        return read_header(scene).version
    except (Invalid, OSError):
        return None
