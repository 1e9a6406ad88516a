"""Commands one after the other: read, do, report. The next one may already wait in the pipe; there is no round trip.

Reports of a command: `began`, any number of `progress`, then `done` with a result or `failed` with kind and reason.
"""

from __future__ import annotations

import traceback
from typing import Any

from peer.render.driver import engines, frame, inspection, opening
from peer.render.driver.channel import Channel
from peer.render.driver.refusal import Refused


class Worker:
    """Holds the opened scene between commands. Invariant: a command that failed to open leaves none behind."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._scene: opening.Opened | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one command and return its result. Raises `Refused` with the class of the failure."""
        what = command["do"]
        if what == "hello":
            return engines.hello()
        if what == "try":
            return engines.try_graphics(command["folder"])
        if what == "open":
            self._open(command)
            return {"notes": self._opened().notes}
        if what == "inspect":
            return self._inspect(command)
        if what == "render":
            report = frame.Reporter(self._channel, command["id"])
            return frame.render(self._opened(), command["frame"], command["folder"], report)
        raise Refused("renderer", f"the driver does not know the command {what!r}")

    def _open(self, command: dict[str, Any]) -> None:
        self._scene = None
        self._scene = opening.open_scene(command["tree"], command["main"], command["settings"])

    def _inspect(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            self._open(command)
        except Refused as refused:
            return inspection.broken(refused)
        return inspection.inspect(self._opened(), command["tree"])

    def _opened(self) -> opening.Opened:
        if self._scene is None:
            raise Refused("infrastructure", "no scene is open in this renderer")
        return self._scene


def serve(channel: Channel) -> None:
    """Answer until the pipe of commands closes."""
    worker = Worker(channel)
    channel.send({"event": "ready", **engines.identity()})
    while (command := channel.receive()) is not None:
        channel.send({"id": command["id"], "event": "began"})
        report = _report(worker, command)
        channel.mark(command["id"])
        channel.send({"id": command["id"], **report})


def _report(worker: Worker, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"event": "done", "result": worker.answer(command)}
    except Refused as refused:
        return {"event": "failed", "kind": refused.kind, "reason": str(refused)[:2000]}
    except MemoryError:
        return {"event": "failed", "kind": "memory", "reason": "the renderer ran out of memory"}
    except Exception as error:
        traceback.print_exc()
        return {"event": "failed", "kind": "renderer", "reason": f"the driver failed: {type(error).__name__}: {error}"[:2000]}
