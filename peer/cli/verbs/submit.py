"""peerctl submit: a scene and its assets to the mesh; wait for it, follow it, fetch its frames as they finish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peer.cli.acceptance import After, accept, staying
from peer.cli.documents import parse
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples, map_option

if TYPE_CHECKING:
    from peer.cli.multipart import FilePart

_HELP = """Submit SCENE (a .blend, a .pov or .ini of POV-Ray, or a zip of a .blend and all that it uses) and print its job.

    Files that the scene uses go along by themselves: textures, tiles and sequences, libraries with what they use, volumes,
    caches and bakes, also from other folders; --list-assets shows them and sends nothing, --no-assets leaves them out. Paths
    of another machine need --map FROM=TO. More files travel with --asset PATH (a file or folder beside or below the scene,
    under its relative name) or --asset NAME=PATH. A job without a scene needs --renderer null. Once the job is accepted it
    goes on without peerctl: Ctrl-C ends only the waiting."""

_EPILOG = examples(
    "peerctl submit castle.blend -f 1-48,60,100-200x5 --wait",
    "peerctl submit castle.blend --list-assets --map 'C:\\shows=/mnt/shows'",
    "peerctl submit castle.blend --asset textures --engine CYCLES --samples 64 --wait --fetch frames",
    "peerctl submit shot.zip --main scenes/shot.blend -f 1-48",
    "peerctl submit spheres.pov --setting frame_end=48 --resolution 1280x720",
    "peerctl submit --renderer null --setting frame_ms=30 -f 1-10 -o name",
)

# flags that go to the mesh as they stand; the mesh says what is wrong with a value
_FIELDS = (
    click.option("-f", "--frames", metavar="RANGES", help="Such as 1-48,60,100-200x5; default: the scene's own."),
    click.option("--name", help="Default: the file's name."),
    click.option("--main", metavar="NAME", help="Which .blend of a zip is the scene; needed where it has several."),
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
    click.option("--renderer", metavar="blender|povray|null", help="Default: by the scene's suffix."),
    click.option("--sandbox", metavar="any|landlock|bwrap", help="The least sandbox that a peer must have; default any."),
    click.option(
        "--destination", metavar="PLACE", help="Where frames go besides: ROOT:FOLDER of some peer, or s3://bucket/folder."
    ),
    click.option("--output", metavar="TEMPLATE", help="Names of the frames; default {job}_{frame:04d}."),
)
_NUMBERS = frozenset({"priority", "samples", "threads", "max_attempts", "frame_timeout_s"})


def _fields(function: Any) -> Any:
    for option in reversed(_FIELDS):
        function = option(function)
    return function


@click.command(help=_HELP, epilog=_EPILOG)
@click.argument("scene", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_fields
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeat for more.")
@click.option("--setting", "settings", multiple=True, metavar="KEY=JSON", help="A setting of the renderer (repeat).")
@click.option("--asset", "assets", multiple=True, metavar="[NAME=]PATH", help="A file or folder that the scene uses (repeat).")
@click.option("--no-assets", is_flag=True, help="Send only the scene and what --asset names.")
@click.option("--list-assets", is_flag=True, help="Print what would be sent, with sizes, and send nothing.")
@map_option
@common
@staying
def submit(
    invocation: Invocation,
    /,
    scene: Path | None,
    labels: tuple[str, ...],
    settings: tuple[str, ...],
    assets: tuple[str, ...],
    no_assets: bool,
    list_assets: bool,
    rules: tuple[str, ...],
    idempotency_key: str | None,
    after: After,
    **fields: str | None,
) -> None:
    """Send the job, remember it as @last, and stay with it if asked to."""
    if scene is None and fields["renderer"] != "null":
        raise click.UsageError("a SCENE is missing (only --renderer null does without)", click.get_current_context())
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if scene is not None:
        given.setdefault("name", scene.stem)
    found = _settings(settings)
    files = _files(invocation, scene, assets, rules, alone=no_assets)
    if list_assets:
        from peer.cli.gathering import show

        show(invocation, files)
        return
    accept(
        invocation, lambda key: _send(invocation, files, given, labels=labels, settings=found, key=key), idempotency_key, after
    )


def _files(
    invocation: Invocation, scene: Path | None, assets: tuple[str, ...], rules: tuple[str, ...], *, alone: bool
) -> list[FilePart]:
    """The scene and what goes with it; nothing without a scene."""
    if scene is None:
        if assets:
            raise click.UsageError("--asset needs a SCENE", click.get_current_context())
        return []
    from peer.cli.gathering import gathered

    return gathered(invocation, scene, assets, rules, alone=alone)


def _send(
    invocation: Invocation,
    files: list[FilePart],
    given: dict[str, Any],
    *,
    labels: tuple[str, ...],
    settings: dict[str, Any],
    key: str,
) -> dict[str, Any]:
    from peer.cli.upload import send_form, send_json

    if not files:
        document = {name: _number(value) if name in _NUMBERS else value for name, value in given.items()}
        document |= {"label": list(labels)} if labels else {}
        document |= {"settings": settings} if settings else {}
        return send_json(invocation, document, key=key)
    pairs = [*given.items(), *(("label", label) for label in labels)]
    pairs += [("settings", json.dumps(settings))] if settings else []
    return send_form(invocation, pairs, files, key=key)


def _number(text: str) -> Any:
    """A number where it is one; else the text, for the peer to refuse by name."""
    try:
        value = parse(text)
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
            found[key] = parse(text)
        except ValueError:
            found[key] = text
    return found
