"""What an output root is to those who deliver, and what a file that is there already means.

Decides the verdict on such a file. Refuses to know where it lies and how another one takes its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

from peer.ports import RenderFailed, ReportedFile, Verifier
from protocol.ids import JobId
from protocol.jobs.parcels import Parcel
from protocol.jobs.results import Output

Verdict = Literal["placed", "conflict", "absent"]
Finding = Literal["ours", "older", "foreign"]


class RootFault(Exception):
    """The root hinders it: `code` says how, the text where and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Batch(Protocol):
    """One look at a root, for one job. Names are relative, with `/`. Both raise `RootFault`, `OSError`."""

    async def place(self, name: str, parcel: Parcel, output: Output) -> Verdict:
        """Put a verified blob there, whole and durable, unless another file has the name: equal pixels count as placed, an older
        generation of ours gives way, any other stays. Raises also `Corrupt` when the blob is gone or damaged."""
        ...

    async def holds(self, name: str, parcel: Parcel, output: Output) -> bool:
        """Whether anything has this name but what is to give way to `output`. Writes nothing; only where the parcel replaces
        something is a file read, since somebody may have put a lower generation there again."""
        ...


class OutputRoot(Protocol):
    """Where finished frames may be put."""

    async def begin(self, job: JobId) -> Batch:
        """Raises `RootFault` when the root is not there."""
        ...


class Judge:
    """Says what a file under a frame's name is."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def find(
        self, path: Path, parcel: Parcel, output: Output, *, has_bytes: Callable[[], Awaitable[bool]], is_plain: bool = True
    ) -> Finding:
        """`ours`: these bytes or these pixels; `older`: pixels of a recorded lower generation of this very frame."""
        if await has_bytes():
            return "ours"
        pixels = await self._pixels(path, output) if is_plain else None
        if pixels is not None and pixels == output.pixel_hash:
            return "ours"
        return "older" if pixels is not None and pixels in parcel.replaces else "foreign"

    async def _pixels(self, path: Path, output: Output) -> str | None:
        """None for what is no picture of these dimensions. Raises `OSError` when nobody could look."""
        report = ReportedFile(
            role=output.role, name=path.name, path=path, width=output.width, height=output.height,
            channels=output.channels, format=output.format,
        )  # fmt: skip
        try:
            [verified] = await self._verifier.verify([report])
        except RenderFailed as fault:
            if fault.failure.kind == "infrastructure":
                raise OSError(fault.failure.reason) from fault
            return None
        return verified.pixel_hash
