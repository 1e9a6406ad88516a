"""The OCIO configuration of a job: a file that travels with its scene, named by the renderer's setting `ocio`.

Decides which file that is. A process knows one configuration from its start to its end, so jobs with different ones never share
a process, and a peer's own is never used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from peer.ports import RenderFailed
from protocol.errors import Invalid
from protocol.jobs.manifest import clean_name
from protocol.jobs.results import Failure
from protocol.jobs.spec import RenderSettings

SETTING: Final = "ocio"


def configuration(tree: Path, settings: RenderSettings) -> Path | None:
    """The file below `tree` that the job names; None: it names none. Raises `RenderFailed` (`scene`)."""
    name = settings.settings.get(SETTING)
    if name is None:
        return None
    try:
        path = tree / clean_name(name) if isinstance(name, str) else None
    except Invalid as error:
        raise _refused(error.message) from None
    if path is None or not path.is_file():
        raise _refused(f"{str(name)[:200]!r} is none of the scene's files; send it along with what it refers to")
    return path


def without(settings: RenderSettings) -> RenderSettings:
    """The settings that are left for the driver."""
    rest = {key: value for key, value in settings.settings.items() if key != SETTING}
    return settings.model_copy(update={"settings": rest})


def _refused(why: str) -> RenderFailed:
    return RenderFailed(Failure("scene", f"settings: {SETTING}: {why}"))
