"""Scenes laid out as the artist had them: folders of read-only links into the blobs, shared by everyone who renders them.

Decides how a tree comes and goes (built aside, then renamed; renamed aside, then removed). Refuses to know which trees are
still needed. All methods but the look-ups block.

The links are read-only files in read-only folders, because a renderer may write beside its scene (caches, backups) and a
write through a hard link would change the blob itself. Root ignores modes: a peer that runs as root trusts its renderer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from peer.store.disk import FOLDER_MODE, TREE_FOLDER_MODE, disk_faults, link_into_tree, remove
from protocol.errors import Invalid
from protocol.ids import Digest
from protocol.jobs.manifest import Manifest, clean_name

_BAD_NAME = frozenset((errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ))


class Trees:
    """Invariant: a folder under its final name is complete. Trees do not outlive the process: they are cheap to lay out
    again, and none of an earlier process can be half removed or changed unnoticed."""

    def __init__(self, folder: Path, *, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        self._blobs: dict[Digest, frozenset[Digest]] = {}
        self._serial = 0

    def find(self, tree: Digest) -> Path | None:
        """The folder of a manifest's digest, None when it is not laid out."""
        return self._folder / tree if tree in self._blobs else None

    def holding(self, blob: Digest) -> list[Digest]:
        """The trees that link a blob."""
        return [tree for tree, blobs in list(self._blobs.items()) if blob in blobs]

    def all(self) -> Iterator[tuple[Digest, frozenset[Digest]]]:
        """Every tree with the blobs that it links."""
        return iter(list(self._blobs.items()))

    def build(self, manifest: Manifest, blob_path: Callable[[Digest], Path]) -> Path:
        """Lay a manifest out. Raises `Invalid` for a name that leaves the folder or cannot exist, `StoreFull`."""
        tree = manifest.digest()
        names = [(_confined(entry.name), entry.digest) for entry in manifest.files]
        self._serial += 1
        building = self._scratch / f"tree-{tree}-{self._serial}"
        try:
            with disk_faults("lay out a scene"):
                _fill(building, names, blob_path)
                building.rename(self._folder / tree)
                (self._folder / tree).chmod(TREE_FOLDER_MODE)  # last: a read-only folder cannot be moved
        except OSError as fault:
            remove(building)
            if fault.errno in _BAD_NAME:
                raise Invalid("bad_manifest", f"the scene's files cannot be laid out together: {fault}") from fault
            raise
        except BaseException:
            remove(building)
            raise
        self._blobs[tree] = frozenset(entry.digest for entry in manifest.files)
        return self._folder / tree

    def drop(self, trees: Iterable[Digest]) -> None:
        """Remove trees; the blobs stay."""
        for tree in trees:
            if self._blobs.pop(tree, None) is None:
                continue
            self._serial += 1
            leaving = self._scratch / f"tree-{tree}-{self._serial}"
            (self._folder / tree).chmod(FOLDER_MODE)
            (self._folder / tree).rename(leaving)
            remove(leaving)


def _confined(name: str) -> str:
    """Checked again here: this is where a name becomes a path."""
    clean = clean_name(name)
    if clean != name:
        raise Invalid("bad_file_name", f"the file name {name[:80]!r} is not in its plain form")
    return clean


def _fill(building: Path, names: Iterable[tuple[str, Digest]], blob_path: Callable[[Digest], Path]) -> None:
    building.mkdir(mode=FOLDER_MODE)
    folders: set[Path] = set()
    for name, digest in names:
        target = building / name
        if target.parent not in folders and target.parent != building:
            target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            folders.update(parent for parent in target.parents if parent.is_relative_to(building) and parent != building)
        link_into_tree(blob_path(digest), target)
    for folder in folders:
        folder.chmod(TREE_FOLDER_MODE)
