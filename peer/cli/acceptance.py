"""What follows once a job is accepted: say so, remember it as @last, and stay with it if asked to.

Decides what `--wait`, `--follow` and `--fetch` mean together. Refuses to know how the job came to the mesh.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peer.cli import bounds
from peer.cli.failures import Busy, CliError, Exit, Unreachable
from peer.cli.invocation import Invocation
from peer.cli.jobref import remember
from peer.cli.jobview import COLUMNS
from peer.cli.tables import count, print_table, short, text_of

if TYPE_CHECKING:
    from peer.cli.harvest import Harvest

_OPTIONS = (
    click.option("--idempotency-key", metavar="KEY", help="Submitting again with it gives the same job; default: a random one."),
    click.option("--wait", is_flag=True, help="Wait until the job ends; the exit code says how."),
    click.option("--follow", is_flag=True, help="Like --wait, and print what happens to each frame."),
    click.option("--fetch", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                 help="Wait, and fetch frames as they finish."),
    click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS",
                 help="Wait no longer than this (exit 8)."),
    click.option("--patience", "silent_s", type=click.FloatRange(min=0), default=bounds.PATIENCE_S, show_default=True,
                 metavar="SECONDS", help="While waiting: how long no peer at all may answer."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class After:
    """What is done once the job is accepted."""

    wait: bool
    follow: bool
    folder: Path | None
    silent_s: float
    timeout_s: float | None

    @property
    def stays(self) -> bool:
        return self.wait or self.follow or self.folder is not None


def staying(function: Any) -> Any:
    """Give a verb the key and the options of `After`, as one argument `after`."""

    @wraps(function)
    def run(
        invocation: Invocation, /, wait: bool, follow: bool, folder: Path | None, silent_s: float, timeout_s: float | None,
        **rest: Any,
    ) -> None:  # fmt: skip
        function(invocation, after=After(wait, follow, folder, silent_s, timeout_s), **rest)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def accept(invocation: Invocation, send: Callable[[str], dict[str, Any]], key: str | None, after: After) -> None:
    """Bring a job to the mesh under one key for all tries, say so, and stay with it if asked to. Raises `CliError`."""
    import secrets

    drawn = key or secrets.token_hex(16)
    try:
        job = send(drawn)
    except KeyboardInterrupt:
        raise CliError(
            Exit.INTERRUPTED,
            "interrupted before a peer had accepted the job",
            remedy=f"submit again; with --idempotency-key {drawn} it cannot become two jobs",
        ) from None
    except (Busy, Unreachable) as error:
        if isinstance(error, Busy) or error.begun:
            error.remedy += f"; submitted again with --idempotency-key {drawn} it cannot become two jobs"
        raise
    remember(invocation.settings.state_dir, job=text_of(job, "id"), host=invocation.client.url)
    _accepted(invocation, job, quiet=after.stays)
    if after.stays:
        _stay(invocation, job, after)


def _accepted(invocation: Invocation, job: dict[str, Any], *, quiet: bool) -> None:
    durability = job.get("durability")
    copies = count(durability, "copies")
    text = f"accepted by {short(text_of(job, 'owner')) or invocation.client.url}" + (
        f", on {copies} peer{'s' if copies != 1 else ''}" if copies else ""
    )
    if quiet:
        invocation.screen.say(f"job {text_of(job, 'id')} {text}")
        return
    match invocation.format:
        case "json":
            invocation.screen.document("Submission", job)
        case "name":
            invocation.screen.data(text_of(job, "id"))
        case "table" | "wide":
            invocation.screen.data(f"job {text_of(job, 'id')} {text}")


def _stay(invocation: Invocation, job: dict[str, Any], after: After) -> None:
    from peer.cli.following import how_to_follow

    try:
        last, code = _until_it_ends(invocation, job, after)
    except KeyboardInterrupt:
        raise CliError(
            Exit.INTERRUPTED, f"interrupted; the job {text_of(job, 'id')} goes on", remedy=how_to_follow(job)
        ) from None
    _finished(invocation, last, followed=after.follow)
    click.get_current_context().exit(int(code))


def _until_it_ends(invocation: Invocation, job: dict[str, Any], after: After) -> tuple[dict[str, Any], Exit]:
    from peer.cli.eventstream import event_line
    from peer.cli.following import EventTail, Patience, watch_job
    from peer.cli.jobview import ended, outcome
    from peer.cli.progress import meter

    def show(event: dict[str, Any]) -> None:
        invocation.screen.data(json.dumps(event) if invocation.format == "json" else event_line(event))

    tail = EventTail(invocation, job) if after.follow else None
    last = job
    harvest = _harvest(invocation, job, after.folder) if after.folder is not None else None
    with meter(invocation.screen, text_of(job, "name") or "frames") as gauge:
        for last in watch_job(invocation, job, gauge, Patience(silent_s=after.silent_s, total_s=after.timeout_s)):
            if tail is not None:
                tail.new(show)
            if harvest is not None:
                harvest.gather(last)
    if tail is not None:
        try:
            tail.end(show)
        except Unreachable as error:  # how the job has ended is known all the same
            invocation.screen.say(f"{error}; see all of them: peerctl logs {text_of(job, 'id')}")
    code = ended(last) or Exit.OK
    invocation.screen.say(outcome(last))
    return last, harvest.end(code) if harvest is not None else code


def _harvest(invocation: Invocation, job: dict[str, Any], folder: Path) -> Harvest:
    from peer.cli.harvest import Harvest

    return Harvest(invocation, job, folder)


def _finished(invocation: Invocation, job: dict[str, Any], *, followed: bool) -> None:
    match invocation.format:
        case "json":
            if not followed:
                invocation.screen.document("Job", job)
        case "name":
            invocation.screen.data(text_of(job, "id"))
        case "table" | "wide":
            print_table(invocation.screen, [job], COLUMNS, wide=invocation.format == "wide")
