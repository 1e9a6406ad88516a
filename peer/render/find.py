"""Which renderers this peer has: the choice of the settings against what is installed, each started once to see.

Decides by plug-ins alone (`peer.render.plugins`). Refuses to read the environment: PATH comes in with the options.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from peer.ports import Renderer, RendererMissing, RenderFailed
from peer.render.options import RendererOptions
from peer.render.plugins import AGAIN, Installed, Plugin, Surroundings, load_plugins
from peer.render.shelf import Shelf, version_of
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities, recordable

Started = tuple[Renderer, Capabilities]
AUTO: Final = "auto"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """`renderers` that started, with what they can do, best first, one per name; `missing` says why the others did not,
    `absent` the same of those that nobody has asked for."""

    renderers: tuple[tuple[Renderer, tuple[Capabilities, ...]], ...] = ()
    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def check_choices(texts: Sequence[str], words: Sequence[str]) -> list[str]:
    """The settings' words, each once; none at all means auto. Raises `Invalid` (`unknown_renderer`)."""
    for text in texts:
        if text not in (AUTO, *words):
            known = ", ".join((AUTO, *words))
            raise Invalid("unknown_renderer", f"renderer: {text[:40]!r} is unknown; choose one of {known}")
    return list(dict.fromkeys(texts or (AUTO,)))


async def find_renderers(
    texts: Sequence[str], options: RendererOptions, around: Surroundings = Surroundings(), installed: Installed | None = None
) -> Found:
    """Start every chosen renderer once; of several candidates for one the first that starts. Never raises for a missing one.

    A peer with `missing` and no `renderers` joins all the same: it stores and serves, and says so. Raises `Invalid`.
    """
    installed = installed or load_plugins()
    started: list[Started] = []
    missing, absent = ([] if installed.words else [AGAIN]), list[str]()
    try:
        for word, named in _sought(check_choices(texts, installed.words), installed):
            plugin = installed.plugins.get(word)
            expected = named or (plugin is not None and plugin.sought == "always")
            ways = await _candidates(word, plugin, installed, options, around, named)
            for alternatives in ways:
                one, reasons = await _first(alternatives, options)
                if one is None:
                    (missing if expected else absent).append(f"{word}: {'; '.join(reasons)}")
                else:
                    started.append(one)
        return Found(await _shelved(started), tuple(missing), tuple(absent))
    except BaseException:
        for renderer, _ in started:
            await renderer.close()
        raise


def _sought(choices: Sequence[str], installed: Installed) -> list[tuple[str, bool]]:
    """The words to look for, each with whether it was named. Broken plug-ins are among them: they say what is wrong."""
    automatic = [word for word, plugin in installed.plugins.items() if plugin.sought != "named"]
    unnamed = [word for word in (*automatic, *installed.faults) if AUTO in choices and word not in choices]
    named = [(word, True) for word in choices if word != AUTO]
    return [*((word, False) for word in unnamed), *named]


async def _candidates(
    word: str, plugin: Plugin | None, installed: Installed, options: RendererOptions, around: Surroundings, named: bool
) -> list[list[Renderer | str]]:
    if plugin is None:
        return [[installed.faults[word]]]
    try:
        return await asyncio.to_thread(plugin.candidates, options, around, named)
    except Exception as error:
        return [[_broken(word, error)]]


async def _shelved(started: Sequence[Started]) -> tuple[tuple[Renderer, tuple[Capabilities, ...]], ...]:
    """One renderer per name; several versions of one stand on a shelf. A second one of the same version is closed again."""
    by_name: dict[str, dict[object, Started]] = {}
    for renderer, able in started:
        versions = by_name.setdefault(renderer.name, {})
        if version_of(able) in versions:
            await renderer.close()
        else:
            versions[version_of(able)] = (renderer, able)
    return tuple(_one(list(versions.values())) for versions in by_name.values())


def _one(versions: Sequence[Started]) -> tuple[Renderer, tuple[Capabilities, ...]]:
    renderer = versions[0][0] if len(versions) == 1 else Shelf(versions)
    return renderer, tuple(able for _, able in versions)


async def _first(alternatives: Sequence[Renderer | str], options: RendererOptions) -> tuple[Started | None, list[str]]:
    reasons = []
    for option in alternatives:
        if isinstance(option, str):
            reasons.append(option)
            continue
        try:
            return (option, replace(await option.probe(), sandbox=options.sandbox.level)), []
        except (RendererMissing, RenderFailed, OSError) as error:  # also one that dies of the first question, or has no room
            reasons.append(str(error))
            await option.close()
        except Exception as error:
            reasons.append(_broken(option.name, error))
            await option.close()
        except BaseException:
            await option.close()
            raise
    return None, reasons


def _broken(word: str, error: Exception) -> str:
    log.error("renderer_plugin_broke", renderer=word, exc_info=error)
    return recordable(f"the plug-in itself failed ({type(error).__name__}: {error}); mend or remove its package")
