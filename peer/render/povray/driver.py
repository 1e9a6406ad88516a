"""The driver of POV-Ray, started by its path: answers the daemon's commands, and starts one povray per frame.

Arguments: the program, folders that it may read, then after `--` descriptor of commands, descriptor of reports, the token that
marks the log. Speaks as Blender's driver does (`peer.render.driver`), so that clocks, logs and the sandbox are the same.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peer.render.driver.channel import Channel
    from peer.render.povray.plan import Plan
    from peer.render.povray.program import Ended

ENGINE = "POV-Ray"
_TELL_APART_S = 0.2


def lend_names(folder: Path) -> None:
    """Make `peer.render.driver.*` and `peer.render.povray.*` importable: nothing else of the daemon exists in this process."""
    places = {"driver": [str(folder.parent / "driver")], "povray": [str(folder)]}
    for name, paths in (("peer", []), ("peer.render", []), *((f"peer.render.{one}", path) for one, path in places.items())):
        module = types.ModuleType(name)
        module.__path__ = paths
        sys.modules[name] = module


class Worker:
    """Holds the plan of the opened scene between commands."""

    def __init__(self, channel: Channel, program: str, read: list[str]) -> None:
        from peer.render.povray.program import Program

        self._channel = channel
        self._program = Program(program, read)
        self._plan: Plan | None = None
        self._tree = ""
        self._threads = 1
        self.identity = self._program.identity()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one command and return its result. Raises `Refused` with the class of the failure."""
        from peer.render.driver.refusal import Refused

        match command["do"]:
            case "hello":
                return {**self.identity, "engines": [ENGINE], "devices": ["cpu"], "oidn": False}
            case "open":
                return {"notes": self._open(command).notes}
            case "inspect":
                try:
                    return self._inspect(command)
                except Refused as refused:
                    return {**self.identity, "error": {"kind": refused.kind, "reason": str(refused)[:2000]}}
            case "render":
                return self._render(command)
            case what:
                raise Refused("renderer", f"the driver does not know the command {what!r}")

    def _open(self, command: dict[str, Any]) -> Plan:
        from peer.render.povray.plan import make_plan
        from peer.render.povray.references import finder, walk

        self._plan = None
        tree = Path(command["tree"])
        plan = make_plan(tree, command["main"], command["settings"])
        folders = [*plan.folders, *self._program.libraries()]
        self._seen = walk(plan.source, finder(folders), lambda path: path.is_relative_to(tree))
        self._libraries = folders
        self._threads = plan.threads or (1 if self._seen.words else _processors())
        self._plan, self._tree = plan, str(tree)
        return plan

    def _inspect(self, command: dict[str, Any]) -> dict[str, Any]:
        from peer.render.povray import findings, output

        plan = self._open(command)
        ended = self._run(plan, plan.begin, "none.png", lambda done, of: None, parse_only=True)
        lost = [] if ended.parsed else output.lost(ended.text)
        error = None
        if not ended.parsed and not lost:
            error = {"kind": self._kind(ended), "reason": self._reason(ended)}
        return {
            **self.identity, "scene": plan.source.name, "camera": "camera" if self._seen.camera else "", "engine": ENGINE,
            "frame_start": plan.begin, "frame_end": plan.end, "frame_step": 1, "fps": 24.0,
            "width": plan.width, "height": plan.height, "format": plan.format,
            "warnings": findings.warnings(plan, self._seen, self._of_kinds(lost)), "notes": plan.notes, "error": error,
        }  # fmt: skip

    def _of_kinds(self, lost: list[Any]) -> list[Any]:
        """What POV-Ray did not find, as what the text says that it is; names that the text does not have stay files."""
        known = {use.name: use for use in self._seen.missing}
        return [known.get(use.name, use) for use in lost]

    def _render(self, command: dict[str, Any]) -> dict[str, Any]:
        from peer.render.driver.refusal import Refused

        plan = self._opened()
        frame, folder, last = int(command["frame"]), Path(command["folder"]), 0.0

        def progress(done: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _TELL_APART_S:
                last = time.monotonic()
                self._channel.send({"id": command["id"], "event": "progress", "sample": done, "of": of})

        raw = folder / "raw"
        raw.mkdir()
        began = time.monotonic()
        ended = self._run(plan, frame, str(raw / f"out{plan.suffix}"), progress)
        if ended.code != 0:
            raise Refused(self._kind(ended), self._reason(ended))
        written = sorted(raw.glob(f"out*{plan.suffix}"))
        if len(written) != 1:
            raise Refused("scene", f"POV-Ray ended well and wrote {len(written)} pictures, not one")
        name = f"main_{frame:04d}{plan.suffix}"
        written[0].rename(folder / name)
        file = {
            "role": "main", "name": name, "width": plan.width, "height": plan.height, "channels": plan.channels,
            "format": plan.format,
        }  # fmt: skip
        return {"files": [file], "seconds": time.monotonic() - began, "device": "cpu"}

    def _run(self, plan: Plan, frame: int, target: str, progress: Any, *, parse_only: bool = False) -> Ended:
        from peer.render.povray.plan import lines

        place = Path(tempfile.mkdtemp(prefix="frame-"))
        try:
            ini = lines(plan, frame, str(place / target) if parse_only else target, self._threads, self._libraries)
            return self._program.run(
                ini, place, parse_s=plan.parse_s, on_line=_say, on_progress=progress, parse_only=parse_only
            )  # fmt: skip
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _kind(self, ended: Ended) -> str:
        from peer.render.povray.output import kind

        found = kind(ended.text)
        return "crash" if ended.code < 0 and found == "scene" else found

    def _reason(self, ended: Ended) -> str:
        from peer.render.povray.output import reason

        how = f" (signal {-ended.code})" if ended.code < 0 else ""
        return f"POV-Ray: {reason(ended.text, self._tree)}{how}"

    def _opened(self) -> Plan:
        from peer.render.driver.refusal import Refused

        if self._plan is None:
            raise Refused("infrastructure", "no scene is open in this renderer")
        return self._plan


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def serve(channel: Channel, program: str, read: list[str]) -> None:
    """Answer until the pipe of commands closes."""
    from peer.render.driver.refusal import Refused

    try:
        worker = Worker(channel, program, read)
    except (Refused, OSError) as error:
        channel.send({"event": "missing", "text": str(error)})
        return
    channel.send({"event": "ready", **worker.identity})
    while (command := channel.receive()) is not None:
        channel.send({"id": command["id"], "event": "began"})
        try:
            report = {"event": "done", "result": worker.answer(command)}
        except Refused as refused:
            report = {"event": "failed", "kind": refused.kind, "reason": str(refused)[:2000]}
        except MemoryError:
            report = {"event": "failed", "kind": "memory", "reason": "the renderer ran out of memory"}
        except OSError as error:
            report = {"event": "failed", "kind": "infrastructure", "reason": f"{error.strerror or error}"[:2000]}
        except Exception as error:
            traceback.print_exc()
            report = {
                "event": "failed",
                "kind": "renderer",
                "reason": f"the driver failed: {type(error).__name__}: {error}"[:2000],
            }
        channel.mark(command["id"])
        channel.send({"id": command["id"], **report})


def main(arguments: list[str]) -> None:
    """Serve until the pipe of commands closes."""
    lend_names(Path(__file__).resolve().parent)
    from peer.render.driver.channel import Channel, end_process

    at = arguments.index("--")
    commands, reports, token = arguments[at + 1 : at + 4]
    channel = Channel(int(commands), int(reports), token)
    channel.beat()
    serve(channel, arguments[0], arguments[1:at])
    end_process(0)


if __name__ == "__main__":
    main(sys.argv[1:])
