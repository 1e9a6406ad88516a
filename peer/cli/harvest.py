"""Fetching the frames of a job: those that are done now, again as more finish, and an honest account at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peer.cli import bounds
from peer.cli.failures import Exit, Unreachable
from peer.cli.fetching import Fetcher, Tally
from peer.cli.jobref import job_path
from peer.cli.jobview import frames_of
from peer.cli.progress import Meter, meter
from peer.cli.ranges import compact
from peer.cli.tables import count, octets

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation


class Harvest:
    """A folder that fills while a job runs. Invariant: a listing costs at most a fifth of the time, however long the job is."""

    def __init__(self, invocation: Invocation, job: dict[str, Any], folder: Path) -> None:
        self._invocation, self._job, self._folder = invocation, job, folder
        self._fetcher = Fetcher(invocation.client, job, folder)
        self._counted, self._next_at = 0, 0.0

    def gather(self, job: dict[str, Any]) -> None:
        """Fetch what has finished since the last time. Peers that are gone for the moment cost nothing but time."""
        done = count(frames_of(job), "done")
        now = time.monotonic()
        if done <= self._counted or now < self._next_at:
            return
        self._fetcher.tally.problems.clear()  # those frames are tried again now
        try:
            for _ in self._fetcher.fetch(done_frames(self._invocation, self._job)):
                pass
            self._counted = done
        except Unreachable:
            pass
        spent = time.monotonic() - now
        self._next_at = time.monotonic() + min(60.0, 4 * spent)

    def end(self, code: Exit) -> Exit:
        """Fetch the rest, say what came of it, and give the exit code that follows from the job's own `code`."""
        self._fetcher.tally.problems.clear()
        for _ in self._fetcher.fetch(done_frames(self._invocation, self._job)):
            pass
        report(self._invocation, self._fetcher.tally, self._folder)
        return Exit.ERROR if self._fetcher.tally.problems else code


def done_frames(invocation: Invocation, job: dict[str, Any]) -> Iterable[int]:
    """Numbers of the frames that are done."""
    rows = invocation.client.pages(job_path(job, "frames"), "frames", state="done")
    return [row["frame"] for row in rows if has_picture(row)]


def has_picture(row: dict[str, Any]) -> bool:
    """Whether a frame is done and has a file to fetch (a renderer may be told to write none)."""
    return isinstance(row.get("frame"), int) and row.get("state") == "done" and row.get("digest") is not None


def fetch_with_progress(invocation: Invocation, fetcher: Fetcher, frames: list[int]) -> None:
    """Fetch these frames with a bar. Raises `CliError` when the folder cannot be written, or no peer answers."""
    with meter(invocation.screen, "fetching", quiet=len(frames) < bounds.DOWNLOADS_AT_ONCE) as gauge:
        _advance(gauge, fetcher, frames)


def _advance(gauge: Meter, fetcher: Fetcher, frames: list[int]) -> None:
    gauge.update(0, total=len(frames))
    for index, _ in enumerate(fetcher.fetch(frames), start=1):
        gauge.update(index, total=len(frames))


def report(invocation: Invocation, tally: Tally, folder: Path) -> None:
    """Say what was fetched, what was there already, and what went wrong."""
    say = invocation.screen.say
    kept = f", {tally.kept} were there already" if tally.kept else ""
    say(f"fetched {tally.fetched} files ({octets(tally.bytes)}) to {folder}{kept}")
    for problem in tally.problems[:20]:
        say(f"not fetched: {problem}")
    if len(tally.problems) > 20:
        say(f"and {len(tally.problems) - 20} more")


def missing_frames(rows: Iterable[dict[str, Any]]) -> dict[str, list[int]]:
    """Frames that are not done, by state."""
    found: dict[str, list[int]] = {}
    for row in rows:
        state, frame = row.get("state"), row.get("frame")
        if isinstance(frame, int) and state != "done":
            found.setdefault(str(state), []).append(frame)
    return found


def say_missing(invocation: Invocation, missing: dict[str, list[int]]) -> None:
    """Name the frames that are not there, and why."""
    for state, frames in missing.items():
        invocation.screen.say(f"missing ({state}): {compact(frames)}")
