"""Lists and single things as table, wide table, JSON or names: the same items in four forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer.cli.screen import Screen, plain

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation, OutputFormat

Item = Mapping[str, Any]

_COLOURS: Mapping[str, str] = {
    "alive": "green", "completed": "green", "done": "green", "ok": "green", "healthy": "green", "passing": "green",
    "running": "cyan", "inspecting": "cyan",
    "queued": "", "pending": "", "paused": "yellow", "held": "yellow", "suspect": "yellow", "warn": "yellow",
    "warning": "yellow", "degraded": "yellow", "left": "dim", "cancelled": "dim",
    "failed": "red", "dead": "red", "fail": "red", "critical": "red",
    "bwrap": "green", "landlock": "cyan", "none": "red",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A title and what stands below it. `wide`: only with -o wide."""

    title: str
    value: Callable[[Item], str]
    wide: bool = False


def show_list(
    invocation: Invocation, *, kind: str, key: str, items: Sequence[Item], columns: Sequence[Column], empty: str
) -> None:
    """Print a list: JSON as `{"apiVersion", "kind", KEY: [...]}`; names are ids; `empty` is said when there is nothing."""
    match invocation.format:
        case "json":
            invocation.screen.document(kind, {key: list(items)})
        case "name":
            for item in items:
                invocation.screen.data(plain(item.get("id", "")))
        case "table" | "wide":
            if items:
                print_table(invocation.screen, items, columns, wide=invocation.format == "wide")
            else:
                invocation.screen.say(empty)


def show_one(invocation: Invocation, *, kind: str, item: Item, fields: Sequence[Column]) -> None:
    """Print one thing: a field per line; empty fields are left out."""
    match invocation.format:
        case "json":
            invocation.screen.document(kind, item)
        case "name":
            invocation.screen.data(plain(item.get("id", "")))
        case "table" | "wide":
            shown = [(field.title, field.value(item)) for field in fields if not field.wide or invocation.format == "wide"]
            width = max(len(title) for title, _ in shown)
            for title, value in shown:
                for index, line in enumerate(value.split("\n") if value else []):
                    invocation.screen.data(f"{title if index == 0 else '':<{width}}  {plain(line)}")


def print_table(screen: Screen, items: Sequence[Item], columns: Sequence[Column], *, wide: bool) -> None:
    """A table without frames: titles, then a line per item."""
    from rich.table import Table
    from rich.text import Text

    chosen = [column for column in columns if wide or not column.wide]
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in chosen:
        table.add_column(column.title, no_wrap=True)
    for item in items:
        values = [plain(column.value(item)) for column in chosen]
        table.add_row(*(Text(value, style=_COLOURS.get(value.partition(": ")[0], "")) for value in values))
    print_lines(screen, table)


def print_lines(screen: Screen, table: object) -> None:
    """Print a renderable of rich; without a terminal no line ends in blanks."""
    console = screen.out_console()
    if screen.out_is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        screen.data(line.rstrip())


def text_of(item: Item, key: str) -> str:
    """A field as text; "" for what is missing or null."""
    value = item.get(key)
    return "" if value is None else str(value)


def number(item: object, key: str) -> float:
    """A numeric field; 0 for what is missing or no number."""
    value = item.get(key) if isinstance(item, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def count(item: object, key: str) -> int:
    """A whole-number field; 0 for what is missing."""
    return int(number(item, key))


def bar(fraction: float, *, cells: int = 10) -> str:
    """A bar and percent: `#####.....  50 %`."""
    within = min(1.0, max(0.0, fraction))
    full = int(within * cells)
    return f"{'#' * full}{'.' * (cells - full)} {int(within * 100):3d} %"


def span(seconds: object) -> str:
    """Seconds for people: `4 s`, `3 min 20 s`, `2 h 5 min`; "" where there is no number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def octets(size: float) -> str:
    """Bytes for people: `912 B`, `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def short(identifier: str) -> str:
    """The first 12 characters of an id: enough to name it again."""
    return identifier[:12]


FORMATS: tuple[OutputFormat, ...] = ("table", "wide", "json", "name")
