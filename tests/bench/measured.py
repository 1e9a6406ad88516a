"""What a benchmark says: rows with a goal, what was measured, and whether that is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: good when `measured` is at most `goal`, both in `unit`. `raw` are the single measurements by name.

    `beside` is what another program, measured in the same run, has reached."""

    name: str
    goal: float
    measured: float
    unit: str
    raw: dict[str, list[float]]
    beside: float | None = None

    @property
    def holds(self) -> bool:
        return self.measured <= self.goal

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}


def ratio_of_medians(name: str, *, goal: float, ours: Sequence[float], theirs: Sequence[float], what: str) -> Row:
    """`ours` and `theirs` in seconds, measured in turn so that a busy machine hits both. `what` names theirs."""
    return Row(name, goal, median(ours) / median(theirs), "x", {"ours": list(ours), what: list(theirs)})


def table(rows: Sequence[Row]) -> str:
    """The rows for people: name, goal, measured, what stands beside it, verdict, then the raw figures."""
    width = max((len(row.name) for row in rows), default=4)
    beside = any(row.beside is not None for row in rows)
    lines = [f"{'row':<{width}}  {'goal':>10}  {'measured':>10}{'      beside' if beside else ''}  verdict"]
    for row in rows:
        figures = [row.goal, row.measured, *([row.beside] if row.beside is not None else [])]
        shown = "  ".join(f"{_shown(value, row.unit):>10}" for value in figures)
        lines.append(f"{row.name:<{width}}  {shown}  {'holds' if row.holds else 'MISSED'}")
        for name, values in row.raw.items():
            lines.append(f"{'':<{width}}    {name}: {' '.join(f'{value:.3f}' for value in values)}")
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return f"{value:.3f}x" if unit == "x" else f"{value:.3g} {unit}".strip()
