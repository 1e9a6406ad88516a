"""Downloading frames: only what is missing, whole or not at all, checked by digest, never outside the folder.

Decides where a file goes and when it is right. The names come from a peer and are treated as hostile.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from blake3 import blake3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from peer.cli import bounds
from peer.cli.bodies import paced
from peer.cli.client import Call, MeshClient
from peer.cli.failures import CliError, Exit
from peer.cli.jobref import job_path

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_PARTIAL: Final = ".peerctl-part"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output of one frame: its name as the peer gave it, its digest (64 hex) and its size in bytes."""

    frame: int
    name: str
    digest: str
    size: int


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
        self._open: list[BaseHTTPResponse] = []
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
            self._stop()
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
        found = [_wanted(frame, row) for row in listed] if isinstance(listed, list) else []
        if not found:
            raise CliError(Exit.ERROR, f"{self._client.url} says that it is done, and names no file of it")
        return found

    def _output(self, output: Wanted) -> None:
        target = self._claim(output)
        if target.is_file() and file_digest(target) == output.digest:
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
        partial = target.with_name(f".{target.name[:100]}.{output.digest[:16]}{_PARTIAL}")
        for attempt in range(1, bounds.DOWNLOAD_ATTEMPTS + 1):
            try:
                self._continue(output, partial)
            except HTTPError as error:
                if attempt == bounds.DOWNLOAD_ATTEMPTS:
                    raise CliError(
                        Exit.UNREACHABLE, f"{output.name!r} broke off {attempt} times ({type(error).__name__})"
                    ) from None
                continue
            if file_digest(partial) == output.digest:
                partial.replace(target)
                return
            partial.unlink()
        raise CliError(Exit.ERROR, f"{output.name!r} does not have the digest that the mesh recorded; nothing was kept")

    def _continue(self, output: Wanted, partial: Path) -> None:
        """Add to what an earlier try left; start anew where the peer does not serve the rest of the same file."""
        have = partial.stat().st_size if partial.exists() else 0
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
        with self._client.stream(call) as response, self._cut_at_stop(response):
            goes_on = response.status == 206 and bool(headers)
            with partial.open("ab" if goes_on else "wb") as file:
                for piece in paced(response):
                    self._check_not_stopped()
                    file.write(piece)
                    if file.tell() > output.size:
                        break  # whatever it is, it is not this file: the digest will say so

    @contextmanager
    def _cut_at_stop(self, response: BaseHTTPResponse) -> Iterator[None]:
        """A stop does not wait for a peer that is silent."""
        with self._lock:
            self._open.append(response)
        self._check_not_stopped()
        try:
            yield
        except HTTPError:
            self._check_not_stopped()
            raise
        finally:
            with self._lock:
                self._open.remove(response)

    def _check_not_stopped(self) -> None:
        if self._stopped.is_set():
            raise CliError(Exit.INTERRUPTED, "stopped; the part that is there is taken up next time")

    def _stop(self) -> None:
        self._stopped.set()
        with self._lock:
            for response in self._open:
                with suppress(OSError, ValueError, RuntimeError):  # it may just have ended
                    response.shutdown()


class _FolderUnusable(CliError):
    """Nothing more can be written there: no use in going on."""


def _wanted(frame: int, row: Any) -> Wanted:
    """Raises `CliError` for a file that could not be checked when it is here."""
    name, digest, size = (row.get(key) for key in ("name", "digest", "size")) if isinstance(row, dict) else (None, None, None)
    if not (isinstance(name, str) and isinstance(digest, str) and _DIGEST.match(digest) and type(size) is int and size >= 0):
        raise CliError(Exit.ERROR, "the peer does not say what its outputs are (name, digest and size); not fetched")
    return Wanted(frame, name, digest, size)


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
