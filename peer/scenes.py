"""What the main file of a job is: which renderer it is for, and whether it is a scene of that one at all.

Decides by the plug-ins of this peer, and what the peers of the mesh advertise. Refuses to open a scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from peer.render.plugins import Installed
from protocol.cards import PeerCard


class Scenes:
    """Invariant: a renderer that only other peers know is taken at its word: they look at the scene."""

    def __init__(self, installed: Installed, cards: Callable[[], Iterable[PeerCard | None]]) -> None:
        """`cards` are those of the live peers."""
        self._installed = installed
        self._cards = cards

    def renderer_of(self, name: str) -> str | None:
        """The renderer of a main file, by its name; None when no plug-in has that suffix."""
        return self._installed.renderer_of(name)

    def renderers(self) -> tuple[str, ...]:
        """The names that a job may have: installed here, or found by some peer."""
        seen = (one.renderer for card in self._cards() if card is not None for one in card.capabilities)
        return tuple(dict.fromkeys((*self._installed.renderers, *seen)))

    def check(self, renderer: str, path: Path) -> tuple[int, int] | None:
        """The version that saved the scene, where that is known. Reads the file; raises `Invalid`."""
        cards = [card for card in self._cards() if card is not None]
        versions = [one.version for card in cards for one in card.capabilities if one.renderer == renderer]
        return self._installed.check_scene(renderer, path, versions)

    def check_default(self, path: Path) -> object:
        """The same for a file of this machine that no job names a renderer for."""
        return self.check(self.renderer_of(path.name) or "blender", path)
