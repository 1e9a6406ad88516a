"""What rendering and inspection report: plain rows, validated where they enter the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from protocol import limits
from protocol.ids import Digest

FailureClass = Literal["scene", "crash", "timeout", "stalled", "verification", "memory", "renderer", "infrastructure"]
WarningClass = Literal["info", "picture"]


def recordable(text: str, chars_max: int = limits.REASON_CHARS_MAX) -> str:
    """`text` as every row and message can hold it: cut to its limit, without the halves of surrogate pairs that stand for
    bytes of file names."""
    return text[:chars_max].encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Output:
    """One verified file of one frame. `size` in bytes, `width` and `height` in pixels.

    `role` is main, left, right, layer or node; `pixel_hash` is BLAKE3-256 over the decoded native-depth pixels.
    """

    role: str
    name: str
    digest: Digest
    pixel_hash: str
    size: int
    width: int
    height: int
    channels: int
    format: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended without outputs. `infrastructure` costs no attempt; `reason` is for people."""

    kind: FailureClass
    reason: str


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One ended attempt: outputs, or a failure. `seconds` is the render's own wall time; `log` a blob of `log_size` bytes."""

    outputs: tuple[Output, ...]
    failure: Failure | None
    seconds: float
    device: str = "cpu"
    log: Digest | None = None
    log_size: int = 0


@dataclass(frozen=True, slots=True)
class SceneWarning:
    """One finding of an inspection. `code` is stable; `remedy` says what to do about it."""

    code: str
    kind: WarningClass
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a scene is, found by opening it. Frames are the scene's own range; `error` means it cannot be rendered."""

    blender: str = ""
    scene: str = ""
    camera: str = ""
    engine: str = ""
    frame_start: int = 1
    frame_end: int = 1
    frame_step: int = 1
    fps: float = 24.0
    width: int = 0
    height: int = 0
    format: str = ""
    warnings: tuple[SceneWarning, ...] = ()
    error: Failure | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one renderer on one peer can do, found by trying it. `version` is major.minor.patch; `sandbox` the level at which
    scenes are confined (see `protocol.jobs.sandboxes`; any other word means none); `kernel` the processor's level, which decides
    the last bits of a picture."""

    renderer: str
    version: str
    build: str
    home: str  # program, bpy or null
    engines: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    oidn: bool = False
    sandbox: str = "none"
    kernel: str = ""
