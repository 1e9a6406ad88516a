"""What every renderer of a peer is given by its settings. No logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peer.render.sandbox import OPEN, Sandbox
from protocol import limits


@dataclass(frozen=True, slots=True)
class RendererOptions:
    """`scratch_dir` holds home, caches and temporary files of the renderers; `registry_dir` their pid files.

    `slots` idle processes are kept warm at most; one above `recycle_bytes` of resident memory is not. `environ` is the
    daemon's environment, of which an allow-list is handed on. `memory_bytes` and `cpus` (a count of processors) limit each
    process (None: no limit). Inside `sandbox` scenes are read from the folders `read` alone.
    """

    scratch_dir: Path
    registry_dir: Path
    environ: Mapping[str, str]
    slots: int = 1
    memory_bytes: int | None = None
    recycle_bytes: int = limits.RENDERER_RSS_KEPT_BYTES
    stall_s: float = limits.RENDERER_STALL_S
    sandbox: Sandbox = OPEN
    read: tuple[Path, ...] = ()
    cpus: int | None = None
