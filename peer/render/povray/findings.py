"""What is wrong with a POV-Ray scene, in the classes and codes of every inspection. Pure; runs in the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from peer.render.povray import ini
from peer.render.povray.plan import Plan
from peer.render.povray.references import Use, Walk

WARNINGS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 1_000
SEND: Final = "send it along: below the scene's folder it goes by itself with peerctl, else name it with --asset NAME=PATH"
Row = dict[str, str]


def warnings(plan: Plan, seen: Walk, lost: list[Use]) -> list[Row]:
    """Findings of the text, and the files that POV-Ray itself did not find (`lost`); picture first, at most `WARNINGS_MAX`."""
    found = [
        *_missing([*seen.missing, *(use for use in lost if use not in seen.missing)]),
        *_writes(seen),
        *_programs(plan),
        *_left_out(plan),
        *_computed(seen),
        *_not_comparable(plan, seen),
    ]
    ordered = sorted(found, key=lambda row: row["kind"] != "picture")
    if len(ordered) <= WARNINGS_MAX:
        return ordered
    more = len(ordered) - WARNINGS_MAX + 1
    kind = ordered[WARNINGS_MAX - 1]["kind"]
    return [
        *ordered[: WARNINGS_MAX - 1],
        _row("more_warnings", kind, f"{more} more findings are not listed", "mend the others first"),
    ]


def _row(code: str, kind: str, text: str, remedy: str) -> Row:
    return {"code": code, "kind": kind, "text": text[:TEXT_CHARS_MAX], "remedy": remedy}


def _missing(uses: list[Use]) -> Iterator[Row]:
    for use in uses:
        elsewhere = use.name.startswith(("/", "\\")) or use.name[1:2] == ":" or ".." in use.name.replace("\\", "/").split("/")
        why = "is named by a place of another machine" if elsewhere else "is not among the files of the job, nor POV-Ray's own"
        remedy = "name it in the scene relative to the scene's folder, in or below that, and send it along" if elsewhere else SEND
        yield _row(f"missing_{use.kind}", "picture", f"{use.kind} {use.name!r} {why}", remedy)


def _writes(seen: Walk) -> Iterator[Row]:
    for name in seen.writes:
        text = f"the scene writes {name!r}: each frame has a folder of its own for that, which is thrown away"
        remedy = "accept it when no frame reads what another one wrote; else make the file first and send it along"
        yield _row("writes_files", "picture", text, remedy)


def _programs(plan: Plan) -> Iterator[Row]:
    for name in plan.read.programs:
        kind = "picture" if name in ini.PROGRAMS_BEFORE else "info"
        yield _row("refused_program", kind, f"{name} of the .ini is not run", "run it before, and send along what it makes")


def _left_out(plan: Plan) -> Iterator[Row]:
    if plan.read.partial:
        text = f"a part of the picture is asked for ({', '.join(plan.read.partial[:8])}): the whole is rendered"
        yield _row("partial_picture", "picture", text, "crop the frames afterwards, or take that out of the .ini")
    for line in plan.read.unknown:
        yield _row("unknown_option", "picture", f"the .ini says {line[:200]!r}, which is left out", "take it out of the .ini")
    for name in plan.left_out:
        text = f"the library path {name[:200]!r} leads out of the scene's folder and is left out"
        yield _row("library_path", "info", text, "what the scene uses of it travels with peerctl under the name in the scene")


def _computed(seen: Walk) -> Iterator[Row]:
    if seen.computed:
        text = f"{seen.computed} names of files are put together by the scene: whether those files are here is not known before"
        yield _row("computed_names", "info", text, "name what may be needed with --asset")


def _not_comparable(plan: Plan, seen: Walk) -> Iterator[Row]:
    if seen.words and (plan.threads or 1) > 1:
        words = ", ".join(sorted(seen.words))
        text = f"with {plan.threads} threads the pixels of {words} differ from one rendering to the next"
        yield _row("not_comparable", "info", text, "leave threads out: such a scene is rendered with one thread")
