"""Reads what the peers log while they write it, and stamps it with the campaign's clock: their own clocks may jump.

Every line of every start is read to its end, also after a kill.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

from tests.chaos.fleet import Fleet
from tests.chaos.history import History

LOOK_S: Final = 0.2
KEPT: Final = frozenset(
    {
        "attempt_lost",
        "blob_healed",
        "blob_lost",
        "blob_unrecoverable",
        "delivery_conflict",
        "duplicate_result",
        "frame_committed",
        "frame_failed",
        "frames_leased",
        "frames_lost",
        "frames_requeued",
        "frames_returned",
        "job_accepted",
        "job_cancelled",
        "job_completed",
        "job_failed",
        "job_handed_over",
        "job_reopened",
        "job_taken_over",
        "job_yielded",
        "left_unsafe",
        "lease_expired",
        "store_verified",
        "winner_changed",
    }
)


class Watcher:
    """A thread that follows the logs of a fleet. `unexpected` are lines of the level error, and those that are no JSON."""

    def __init__(self, fleet: Fleet, history: History) -> None:
        self._fleet = fleet
        self._history = history
        self._read: dict[Path, int] = {}
        self._rest: dict[Path, bytes] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self) -> None:
        """Read the rest."""
        self._done.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._done.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for peer in (*self._fleet.peers, self._fleet.spare):
            for path in sorted(peer.folder.glob("peerd-*.log")):
                self._follow(peer.name, path)

    def _follow(self, peer: str, path: Path) -> None:
        if path.stat().st_size == self._read.get(path, 0):
            return
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            data = file.read()
        self._read[path] = self._read.get(path, 0) + len(data)
        *lines, self._rest[path] = (self._rest.get(path, b"") + data).split(b"\n")
        for line in lines:
            self._take(peer, line.decode(errors="replace"))

    def _take(self, peer: str, line: str) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            self._history.add("said", peer=peer, text=line[:500])
            return
        if said.get("event") in KEPT:
            fields = {name: value for name, value in said.items() if name not in ("timestamp", "level", "logger")}
            self._history.add("event", at_peer=peer, **{**fields, "name": fields.pop("event")})
        elif said.get("level") in ("error", "critical"):
            self._history.add("complaint", peer=peer, name=str(said.get("event")), text=line[:2_000])
