"""Downloading frames: only what is missing, whole or not at all, checked by digest, never outside the folder.

Decides where a file goes and when it is right. The names come from a peer and are treated as hostile.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from blake3 import blake3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from peer.cli import bounds
from peer.cli.client import Call, MeshClient
from peer.cli.failures import CliError, Exit
from peer.cli.jobref import job_path

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_PARTIAL: Final = ".peerctl-part"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output of one frame: its name as the peer gave it, its digest (64 hex) or None when the peer knows none."""

    frame: int
    name: str
    digest: str | None


@dataclass(slots=True)
class Tally:
    """What came of it: `files` are the paths written or found right; `problems` are texts for people."""

    fetched: int = 0
    kept: int = 0
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Fetcher:
    """Downloads of one job into one folder. Invariants: no two outputs share a file; a file is whole and checked or absent."""

    def __init__(self, client: MeshClient, job: dict[str, Any], folder: Path) -> None:
        self._client, self._job, self._folder = client, job, folder
        self._lock = threading.Lock()
        self._claims: dict[str, Wanted] = {}
        self._stopped = threading.Event()
        self.tally = Tally()
        self.done: set[int] = set()

    def fetch(self, frames: Iterable[int]) -> Iterator[int]:
        """Download the outputs of these frames, a few at once; yields each frame as it ends, well or badly (see `tally`)."""
        waiting = iter(frame for frame in frames if frame not in self.done)
        pool = ThreadPoolExecutor(bounds.DOWNLOADS_AT_ONCE, thread_name_prefix="fetch")
        try:
            running = {pool.submit(self._frame, frame): frame for frame in islice(waiting, bounds.DOWNLOADS_AT_ONCE)}
            while running:
                yield from self._ended(running)
                for frame in islice(waiting, bounds.DOWNLOADS_AT_ONCE - len(running)):
                    running[pool.submit(self._frame, frame)] = frame
        finally:
            self._stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._stopped.clear()

    def _ended(self, running: dict[Future[None], int]) -> Iterator[int]:
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            frame = running.pop(future)
            try:
                future.result()
                self.done.add(frame)
            except _FolderUnusable:
                raise
            except CliError as error:
                self.tally.problems.append(f"frame {frame}: {error}")
            yield frame

    def _frame(self, frame: int) -> None:
        for output in self._outputs(frame):
            self._output(output)

    def _outputs(self, frame: int) -> list[Wanted]:
        listed = self._client.get(job_path(self._job, "frames", frame, "outputs")).get("outputs")
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
        return [Wanted(frame, _name(row), _digest(row)) for row in rows]

    def _output(self, output: Wanted) -> None:
        target = self._claim(output)
        if output.digest is not None and target.is_file() and file_digest(target) == output.digest:
            self._count(target, fetched=False)
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(output, target)
        except OSError as error:
            raise _FolderUnusable(
                Exit.ERROR,
                f"cannot write {target}",
                why=error.strerror or str(error),
                remedy="free space there, or name another folder: -d DIR",
            ) from None
        self._count(target, fetched=True)

    def _claim(self, output: Wanted) -> Path:
        target = confined(self._folder, output.name)
        key = str(target).casefold()  # two names that one file system takes for the same
        with self._lock:
            owner = self._claims.setdefault(key, output)
        if owner != output:
            raise CliError(Exit.ERROR, f"its output {output.name!r} has the name of one of frame {owner.frame}; not written")
        return target

    def _count(self, target: Path, *, fetched: bool) -> None:
        with self._lock:
            self.tally.files.append(str(target))
            if fetched:
                self.tally.fetched += 1
                self.tally.bytes += target.stat().st_size
            else:
                self.tally.kept += 1

    def _download(self, output: Wanted, target: Path) -> None:
        tag = output.digest[:16] if output.digest else f"frame{output.frame}"
        partial = target.with_name(f".{target.name[:100]}.{tag}{_PARTIAL}")
        for attempt in range(1, bounds.DOWNLOAD_ATTEMPTS + 1):
            try:
                self._continue(output, partial)
            except HTTPError as error:
                if attempt == bounds.DOWNLOAD_ATTEMPTS:
                    raise CliError(
                        Exit.UNREACHABLE, f"{output.name!r} broke off {attempt} times ({type(error).__name__})"
                    ) from None
                continue
            if output.digest is None or file_digest(partial) == output.digest:
                partial.replace(target)
                return
            partial.unlink()
        raise CliError(Exit.ERROR, f"{output.name!r} does not have the digest that the mesh recorded; nothing was kept")

    def _continue(self, output: Wanted, partial: Path) -> None:
        """Add to what an earlier try left; start anew where the peer does not serve the rest of the same file."""
        have = partial.stat().st_size if partial.exists() and output.digest else 0
        headers = {"Range": f"bytes={have}-", "If-Range": f'"{output.digest}"'} if have else {}
        try:
            self._write(output, partial, headers)
        except CliError as error:
            if not have or error.exit_code is not Exit.CONFLICT:
                raise
            partial.unlink(missing_ok=True)  # an unsatisfiable range: the part is longer than the file
            self._write(output, partial, {})

    def _write(self, output: Wanted, partial: Path, headers: Mapping[str, str]) -> None:
        call = Call("GET", job_path(self._job, "frames", output.frame, "outputs", output.name), headers=headers)
        with self._client.stream(call) as response, partial.open("ab" if response.status == 206 else "wb") as file:
            for chunk in _chunks(response):
                if self._stopped.is_set():
                    raise CliError(Exit.INTERRUPTED, "stopped; the part that is there is taken up next time")
                file.write(chunk)


class _FolderUnusable(CliError):
    """Nothing more can be written there: no use in going on."""


def _chunks(response: BaseHTTPResponse) -> Iterator[bytes]:
    while chunk := response.read(bounds.CHUNK_BYTES):
        yield chunk


def _name(row: Mapping[str, Any]) -> str:
    name = row.get("name")
    return name if isinstance(name, str) else ""


def _digest(row: Mapping[str, Any]) -> str | None:
    digest = row.get("digest")
    return digest if isinstance(digest, str) and _DIGEST.match(digest) else None


def file_digest(path: Path) -> str:
    """BLAKE3-256 of a file, in hex."""
    hasher = blake3()
    with path.open("rb") as file:
        while chunk := file.read(bounds.CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def confined(folder: Path, name: str) -> Path:
    """The path of `name` inside `folder`. Raises `CliError` for any name that leads out, also through a symbolic link."""
    parts = PurePosixPath(name).parts
    wrong = (
        not parts
        or name.startswith("/")
        or "\\" in name
        or ":" in name
        or any(piece in ("..", ".") or piece != piece.strip() or piece.startswith("~") for piece in parts)
        or any(not char.isprintable() for char in name)
        or len(name.encode("utf-8", "surrogatepass")) > bounds.OUTPUT_NAME_BYTES_MAX
    )
    target = folder.joinpath(*parts)
    if wrong or not target.parent.resolve().is_relative_to(folder.resolve()) or target.is_symlink():
        raise CliError(Exit.ERROR, f"the peer named an output {name[:80]!r}, which leads out of {folder}; not written")
    return target


def safe_folder_name(name: str) -> str:
    """A folder name for a job's name: never empty, hidden, or with a separator."""
    cleaned = "".join(char if char.isalnum() or char in "._- " else "_" for char in name).strip(" .")[:100]
    return cleaned or "frames"
