"""How far something is: a bar with the time left on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from peer.cli.screen import Screen, plain
from peer.cli.tables import octets, span

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Meter(Protocol):
    """Told how far it is; shows it or not."""

    def update(self, done: float, *, total: float | None = None, note: str = "", eta_s: float | None = None) -> None:
        """`done` of `total` units; `note` says what is going on; `eta_s` None leaves the estimate to the meter."""

    def note(self, text: str) -> None:
        """A line that stays."""


class Bar:
    """A bar of rich. Invariant: `note` never tears it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, *, total: float | None = None, note: str = "", eta_s: float | None = None) -> None:
        """Move the bar."""
        left = f"{span(eta_s)} left" if eta_s is not None else ""
        self._progress.update(self._task, completed=done, total=total, note=plain(note), left=left)

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._progress.console.print(plain(text))


class Lines:
    """A line for each tenth and for each new note: what a log file wants."""

    def __init__(self, screen: Screen, what: str, *, octets_: bool) -> None:
        self._screen, self._what, self._octets = screen, what, octets_
        self._said: tuple[int, str] = (0, "")

    def update(self, done: float, *, total: float | None = None, note: str = "", eta_s: float | None = None) -> None:
        """Say it when a tenth is full or the note has changed."""
        tenth = int(10 * done / total) if total else 0
        if (tenth, note) == self._said:
            return
        self._said = (tenth, note)
        shown = f"{octets(done)} of {octets(total or 0)}" if self._octets else f"{done:.0f}/{total or 0:.0f}"
        left = f", {span(eta_s)} left" if eta_s is not None else ""
        self._screen.say(f"{self._what}: {shown}{left}{f', {plain(note)}' if note else ''}")

    def note(self, text: str) -> None:
        """Say it."""
        self._screen.say(plain(text))


@contextmanager
def meter(screen: Screen, what: str, *, octets_: bool = False, quiet: bool = False) -> Iterator[Meter]:
    """A meter for `what`; `quiet` shows nothing but notes where there is no terminal."""
    if not screen.err_is_terminal:
        lines = Lines(screen, what, octets_=octets_)
        yield _NotesOnly(lines) if quiet else lines
        return
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    estimate = TimeRemainingColumn() if octets_ else TextColumn("{task.fields[left]}")
    units = DownloadColumn() if octets_ else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), units, estimate, TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=screen.err_console(), transient=False) as progress:
        yield Bar(progress, progress.add_task(plain(what), total=None, note="", left=""))


class _NotesOnly:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def update(self, done: float, *, total: float | None = None, note: str = "", eta_s: float | None = None) -> None:
        """Nothing to see."""

    def note(self, text: str) -> None:
        """Say it."""
        self._lines.note(text)
