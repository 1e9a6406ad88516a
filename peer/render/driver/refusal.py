"""The one exception of the driver: why a command is not done, as a failure class and a sentence for people."""

from __future__ import annotations


class Refused(Exception):
    """`kind` is one of `protocol.jobs.results.FailureClass`."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def choices(names: list[str], *, most: int = 20) -> str:
    """The names there are, for an error text: sorted, at most `most` of them."""
    shown = ", ".join(sorted(names)[:most])
    return (shown or "none at all") + (f" and {len(names) - most} more" if len(names) > most else "")
