"""peerctl logs: what happened to a job, or what the renderer said about one frame."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from peer.cli import bounds
from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_path
from peer.cli.options import common, examples, job_argument
from peer.cli.tables import text_of

_FRAME_ENDS = frozenset({"done", "failed", "held"})


@click.command(epilog=examples("peerctl logs castle", "peerctl logs castle -f", "peerctl logs castle --frame 12"))
@job_argument
@click.option("--frame", type=int, help="The renderer's own text about this frame.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job (or the frame) ends.")
@common
def logs(invocation: Invocation, job: str, frame: int | None, follow: bool) -> None:
    """Print the events of JOB, or the log of one of its frames."""
    found = find_job(invocation, job)
    if frame is not None:
        _frame_log(invocation, found, frame, follow=follow)
    elif follow:
        _follow(invocation, found)
    else:
        _kept(invocation, found)


def _kept(invocation: Invocation, job: dict[str, Any]) -> None:
    from peer.cli.eventstream import kept_events

    for _, event in kept_events(invocation.client, job_path(job, "events")):
        _print(invocation, event)


def _follow(invocation: Invocation, job: dict[str, Any]) -> None:
    """Read the kept events again and again: an end of the job is seen after its last event was read."""
    from peer.cli.following import EventTail, Patience, watch_job
    from peer.cli.progress import meter

    tail = EventTail(invocation, job)
    with meter(invocation.screen, "frames", quiet=True) as gauge:
        for _ in watch_job(invocation, job, gauge, Patience()):
            tail.new(lambda event: _print(invocation, event))
    tail.end(lambda event: _print(invocation, event))


def _print(invocation: Invocation, event: dict[str, Any]) -> None:
    from peer.cli.eventstream import event_line

    invocation.screen.data(json.dumps(event) if invocation.format == "json" else event_line(event))


def _frame_log(invocation: Invocation, job: dict[str, Any], frame: int, *, follow: bool) -> None:
    shown = 0
    while True:
        ended = not follow or _frame_ended(invocation, job, frame)
        text = _log_text(invocation, job, frame, optional=not ended)
        if len(text) > shown:
            invocation.screen.data("\n".join(_safe(line) for line in text[shown:].rstrip("\n").split("\n")))
            shown = len(text)
        if ended:
            return
        time.sleep(bounds.POLL_MAX_S)


def _log_text(invocation: Invocation, job: dict[str, Any], frame: int, *, optional: bool) -> str:
    from peer.cli.client import Call
    from peer.cli.failures import CliError, Exit

    try:
        return invocation.client.request(Call("GET", job_path(job, "frames", frame, "log"))).body.decode("utf-8", "replace")
    except CliError as error:
        if optional and error.exit_code is Exit.NOT_FOUND:
            return ""
        raise


def _frame_ended(invocation: Invocation, job: dict[str, Any], frame: int) -> bool:
    rows = invocation.client.pages(job_path(job, "frames"), "frames")
    return next((text_of(row, "state") in _FRAME_ENDS for row in rows if row.get("frame") == frame), True)


def _safe(line: str) -> str:
    """A renderer's line may hold tabs, but no escape sequences."""
    from peer.cli.screen import plain

    return "\t".join(plain(piece) for piece in line.split("\t"))
