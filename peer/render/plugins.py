"""The port through which renderers come: what a plug-in declares, and which plug-ins are installed.

A plug-in is an entry point of the group `rendermesh.renderers`; its name is the word of `peerd --renderer`, its object a
`Plugin`. Decides which can be used: one that is broken, or made for another version of the port, is a fault in words.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from peer.ports import Renderer
from peer.render.options import RendererOptions

GROUP: Final = "rendermesh.renderers"
PORT: Final = 1
"""The version of this port: of `Plugin`, and of `Renderer` and `Session` in `peer.ports`. Any change of them is a new one."""

AGAIN: Final = "this installation knows no renderer at all: install rendermesh again (pip install -e . in a checkout)"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is installed: `programs` are Blenders named in the settings, or folders of some; the other two know the rest."""

    programs: tuple[Path, ...] = ()
    which: Callable[[str, str | None], str | None] = lambda name, path: shutil.which(name, path=path)
    has_bpy: Callable[[], bool] = field(default=lambda: importlib.util.find_spec("bpy") is not None)


Candidates = Callable[[RendererOptions, Surroundings, bool], list[list[Renderer | str]]]
CheckScene = Callable[[Path, Sequence[str]], tuple[int, int] | None]
Sought = Literal["always", "quietly", "named"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """One renderer, as its package declares it.

    `port` is the `PORT` that it was written for; `renderer` is the name in jobs, and that of the `Renderer`s. `candidates`
    says what to look for, each with its alternatives in order: renderers not yet started, and texts for what is not even
    installed; the last argument says whether the settings name it. It reads folders and starts nothing: `Renderer.probe`
    does. `check_scene` looks at a main file before a job is accepted: it gives the version that saved it, where it knows it,
    and raises `Invalid`; its second argument are the versions in the mesh. `suffixes` (`.pov`) choose the renderer of a job
    that names none. It is sought `always` (its absence is a fault), `quietly`, or only when `named` in the settings.
    """

    port: int
    renderer: str
    candidates: Candidates
    check_scene: CheckScene | None = None
    suffixes: tuple[str, ...] = ()
    sought: Sought = "quietly"


@dataclass(frozen=True, slots=True)
class Installed:
    """Plug-ins that can be used, by their words, and what is wrong with the others."""

    plugins: Mapping[str, Plugin]
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word, of broken ones too."""
        return (*self.plugins, *self.faults)

    @property
    def renderers(self) -> tuple[str, ...]:
        """The names that a job may have."""
        return tuple(dict.fromkeys(plugin.renderer for plugin in self.plugins.values()))

    def renderer_of(self, name: str) -> str | None:
        """The renderer of a main file of that name, by its suffix."""
        suffix = PurePosixPath(name).suffix.lower()
        return next((plugin.renderer for plugin in self.plugins.values() if suffix in plugin.suffixes), None)

    def check_scene(self, renderer: str, path: Path, versions: Sequence[str]) -> tuple[int, int] | None:
        """Whether a file is a scene of that renderer, as `Plugin.check_scene`; one that is not installed here judges nothing."""
        for plugin in self.plugins.values():
            if plugin.renderer == renderer and plugin.check_scene is not None:
                return plugin.check_scene(path, versions)
        return None


def installed_words() -> tuple[str, ...]:
    """The words of all installed plug-ins, without loading any."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load_plugins(points: Iterable[EntryPoint] | None = None) -> Installed:
    """Load every plug-in; whatever one of them does meanwhile is a fault of its own."""
    plugins: dict[str, Plugin] = {}
    faults: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda point: point.name):
        found = f"another plug-in has that word as well: {_origin(point)}" if point.name in plugins else _load(point)
        if isinstance(found, Plugin):
            plugins[point.name] = found
        else:
            faults.setdefault(point.name, found)
    return Installed(plugins, {word: text for word, text in faults.items() if word not in plugins})


def _load(point: EntryPoint) -> Plugin | str:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        return f"the plug-in of {_origin(point)} cannot be loaded ({type(error).__name__}: {error}); mend or remove that package"
    port = getattr(found, "port", None)
    if port != PORT:
        made_for = "is no plug-in" if port is None else f"is made for version {port} of the port for renderers"
        return f"what {_origin(point)} offers {made_for}, and this peer has version {PORT}; install a version that fits"
    if not isinstance(found, Plugin):
        return f"what {_origin(point)} offers is a {type(found).__name__} and no plug-in; mend or remove that package"
    return found


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
