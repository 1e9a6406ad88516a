"""Which renders of one frame may be compared, and how closely: by comparability class, else by tolerance, else not at all.

Cycles on the CPU gives equal pixels within one class. Other processors round otherwise: their pixels differ by less than a
step of 8 bits, but for single samples. Another version, another build without the denoiser or another device gives another
picture with nothing wrong in it, and is no evidence. Refuses to know where pixels are and who is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.cards import PeerCard
from protocol.jobs.results import FrameResult, Output
from protocol.jobs.sandboxes import meets
from protocol.signals import WorkOpened

OUTLIERS_WITHIN: Final = 0.0  # of the samples of a picture, how many may be off by more than a step within one class
OUTLIERS_ACROSS: Final = 0.001  # and between two classes
_PORTABLE: Final = "CYCLES"  # the engine whose pixels are the same picture on every processor
_PROCESSOR: Final = "cpu"


@dataclass(frozen=True, slots=True)
class RenderClass:
    """What decides the pixels of a frame besides scene and settings. `kernel` is the processor's level, as Cycles picks it."""

    renderer: str
    version: str
    build: str
    engine: str
    device: str
    kernel: str
    oidn: bool


def class_of(work: WorkOpened, card: PeerCard, device: str) -> RenderClass | None:
    """In which class a peer with this card renders the job on `device`; None: it cannot."""
    for one in card.capabilities:
        fits = not work.blender or ".".join(one.version.split(".")[:2]) == work.blender
        if one.renderer == work.spec.renderer and fits and meets(one.sandbox, work.spec.sandbox):
            return RenderClass(one.renderer, one.version, one.build, work.engine, device, one.kernel, one.oidn)
    return None


def outliers(one: RenderClass, other: RenderClass) -> float | None:
    """Which share of the samples of two renders may be off by more than a step; None: they cannot be compared."""
    if one == other:
        return OUTLIERS_WITHIN
    same_picture = (one.renderer, one.version, one.engine, one.oidn) == (other.renderer, other.version, other.engine, other.oidn)
    on_processors = one.device.lower() == other.device.lower() == _PROCESSOR
    return OUTLIERS_ACROSS if same_picture and on_processors and one.engine == _PORTABLE else None


def same_shape(one: FrameResult, other: FrameResult) -> bool:
    """Whether two results have the same files, as far as it does not depend on pixels."""
    return [_shape(output) for output in in_order(one)] == [_shape(output) for output in in_order(other)]


def same_pixels(one: FrameResult, other: FrameResult) -> bool:
    """Whether two results have the same files with the same pixels."""
    hashes = [[output.pixel_hash for output in in_order(result)] for result in (one, other)]
    return same_shape(one, other) and hashes[0] == hashes[1]


def in_order(result: FrameResult) -> list[Output]:
    """A result's files in an order that does not depend on who rendered it."""
    return sorted(result.outputs, key=lambda output: (output.role, output.name))


def _shape(output: Output) -> tuple[str, str, int, int, int, str]:
    return output.role, output.name, output.width, output.height, output.channels, output.format
