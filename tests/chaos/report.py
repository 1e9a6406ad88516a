"""The report of a campaign, for people: what was done, how often, and what became of every promise."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.chaos.checker import Verdict, story

STORY_LINES: Final = 60
SHOWN: Final = 5
WIDTH: Final = 160
TOLD: Final = (
    "job_taken_over",
    "job_handed_over",
    "job_reopened",
    "job_yielded",
    "lease_expired",
    "frames_requeued",
    "attempt_lost",
    "duplicate_result",
    "frames_lost",
    "blob_lost",
    "blob_healed",
    "blob_unrecoverable",
    "store_verified",
    "delivery_conflict",
)


def written(head: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> str:
    """The whole text. `head` are the settings of the campaign, in order."""
    parts = [*_head(head), "", *_faults(lines), "", *_clients(lines), "", *_mesh(lines), "", *_verdicts(verdicts)]
    broken = [verdict for verdict in verdicts if not verdict.holds]
    if broken:
        parts += ["", *_first(lines, broken[0])]
    names = f"{len(broken)} of {len(verdicts)} promises broken" if broken else f"all {len(verdicts)} promises kept"
    return "\n".join([*parts, "", names, f"again: {head['again']}"]) + "\n"


def _head(head: Mapping[str, Any]) -> Iterator[str]:
    yield "Chaos: real peers, real faults"
    yield from (f"  {name:<16} {value}" for name, value in head.items() if name != "again")


def _faults(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many of each kind, and what was left out."""
    made = Counter(line["kind"] for line in lines if line["op"] == "fault")
    owners = sum(1 for line in lines if line["op"] == "fault" and line["kind"] == "kill" and line.get("owner"))
    yield f"Faults: {sum(made.values())}"
    for kind, count in sorted(made.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {count:5} {kind}" + (f" ({owners} of a job's owner)" if kind == "kill" else "")
    reasons = Counter((line["kind"], line["reason"]) for line in lines if line["op"] == "left_out")
    yield from (f"  left out: {count} {kind}: {reason}" for (kind, reason), count in reasons.items())


def _clients(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Requests by kind and status."""
    yield "Clients"
    for op in ("submit", "cancel", "rerender", "pause", "resume"):
        statuses = Counter(line["status"] for line in lines if line["op"] == op)
        if statuses:
            told = ", ".join(f"{count} {status or 'no answer'}" for status, count in sorted(statuses.items()))
            yield f"  {op:<9} {told}"
    refusals = Counter(line["answer"]["code"] for line in lines if line.get("answer", {}).get("code"))
    if refusals:
        yield f"  refused because: {', '.join(f'{count} {code}' for code, count in refusals.most_common())}"


def _mesh(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    events = Counter(line["name"] for line in lines if line["op"] == "event")
    yield "In the mesh"
    yield f"  {events['frame_committed']} commits, {events['job_accepted']} jobs accepted, {events['frames_leased']} leases"
    yield from (f"  {events[name]:5} {name}" for name in TOLD if events[name])
    complaints = Counter(line["name"] for line in lines if line["op"] == "complaint")
    yield from (f"  {count:5} complaint: {name}" for name, count in complaints.most_common())


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "Promises"
    for verdict in verdicts:
        yield f"  {'kept  ' if verdict.holds else 'BROKEN'}  {verdict.promise} ({verdict.figure})"
        yield from (f"            {one.key} {one.text}"[: 4 * WIDTH] for one in verdict.violations[:SHOWN])
        if len(verdict.violations) > SHOWN:
            yield f"            and {len(verdict.violations) - SHOWN} more"


def _first(lines: Sequence[Mapping[str, Any]], broken: Verdict) -> Iterator[str]:
    """The history of the first violation."""
    violation = broken.violations[0]
    yield f"The first violation: {broken.promise}: {violation.key} {violation.text}"[: 8 * WIDTH]
    told = list(story(lines, violation))
    shown = told if len(told) <= STORY_LINES else [*told[: STORY_LINES // 2], {}, *told[-STORY_LINES // 2 :]]
    for line in shown:
        yield _line(line) if line else f"  ... {len(told) - STORY_LINES} lines; all of them are in the history"


def _line(line: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in line.items() if name not in ("at", "op", "log", "order") and value not in ("", [], {})}
    return f"  {line['at']:9.3f} {line['op']:<8} {json.dumps(rest, default=str)}"[:WIDTH]
