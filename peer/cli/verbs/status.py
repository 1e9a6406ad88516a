"""peerctl status: one screen: the mesh in a word, its peers, its jobs, and why anything waits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import click

from peer.cli import jobview, peerview
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.screen import plain
from peer.cli.tables import print_table, short, text_of
from peer.cli.watching import repeat

_JOBS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the peer asked says: its own health (passing, warning, critical), peers and the latest jobs."""

    health: str
    peers: list[dict[str, Any]]
    jobs: list[dict[str, Any]]


@click.command(epilog=examples("peerctl status", "peerctl status --watch", "peerctl status --json | jq -r .mesh"))
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@common
def status(invocation: Invocation, watch: bool) -> None:
    """Show the mesh in a word, its peers, its jobs, and why anything waits."""
    repeat(invocation, lambda: _read(invocation), lambda picture: _show(invocation, picture), watch=watch)


def _read(invocation: Invocation) -> _Picture:
    from peer.cli.client import Call

    peers = list(invocation.client.pages("/api/v1/peers", "peers"))
    jobs = list(islice(invocation.client.pages("/api/v1/jobs", "jobs", limit="200"), 200))
    health = invocation.client.request(Call("GET", "/health", any_status=True)).status
    return _Picture({200: "passing", 429: "warning"}.get(health, "critical"), peers, jobs)


def _show(invocation: Invocation, picture: _Picture) -> None:
    word, detail = peerview.mesh_word(picture.peers)
    if word == "healthy" and picture.health != "passing":
        word, detail = "degraded", f"{detail}; {invocation.client.url} calls itself {picture.health}"
    match invocation.format:
        case "json":
            content = {"mesh": word, "detail": detail, "health": picture.health, "peers": picture.peers, "jobs": picture.jobs}
            invocation.screen.document("Status", content)
        case "name":
            invocation.screen.data(word)
        case "table" | "wide":
            _screenful(invocation, picture, word, detail)


def _screenful(invocation: Invocation, picture: _Picture, word: str, detail: str) -> None:
    wide = invocation.format == "wide"
    screen = invocation.screen
    screen.data(plain(f"mesh {word}: {detail}"))
    screen.data("")
    print_table(screen, picture.peers, peerview.COLUMNS, wide=wide)
    screen.data("")
    shown = sorted(picture.jobs, key=lambda job: text_of(job, "state") in jobview.FINAL)[:_JOBS_SHOWN]
    if not shown:
        screen.data("no jobs; submit one: peerctl submit SCENE")
        return
    print_table(screen, shown, [column for column in jobview.COLUMNS if column.title != "WHY"], wide=wide)
    if len(picture.jobs) > len(shown):
        screen.data(f"and {len(picture.jobs) - len(shown)} more: peerctl jobs")
    _reasons(invocation, shown)


def _reasons(invocation: Invocation, jobs: list[dict[str, Any]]) -> None:
    waiting = [(job, jobview.why_text(job)) for job in jobs]
    if any(why for _, why in waiting):
        invocation.screen.data("")
    for job, why in waiting:
        for line in why.split("\n") if why else []:
            name = text_of(job, "name") or short(text_of(job, "id"))
            invocation.screen.data(plain(f"{name} ({text_of(job, 'state')}): {line}"))
