"""Output roots from the settings' texts, none looked at yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from peer.outputs.folder import FolderRoot
from peer.outputs.places import folder_of
from peer.outputs.root import Judge, OutputRoot
from peer.outputs.store import StoreRoot, connect
from peer.ports import Blobs, Verifier
from protocol.jobs.destination import address, is_store


def open_roots(places: Mapping[str, str], blobs: Blobs, verifier: Verifier, work_dir: Path) -> dict[str, OutputRoot]:
    """Roots by name, those in a store by their address too.

    `places` were checked. Raises `Invalid` for a store whose settings in the environment make no sense."""
    judge = Judge(verifier)

    def opened(name: str, place: str) -> OutputRoot:
        folder = folder_of(place)
        if folder is not None:
            return FolderRoot(name, folder, blobs, judge)
        return StoreRoot(name, connect(place), blobs, judge, scratch=work_dir / "deliveries")

    roots = {name: opened(name, place) for name, place in places.items()}
    return roots | {address(place): roots[name] for name, place in places.items() if is_store(place)}
