"""What the clients will ask for, drawn from the seed alone: the n-th order of a client is the same in every replay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random
from typing import Any

FILM_FRAMES = 48
FILM_FRAMES_PER_JOB = 24
ROOT = "out"


@dataclass(frozen=True, slots=True)
class Order:
    """One job as a client wants it. `failing` are frames that the null renderer is told to crash at; `folder` is where its
    frames shall be delivered below the output root, None for nowhere. `key` is its name, too."""

    key: str
    renderer: str
    frames: tuple[int, int]
    size: tuple[int, int]
    frame_ms: int = 0
    failing: tuple[int, ...] = ()
    folder: str | None = None

    @property
    def numbers(self) -> list[int]:
        """Its frames."""
        return list(range(self.frames[0], self.frames[1] + 1))

    @property
    def fields(self) -> dict[str, Any]:
        """The specification as it is sent; a job of Blender carries its scene besides."""
        fields: dict[str, Any] = {"name": self.key, "frames": f"{self.frames[0]}-{self.frames[1]}"}
        if self.folder is not None:
            fields["destination"] = f"{ROOT}:{self.folder}"
        if self.renderer == "null":
            settings = {"frame_ms": self.frame_ms, **({"crash_frames": list(self.failing)} if self.failing else {})}
            fields |= {"renderer": "null", "resolution": f"{self.size[0]}x{self.size[1]}", "settings": settings}
        return fields

    def document(self) -> dict[str, Any]:
        """As JSON, for the history."""
        return asdict(self)


def order_of(document: dict[str, Any]) -> Order:
    """An order as the history kept it."""
    fields = {**document, "frames": tuple(document["frames"]), "size": tuple(document["size"])}
    return Order(**{**fields, "failing": tuple(document["failing"])})


@dataclass(frozen=True, slots=True)
class Steering:
    """What a client does to a job after it was accepted: `action` after `wait_s` (for a re-render: after its end)."""

    action: str
    wait_s: float
    frames: tuple[int, int] = (0, 0)


def draw_order(random: Random, key: str) -> Order:
    """A job of the null renderer."""
    first = random.randint(1, 50)
    count = random.choice((1, 5, 8, 12, 20, 30))
    failing = (random.randint(first, first + count - 1),) if random.random() < 0.08 else ()
    folder = f"film/{key}" if random.random() < 0.5 else None
    size = (random.randrange(64, 161, 8), random.randrange(48, 97, 8))
    return Order(key, "null", (first, first + count - 1), size, random.choice((50, 150, 300, 600)), failing, folder)


def draw_film(random: Random, key: str, size: tuple[int, int]) -> Order:
    """A job of Blender."""
    first = random.randint(1, FILM_FRAMES - FILM_FRAMES_PER_JOB + 1)
    folder = f"film/{key}" if random.random() < 0.5 else None
    return Order(key, "blender", (first, first + FILM_FRAMES_PER_JOB - 1), size, folder=folder)


def draw_steering(random: Random, order: Order) -> list[Steering]:
    """Nothing for most jobs."""
    dice, wait_s = random.random(), random.uniform(0.0, 6.0)
    first = random.choice(order.numbers)
    some = (first, min(first + random.randint(0, 4), order.frames[1]))
    if dice < 0.08:
        return [Steering("cancel", wait_s)]
    if dice < 0.16:
        return [Steering("rerender", 0.0, some)]
    if dice < 0.20:
        return [Steering("cancel", wait_s), Steering("rerender", 0.0, some)]
    if dice < 0.30:
        return [Steering("pause", wait_s), Steering("resume", random.uniform(1.0, 8.0))]
    return []
