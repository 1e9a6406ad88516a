"""peerctl inspect: what a scene is and what is wrong with it, seen by a renderer of the mesh, without making a job."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from peer.cli.failures import Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples, map_option
from peer.cli.screen import plain
from peer.cli.tables import text_of

PATH = "/api/v1/inspections"
_FIELDS = (
    click.option("--main", metavar="NAME", help="Which .blend of a zip is the scene; needed where it has several."),
    click.option("--scene-name", metavar="NAME", help="Which scene of the file."),
    click.option("--view-layer", metavar="NAME"),
    click.option("--camera", metavar="NAME"),
    click.option("--engine", help="As for submit: what it overrides is looked at as it would be rendered."),
    click.option("--format", metavar="FORMAT"),
    click.option("--blender", metavar="X.Y", help="The Blender version that looks."),
    click.option("--renderer", metavar="blender|povray|null", help="Default: by the scene's suffix."),
)


def _fields(function: Any) -> Any:
    for option in reversed(_FIELDS):
        function = option(function)
    return function


@click.command(epilog=examples("peerctl inspect castle.blend", "peerctl inspect castle.blend --json | jq '.warnings[].code'"))
@click.argument("scene", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_fields
@click.option("--asset", "assets", multiple=True, metavar="[NAME=]PATH", help="A file or folder that the scene uses (repeat).")
@click.option("--no-assets", is_flag=True, help="Send only the scene and what --asset names.")
@map_option
@common
def inspect(
    invocation: Invocation,
    /,
    scene: Path,
    assets: tuple[str, ...],
    no_assets: bool,
    rules: tuple[str, ...],
    **fields: str | None,
) -> None:
    """Say what SCENE is, and every finding with its remedy. Ends with 10 when it cannot be rendered at all.

    Findings of the class picture would hold a job; those of the class info never do."""
    from peer.cli.gathering import gathered
    from peer.cli.upload import send_form

    files = gathered(invocation, scene, assets, rules, alone=no_assets)
    given = [(name, value) for name, value in fields.items() if value is not None]
    seen = send_form(invocation, given, files, key=secrets.token_hex(16), path=PATH)
    match invocation.format:
        case "json":
            invocation.screen.document("Inspection", seen)
        case "name":
            for finding in _findings(seen):
                invocation.screen.data(plain(text_of(finding, "code")))
        case "table" | "wide":
            _show(invocation, scene, seen)
    if seen.get("error"):
        click.get_current_context().exit(int(Exit.REFUSED))


def _show(invocation: Invocation, scene: Path, seen: dict[str, Any]) -> None:
    invocation.screen.data(plain(f"{scene.name}: {_summary(seen)}"))
    if seen.get("error"):
        invocation.screen.data(f"  cannot be rendered: {plain(text_of(seen, 'error'))}")
    for finding in _findings(seen):
        code, kind = text_of(finding, "code"), text_of(finding, "kind")
        invocation.screen.data(f"  - {plain(text_of(finding, 'text'))} [{plain(code)}, {plain(kind)}]")
        if text_of(finding, "remedy"):
            invocation.screen.data(f"    next: {plain(text_of(finding, 'remedy'))}")
    notes = seen.get("notes")
    for note in notes if isinstance(notes, list) else ():
        invocation.screen.data(f"  note: {plain(str(note))}")
    if not seen.get("error") and not _findings(seen):
        invocation.screen.data("  nothing is wrong with it")


def _summary(seen: dict[str, Any]) -> str:
    who = "POV-Ray" if text_of(seen, "engine") == "POV-Ray" else "Blender"
    if not text_of(seen, "scene"):
        return f"looked at by version {text_of(seen, 'blender')}"
    size = f"{text_of(seen, 'width')}x{text_of(seen, 'height')} {text_of(seen, 'format')}"
    frames = f"frames {text_of(seen, 'frame_start')} to {text_of(seen, 'frame_end')}"
    camera = text_of(seen, "camera") or "none"
    return (
        f"scene {text_of(seen, 'scene')}, camera {camera}, {text_of(seen, 'engine')}, {frames}, {size}, "
        f"{who} {text_of(seen, 'blender')}"
    )


def _findings(seen: dict[str, Any]) -> list[dict[str, Any]]:
    listed = seen.get("warnings")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
