"""Staying with a job until it ends, whatever happens to the peer that was asked first.

Decides when a wait is over and with which exit code. A peer that dies is replaced by the next host, then by any other
peer of the mesh that was seen alive while waiting. Refuses to know how frames are written to disk.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from peer.cli import bounds
from peer.cli.eventstream import kept_events
from peer.cli.failures import CliError, Exit, Unreachable
from peer.cli.jobref import job_path
from peer.cli.jobview import FINAL, ended, frames_of, why_text
from peer.cli.progress import Meter
from peer.cli.settings import parse_url
from peer.cli.tables import count, text_of

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

Job = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds: `silent_s` without any peer answering; `total_s` None waits for ever."""

    silent_s: float = bounds.PATIENCE_S
    total_s: float | None = None


def watch_job(
    invocation: Invocation, job: Job, meter: Meter, patience: Patience, *, until: frozenset[str] = frozenset()
) -> Iterator[Job]:
    """Yield the job each time it was read, until it ends, is held, or has one of the states `until`.

    Raises `CliError`: timed out, unreachable for too long, gone.
    """
    follower = _Follower(invocation, job, meter, patience)
    while True:
        current = follower.read()
        if current is not None:
            meter.update(
                _done(current), total=count(frames_of(current), "total") or None, note=_note(current), eta_s=_eta(current)
            )
            yield current
            if ended(current) is not None or text_of(current, "state") in until:
                return
        follower.rest()


class _Follower:
    """Reads one job again and again. Invariant: `read` never raises for peers that are merely gone, until patience ends."""

    def __init__(self, invocation: Invocation, job: Job, meter: Meter, patience: Patience) -> None:
        self._client, self._job, self._meter, self._patience = invocation.client, job, meter, patience
        self._started = self._heard = time.monotonic()
        self._asked_peers = -bounds.PEERS_ASKED_S
        self._pause_s = bounds.POLL_FIRST_S
        self._lost = False

    def read(self) -> Job | None:
        """The job now, or None when no peer answered this time."""
        try:
            current = self._client.get(job_path(self._job))
            self._learn_peers()
        except Unreachable as error:
            self._missed(error)
            return None
        self._heard = time.monotonic()
        if self._lost:
            self._meter.note(f"{self._client.url} answers; the job goes on")
            self._lost = False
        return current

    def rest(self) -> None:
        """Wait before the next look: soon at first, then less often."""
        if self._patience.total_s is not None and time.monotonic() - self._started > self._patience.total_s:
            raise CliError(
                Exit.TIMED_OUT,
                f"the job has not ended after {self._patience.total_s:g} s; it goes on",
                remedy=how_to_follow(self._job),
            )
        time.sleep(self._pause_s)
        self._pause_s = min(bounds.POLL_MAX_S, self._pause_s * 1.5)

    def _missed(self, error: Unreachable) -> None:
        silent = time.monotonic() - self._heard
        if silent > self._patience.silent_s:
            raise Unreachable(
                Exit.UNREACHABLE,
                f"no peer has answered for {silent:.0f} s; an accepted job goes on without us",
                why=error.why,
                remedy=how_to_follow(self._job),
            ) from None
        if not self._lost:
            self._meter.note(f"no peer answers ({error.why}); trying again for {self._patience.silent_s:g} s")
            self._lost = True

    def _learn_peers(self) -> None:
        now = time.monotonic()
        if now - self._asked_peers < bounds.PEERS_ASKED_S:
            return
        self._asked_peers = now
        self._client.learn(peer_urls(self._client.get("/api/v1/peers"), like=self._client.url))


def peer_urls(answer: Job, *, like: str) -> list[str]:
    """User ports of the peers that are alive and speak the scheme of `like`: a key that went by TLS never goes without."""
    peers = answer.get("peers")
    rows = [peer for peer in peers if isinstance(peer, dict)] if isinstance(peers, list) else []
    addresses = [peer.get("address") for peer in rows if peer.get("state") == "alive"]
    said = [address for address in addresses if isinstance(address, str) and "://" in address]
    return [url for address in said if (url := _url(address)) is not None and urlsplit(url).scheme == urlsplit(like).scheme]


def _url(address: str) -> str | None:
    try:
        return parse_url(address)
    except CliError:
        return None


def how_to_follow(job: Job) -> str:
    """The lines that take up a job again."""
    name = job.get("id")
    return f"follow it: peerctl job {name} --watch; fetch it: peerctl fetch {name}; stop it: peerctl cancel {name}"


def _done(job: Job) -> int:
    frames = frames_of(job)
    return count(frames, "done") + count(frames, "failed")


def _eta(job: Job) -> float | None:
    eta = job.get("eta_s")
    return float(eta) if isinstance(eta, int | float) and text_of(job, "state") not in FINAL else None


def _note(job: Job) -> str:
    why = why_text(job).replace("\n", "; ")
    return f"{job.get('state', '')}{f' ({why})' if why else ''}"


_SeenKey = tuple[str, str, str, str]


class EventTail:
    """The events of one job, each once, also when another peer takes over the telling (its ids are its own)."""

    def __init__(self, invocation: Invocation, job: Job) -> None:
        self._client, self._job = invocation.client, job
        self._last: tuple[str, str] = ("", "")
        self._lacks = False
        self._seen: OrderedDict[_SeenKey, None] = OrderedDict()

    def new(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Show what has happened since the last call. A peer that is gone shows nothing, or less, this time."""
        self._lacks = True
        with suppress(Unreachable):
            self._show(show)

    def end(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Show what the last call has not. Raises `CliError` when that cannot be had."""
        if self._lacks:
            self._show(show)

    def _show(self, show: Callable[[dict[str, Any]], None]) -> None:
        url, last_id = self._last
        for event_id, event in kept_events(
            self._client, job_path(self._job, "events"), last_id=last_id if url == self._client.url else ""
        ):
            self._last = (self._client.url, event_id)
            if self._first_time(event):
                show(event)
        self._lacks = False

    def _first_time(self, event: dict[str, Any]) -> bool:
        key = (str(event.get("event")), str(event.get("frame")), str(event.get("peer")), str(event.get("time")))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > bounds.EVENTS_REMEMBERED:
            self._seen.popitem(last=False)
        return True
