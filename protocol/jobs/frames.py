"""Frame ranges: the text that people write, the frame numbers that it means, and its limits."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from protocol import limits
from protocol.errors import Invalid

_NUMBER = r"-?\d{1,20}"  # more digits than any frame has, and few enough for int()
_PART = re.compile(rf"\s*({_NUMBER})(?:\s*-\s*({_NUMBER})(?:\s*x\s*(\d{{1,20}}))?)?\s*\Z", re.ASCII)


class Frames:
    """A sorted set of distinct frame numbers (32-bit signed), indexable in both directions.

    Invariant: strictly increasing; at most `limits.FRAMES_PER_JOB_MAX` of them.
    """

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = array("i", numbers)
        if any(one >= other for one, other in pairwise(self._numbers)):
            self._numbers = array("i", sorted(set(self._numbers)))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __getitem__(self, index: int) -> int:
        return self._numbers[index]

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.index(frame) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frames) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers.tobytes())

    def __repr__(self) -> str:
        return f"Frames({format_frames(self)!r})"

    def index(self, frame: int) -> int | None:
        """Position of `frame` in the set, or None when it is not in it."""
        at = bisect_left(self._numbers, frame)
        return at if at < len(self._numbers) and self._numbers[at] == frame else None


def parse_frames(text: str) -> Frames:
    """Read `1-48,60,100-200x5` (inclusive ranges, optional step, negative numbers allowed).

    Raises `Invalid` (code `bad_frames`) with a message that shows the part at fault and a form that works.
    """
    ranges = sorted(_ranges(text), key=_start)
    return Frames(chain.from_iterable(ranges))


def check_frames(text: str) -> None:
    """Raise as `parse_frames` does, without making a million numbers of seven characters."""
    _ranges(text)


def _ranges(text: str) -> list[range]:
    if len(text) > limits.FRAMES_TEXT_CHARS_MAX:
        raise Invalid("bad_frames", f"frames: the text is longer than {limits.FRAMES_TEXT_CHARS_MAX} characters")
    ranges = [_part(part, text) for part in text.split(",")]
    total = sum(len(numbers) for numbers in ranges)
    if total > limits.FRAMES_PER_JOB_MAX:
        raise Invalid(
            "too_many_frames",
            f"frames: {total:,} frames; a job holds at most {limits.FRAMES_PER_JOB_MAX:,}. Split it into several jobs",
        )
    return ranges


def _start(numbers: range) -> int:
    return numbers.start


def _part(part: str, text: str) -> range:
    match, shown = _PART.match(part), part.strip()[:40]
    if match is None:
        raise Invalid("bad_frames", f"frames: cannot read {shown!r} in {text[:80]!r}; write for example 1-48,60,100-200x5")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    step = 1 if match[3] is None else int(match[3])
    if step == 0:
        raise Invalid("bad_frames", f"frames: the step in {shown!r} is 0; it must be at least 1")
    if last < first:
        raise Invalid(
            "bad_frames", f"frames: {shown!r} runs backwards; write {last}-{first} (frames are a set, order is 'order')"
        )
    if not (limits.FRAME_NUMBER_MIN <= first and last <= limits.FRAME_NUMBER_MAX):
        raise Invalid(
            "bad_frames", f"frames: {shown!r} leaves Blender's range {limits.FRAME_NUMBER_MIN} to {limits.FRAME_NUMBER_MAX}"
        )
    return range(first, last + 1, step)


def format_frames(frames: Iterable[int]) -> str:
    """The shortest plain text for a sorted set: `1-48,60,100-200x5` (steps only for runs of three or more)."""
    numbers = list(frames)
    parts: list[str] = []
    at = 0
    while at < len(numbers):
        end = _run_end(numbers, at)
        parts.append(_run_text(numbers, at, end))
        at = end + 1
    return ",".join(parts)


def _run_end(numbers: list[int], at: int) -> int:
    """Last index of the longest evenly stepped run that starts at `at`; pairs count only with step 1."""
    if at + 1 >= len(numbers):
        return at
    step = numbers[at + 1] - numbers[at]
    end = at + 1
    while end + 1 < len(numbers) and numbers[end + 1] - numbers[end] == step:
        end += 1
    return end if step == 1 or end - at >= 2 else at


def _run_text(numbers: list[int], at: int, end: int) -> str:
    if at == end:
        return str(numbers[at])
    step = numbers[at + 1] - numbers[at]
    return f"{numbers[at]}-{numbers[end]}" + ("" if step == 1 else f"x{step}")
