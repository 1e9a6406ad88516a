"""Which faults strike when, drawn from the seed alone. Refuses to know how a fault is made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Final

WEIGHTS: Final = {
    "kill": 36,
    "kill_all": 5,
    "stop": 10,
    "partition": 9,
    "leave": 6,
    "disk_full": 5,
    "io_error": 6,
    "clock": 8,
    "wipe": 5,
    "roll_back": 5,
    "twin": 5,
}
DOWN_S: Final = {
    "kill": (0.0, 10.0),
    "kill_all": (0.0, 5.0),
    "stop": (0.5, 28.0),
    "partition": (4.0, 40.0),
    "leave": (0.0, 8.0),
    "disk_full": (4.0, 20.0),
    "io_error": (5.0, 12.0),
    "clock": (0.0, 0.0),
    "wipe": (0.0, 6.0),
    "roll_back": (0.0, 6.0),
    "twin": (2.0, 8.0),
}
"""Seconds between a fault and its end, from and to."""

LOSES_A_DISK: Final = frozenset({"wipe", "roll_back", "twin"})
"""After these, copies that were promised are gone: two in a row without time to copy would break no promise."""

GAP_S: Final = (0.5, 7.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It strikes `gap_s` after the one before; `pick` (0 to 1) chooses among those that it may strike, and
    `detail` (0 to 1) among its variants. `owner`: whoever owns a job that is under way is struck, if there is one."""

    number: int
    kind: str
    gap_s: float
    down_s: float
    pick: float
    detail: float
    owner: bool = False

    def chosen(self, count: int) -> int:
        """An index below `count`."""
        return min(int(self.pick * count), count - 1)


def draw(seed: int, seconds: float, only: Collection[str] = ()) -> list[Fault]:
    """Faults for so long, of these kinds (default: all): one of each in some order, and then by weight.

    A longer plan begins like a shorter one."""
    random = Random(f"faults {seed}")
    weights = {kind: weight for kind, weight in WEIGHTS.items() if not only or kind in only}
    kinds = list(weights)
    random.shuffle(kinds)
    faults: list[Fault] = []
    at_s, owners = 0.0, 0
    while True:
        number = len(faults)
        kind = kinds[number] if number < len(kinds) else random.choices(list(weights), list(weights.values()))[0]
        gap_s, down_s = random.uniform(*GAP_S), random.uniform(*DOWN_S[kind])
        owner = kind in ("kill", "stop", "leave") and owners % 2 == 0
        owners += kind in ("kill", "stop", "leave")
        at_s += gap_s
        if at_s > seconds:
            return faults
        faults.append(Fault(number, kind, gap_s, down_s, random.random(), random.random(), owner))
