"""peerctl submit: a scene and its assets to the mesh; wait for it, follow it, fetch its frames as they finish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peer.cli import bounds
from peer.cli.failures import Busy, CliError, Exit, Unreachable
from peer.cli.invocation import Invocation
from peer.cli.jobref import remember
from peer.cli.jobview import COLUMNS
from peer.cli.options import common, examples
from peer.cli.tables import count, print_table, short, text_of

if TYPE_CHECKING:
    from peer.cli.harvest import Harvest

_HELP = """Submit SCENE (a .blend file) and print its job.

    Files that the scene uses travel with --asset PATH (a file or folder beside or below the scene, under its relative name) or
    --asset NAME=PATH. A job without a scene needs --renderer null. Once the job is accepted it goes on without peerctl:
    Ctrl-C ends only the waiting."""

_EPILOG = examples(
    "peerctl submit castle.blend -f 1-48,60,100-200x5 --wait",
    "peerctl submit castle.blend --asset textures --engine CYCLES --samples 64 --wait --fetch frames",
    "peerctl submit --renderer null --setting frame_ms=30 -f 1-10 -o name",
)

# flags that go to the mesh as they stand; the mesh says what is wrong with a value
_FIELDS = (
    click.option("-f", "--frames", metavar="RANGES", help="Such as 1-48,60,100-200x5; default: the scene's own."),
    click.option("--name", help="Default: the file's name."),
    click.option("--priority", metavar="N", help="0 to 100, default 50."),
    click.option("--engine", help="CYCLES, BLENDER_EEVEE, BLENDER_EEVEE_NEXT or BLENDER_WORKBENCH; default: the scene's."),
    click.option("--samples", metavar="N", help="Samples per pixel."),
    click.option("--resolution", metavar="WxH", help="Pixels, such as 1920x1080."),
    click.option("--format", metavar="FORMAT", help="PNG, JPEG, TIFF, WEBP, OPEN_EXR or OPEN_EXR_MULTILAYER."),
    click.option("--on-warning", metavar="hold|fail|accept", help="What a warning about the picture does; default hold."),
    click.option("--device", metavar="auto|cpu|gpu"),
    click.option("--camera", metavar="NAME"),
    click.option("--scene-name", metavar="NAME", help="Which scene of the file."),
    click.option("--view-layer", metavar="NAME"),
    click.option("--blender", metavar="X.Y", help="The Blender version that it needs."),
    click.option("--threads", metavar="N", help="Render threads per frame."),
    click.option("--durability", metavar="two|local|quorum|all", help="Copies before it counts as accepted; default two."),
    click.option("--frame-timeout", "frame_timeout_s", metavar="SECONDS", help="A frame that takes longer has failed."),
    click.option("--max-attempts", metavar="N", help="Attempts at one frame, default 3."),
    click.option("--renderer", metavar="blender|null"),
    click.option("--destination", metavar="ROOT:FOLDER", help="An output root of some peer that frames are delivered to."),
    click.option("--output", metavar="TEMPLATE", help="Names of the frames; default {job}_{frame:04d}."),
)
_NUMBERS = frozenset({"priority", "samples", "threads", "max_attempts", "frame_timeout_s"})


def _fields(function: Any) -> Any:
    for option in reversed(_FIELDS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class _After:
    """What is done once the job is accepted."""

    wait: bool
    follow: bool
    folder: Path | None
    silent_s: float
    timeout_s: float | None

    @property
    def stays(self) -> bool:
        return self.wait or self.follow or self.folder is not None


@click.command(help=_HELP, epilog=_EPILOG)
@click.argument("scene", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_fields
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeat for more.")
@click.option("--setting", "settings", multiple=True, metavar="KEY=JSON", help="A setting of the renderer (repeat).")
@click.option("--asset", "assets", multiple=True, metavar="[NAME=]PATH", help="A file or folder that the scene uses (repeat).")
@click.option("--idempotency-key", metavar="KEY", help="Submitting again with it gives the same job; default: a random one.")
@click.option("--wait", is_flag=True, help="Wait until the job ends; the exit code says how.")
@click.option("--follow", is_flag=True, help="Like --wait, and print what happens to each frame.")
@click.option(
    "--fetch",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Wait, and fetch frames as they finish.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this (exit 8)."
)
@click.option("--patience", "silent_s", type=click.FloatRange(min=0), default=bounds.PATIENCE_S, show_default=True,
              metavar="SECONDS", help="While waiting: how long no peer at all may answer.")  # fmt: skip
@common
def submit(
    invocation: Invocation,
    /,
    scene: Path | None,
    labels: tuple[str, ...],
    settings: tuple[str, ...],
    assets: tuple[str, ...],
    idempotency_key: str | None,
    wait: bool,
    follow: bool,
    folder: Path | None,
    timeout_s: float | None,
    silent_s: float,
    **fields: str | None,
) -> None:
    """Send the job, remember it as @last, and stay with it if asked to."""
    import secrets

    if scene is None and fields["renderer"] != "null":
        raise click.UsageError("a SCENE is missing (only --renderer null does without)", click.get_current_context())
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if scene is not None:
        given.setdefault("name", scene.stem)
    key = idempotency_key or secrets.token_hex(16)
    after = _After(wait, follow, folder, silent_s, timeout_s)
    try:
        job = _send(invocation, scene, given, labels=labels, settings=_settings(settings), assets=assets, key=key)
    except KeyboardInterrupt:
        raise CliError(
            Exit.INTERRUPTED,
            "interrupted before a peer had accepted the job",
            remedy=f"submit again; with --idempotency-key {key} it cannot become two jobs",
        ) from None
    except (Busy, Unreachable) as error:
        if isinstance(error, Busy) or error.begun:
            error.remedy += f"; submitted again with --idempotency-key {key} it cannot become two jobs"
        raise
    remember(invocation.settings.state_dir, job=text_of(job, "id"), host=invocation.client.url)
    _accepted(invocation, job, quiet=after.stays)
    if after.stays:
        _stay(invocation, job, after)


def _send(
    invocation: Invocation,
    scene: Path | None,
    given: dict[str, Any],
    *,
    labels: tuple[str, ...],
    settings: dict[str, Any],
    assets: tuple[str, ...],
    key: str,
) -> dict[str, Any]:
    from peer.cli.upload import send_form, send_json, with_assets

    if scene is None:
        if assets:
            raise click.UsageError("--asset needs a SCENE", click.get_current_context())
        document = {name: _number(value) if name in _NUMBERS else value for name, value in given.items()}
        document |= {"label": list(labels)} if labels else {}
        document |= {"settings": settings} if settings else {}
        return send_json(invocation, document, key=key)
    pairs = [*given.items(), *(("label", label) for label in labels)]
    pairs += [("settings", json.dumps(settings))] if settings else []
    return send_form(invocation, pairs, with_assets(scene, assets), key=key)


def _number(text: str) -> Any:
    """A number where it is one; else the text, for the peer to refuse by name."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def _settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(
                f"cannot read --setting {pair!r}; write for example --setting frame_ms=30", click.get_current_context()
            )
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


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


def _stay(invocation: Invocation, job: dict[str, Any], after: _After) -> None:
    from peer.cli.following import how_to_follow

    try:
        last, code = _until_it_ends(invocation, job, after)
    except KeyboardInterrupt:
        raise CliError(
            Exit.INTERRUPTED, f"interrupted; the job {text_of(job, 'id')} goes on", remedy=how_to_follow(job)
        ) from None
    _finished(invocation, last, followed=after.follow)
    click.get_current_context().exit(int(code))


def _until_it_ends(invocation: Invocation, job: dict[str, Any], after: _After) -> tuple[dict[str, Any], Exit]:
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
