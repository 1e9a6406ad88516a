"""One job of the fake mesh: frames and how each ends. It knows nothing of servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

FINAL = ("completed", "failed", "cancelled")


@dataclass
class FakeJob:
    """One job: frames and how each ends; `paused` keeps it from going on."""

    id: str
    name: str
    frames: list[int]
    spec: dict[str, Any]
    owner: str
    files: dict[str, bytes] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    failing: frozenset[int] = frozenset()
    failed: list[int] = field(default_factory=list)
    held_because: list[dict[str, str]] = field(default_factory=list)
    state: str = "queued"
    stands_still: bool = False
    outputs: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def step(self) -> None:
        """Finish one frame more."""
        if self.stands_still or self.state in (*FINAL, "held", "paused"):
            return
        left = [frame for frame in self.frames if frame not in self.done and frame not in self.failed]
        if left:
            self.state = "running"
            bad = left[0] in self.failing
            (self.failed if bad else self.done).append(left[0])
            self._tell("frame_failed" if bad else "frame_done", left[0])
        if len(left) <= 1:
            self.state = "failed" if self.failed else "completed"
            self._tell(f"job_{self.state}", None)

    def _tell(self, event: str, frame: int | None) -> None:
        number = len(self.events) + 1
        time = f"2026-01-02T03:04:{number % 60:02d}Z"
        self.events.append({"id": str(number), "time": time, "event": event, "peer": self.owner, "job": self.id, "frame": frame})

    def contents(self, frame: int) -> list[tuple[str, bytes]]:
        """Names and bytes of a frame's outputs."""
        return self.outputs.get(frame, [(f"{self.name}_{frame:04d}.png", f"{self.name} {frame}".encode() * 1000)])

    def view(self) -> dict[str, Any]:
        """As `/jobs/{id}` shows it."""
        ended = len(self.done) + len(self.failed)
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "priority": int(self.spec.get("priority", 50)),
            "owner": self.owner,
            "epoch": 1,
            "generation": 0,
            "replicas": [self.owner],
            "frames": {
                "total": len(self.frames),
                "pending": len(self.frames) - ended,
                "running": 0,
                "done": len(self.done),
                "failed": len(self.failed),
                "held": 0,
            },
            "progress": ended / len(self.frames),
            "eta_s": None if self.state in FINAL else 2.5 * (len(self.frames) - ended),
            "waiting_because": {"code": "no_slot", "text": "every slot is busy", "remedy": "wait"} if self.stands_still else None,
            "held_because": self.held_because,
            "error": None,
            "submitted_at": "2026-01-02T03:04:05Z",
            "started_at": None,
            "finished_at": None,
            "engine": self.spec.get("engine"),
            "renderer": self.spec.get("renderer", "blender"),
            "labels": self.spec.get("label", []),
            "durability": {"copies": 2},
        }

    def rows(self) -> list[dict[str, Any]]:
        """As `/frames` shows them."""
        return [self._row(frame) for frame in self.frames]

    def _row(self, frame: int) -> dict[str, Any]:
        state = "done" if frame in self.done else "failed" if frame in self.failed else "pending"
        content = self.contents(frame)[0][1] if state == "done" and self.contents(frame) else b""
        return {
            "frame": frame,
            "state": state,
            "peer": self.owner if state != "pending" else None,
            "attempts": 1 if state != "pending" else 0,
            "generation": 0,
            "digest": blake3(content).hexdigest() if content else None,
            "pixel_hash": None,
            "size": len(content) or None,
            "seconds": 0.3 if state == "done" else None,
        }
