"""How many frames were rendered to their end more than once, by what the owners noted when they committed a result.

A second commit of a frame, or a result that came when the frame was done, is one. It is put down to a cut network or a stopped
peer when both fell into that time, else to the kills. A peer whose copy was heard of first is cut off as well: whoever remembers
the copy refuses every other process of the same run. Jobs that a client had rendered again are left out, and those of which
frames were lost with a disk.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

KILLS: Final = frozenset({"kill", "kill_all", "io_error", "wipe", "roll_back", "twin", "leave"})
CUTS: Final = frozenset({"stop", "partition", "disk_full", "twin"})
HEAD_S: Final = 5.0  # what was committed so shortly before a cut may not have crossed it
TAIL_S: Final = 10.0  # peers that were cut off or stopped report what they have


@dataclass(frozen=True, slots=True)
class Rerendered:
    """`allowed` is the sum of the slots of all peers that were killed."""

    by_kills: int
    by_cuts: int
    kills: int
    allowed: int
    commits: int
    examples: list[str]


def rerendered(lines: Sequence[Mapping[str, Any]], left_out: Collection[str]) -> Rerendered:
    """Count them."""
    cut = cuts(lines)
    left_out = {*left_out, *(line["job"] for line in lines if line["op"] == "event" and line["name"] == "frames_lost")}
    kills = [line for line in lines if line["op"] == "fault" and line["kind"] in KILLS and not line.get("copied_only")]
    first: dict[tuple[str, int], float] = {}
    by_kills, by_cuts, commits, examples = 0, 0, 0, list[str]()
    for line in lines:
        if line["op"] != "event" or line["name"] not in ("frame_committed", "duplicate_result") or line["job"] in left_out:
            continue
        commits += line["name"] == "frame_committed"
        frame = (line["job"], line["frame"])
        if frame not in first:
            first[frame] = line["at"]
        elif any(begin - HEAD_S <= first[frame] and begin <= line["at"] <= end + TAIL_S for begin, end in cut):
            by_cuts += 1
        else:
            by_kills += 1
            examples.append(f"{frame[0][:8]}/{frame[1]} at {first[frame]:g} and {line['at']:g} s")
    killed = sum(len(line["peers"]) for line in kills)
    allowed = sum(line.get("slots", len(line["peers"])) for line in kills)
    return Rerendered(by_kills, by_cuts, killed, allowed, commits, examples[:10])


def cuts(lines: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """When the network was cut or a peer could not go on."""
    ends = {line["number"]: line["at"] for line in lines if line["op"] == "over"}
    found = [line for line in lines if line["op"] == "fault" and line["kind"] in CUTS]
    return [(line.get("began", line["at"]), _end(lines, line, ends)) for line in found]


def _end(lines: Sequence[Mapping[str, Any]], line: Mapping[str, Any], ends: Mapping[int, float]) -> float:
    return _next_run(lines, line, ends) if _is_disowned(line) else ends.get(line["number"], math.inf)


def _is_disowned(line: Mapping[str, Any]) -> bool:
    return line["kind"] == "twin" and line.get("original_first") is False


def _next_run(lines: Sequence[Mapping[str, Any]], twin: Mapping[str, Any], ends: Mapping[int, float]) -> float:
    """When the twin's original is started the next time: its run has another number then."""
    later = [line for line in lines if line["op"] == "fault" and line["kind"] in KILLS and line["at"] > twin["at"]]
    starts = [ends[line["number"]] for line in later if twin["peers"][0] in line["peers"] and line["number"] in ends]
    return min(starts, default=math.inf)
