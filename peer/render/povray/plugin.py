"""The plug-in of POV-Ray: where it is looked for, and what a scene of it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from peer.ports import Renderer
from peer.render.options import RendererOptions
from peer.render.plugins import PORT, Plugin, Surroundings
from peer.render.povray.renderer import GET, PovrayRenderer
from peer.render.signatures import HEAD_BYTES, described, looks_like
from protocol.errors import Invalid

NO_WALLS: Final = (
    "its scenes read and write files by themselves, and this peer has no sandbox: see peerctl doctor, "
    "or name it all the same (--renderer povray)"
)
_TEXT: Final = ("text", "unknown")  # another encoding's letters look unknown
_LOOKED_AT_BYTES: Final = 65_536


def povrays(options: RendererOptions, around: Surroundings, named: bool) -> list[list[Renderer | str]]:
    """The program on PATH. Without a sandbox only for whoever asks for it by name."""
    program = around.which("povray", options.environ.get("PATH"))
    if program is None:
        return [[f"there is no program 'povray' on PATH; {GET}"]]
    if options.sandbox.level == "none" and not named:
        return [[NO_WALLS]]
    return [[PovrayRenderer(program, options)]]


def check_pov(path: Path, versions: Sequence[str]) -> None:
    """Raises `Invalid` (`not_a_scene`) for what is no text at all. The language's version is the scene's own (#version)."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT_BYTES)
    kind = looks_like(head[:HEAD_BYTES])
    if kind not in _TEXT or b"\x00" in head:
        raise Invalid("not_a_scene", f"the scene is {described(kind)}, and a scene of POV-Ray is a text (.pov or .ini)")


POVRAY: Final = Plugin(PORT, "povray", povrays, check_pov, (".pov", ".ini"), "quietly")
