"""Finished frames into output roots: never a half-written file under a final name, and no other file than our own gives way.

Performs `Deliver` and answers with one `DeliverEnded`. Decides when a frame counts as dealt with, and what hindered it; refuses
to know jobs and who asked, and leaves it to the root how a file gets its name (`peer.outputs`).
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from peer.outputs.root import Batch, OutputRoot, RootFault, Verdict
from peer.ports import Corrupt
from protocol.effects import Deliver
from protocol.errors import Refusal
from protocol.events import DeliverEnded
from protocol.jobs.destination import serving
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
_CLOSED: Final = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ESTALE, errno.EIO, errno.ENOTCONN))
_log = structlog.get_logger("rendermesh")


class Delivery:
    """Invariants: every Deliver ends in one event; one batch at a time is performed; a file under a final name is whole and
    durable when it is reported."""

    def __init__(self, roots: Mapping[str, OutputRoot], tell: Callable[[DeliverEnded], None]) -> None:
        self._roots = roots
        self._tell = tell
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, effect: Deliver) -> None:
        """Begin; the event comes when all is done or something hinders it."""
        task = asyncio.get_running_loop().create_task(self._deliver(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; what is not in place yet is asked for again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, effect: Deliver) -> None:
        placed: list[Placed] = []
        code, reason = "", ""
        try:
            async with self._one_at_a_time:
                await self._batch(effect, placed)
        except RootFault as fault:
            code, reason = fault.code, str(fault)
        except (Refusal, Corrupt) as fault:
            code, reason = "output_unreachable", str(fault)
        except OSError as fault:
            code, reason = _named(fault, effect.root)
        except Exception as fault:
            _log.error("delivery_broke", exc_info=fault)
            code, reason = "output_root_failed", f"the peer itself failed: {type(fault).__name__}: {fault}"
        self._tell(DeliverEnded(effect.ticket, tuple(placed), code, reason))

    async def _batch(self, effect: Deliver, placed: list[Placed]) -> None:
        served = serving(self._roots, effect.root, effect.folder)
        if served is None:
            raise RootFault("no_output_root", f"this peer has no output root that holds {effect.root} {effect.folder}".rstrip())
        root, folder = served
        batch = await self._roots[root].begin(effect.job)
        for parcel in effect.parcels:
            verdicts = [
                await _one(batch, effect, parcel, f"{folder}/{name}".lstrip("/"), output)
                for name, output in zip(parcel.names, parcel.outputs, strict=True)
            ]
            if "absent" not in verdicts:
                pairs = zip(parcel.names, verdicts, strict=True)
                placed.append(
                    Placed(parcel.frame, parcel.generation, tuple(name for name, verdict in pairs if verdict == "conflict"))
                )


async def _one(batch: Batch, effect: Deliver, parcel: Parcel, name: str, output: Output) -> Verdict:
    """Look at one file, or put it in place."""
    if effect.sweep:
        return "placed" if await batch.holds(name, parcel, output) else "absent"
    return await batch.place(name, parcel, output)


def _named(fault: OSError, root: str) -> tuple[str, str]:
    where = f"output root {root!r}: {fault.filename or ''}: {fault.strerror or fault}"
    if fault.errno in _FULL:
        return "output_root_full", where
    if fault.errno in _CLOSED:
        return "output_root_read_only", where
    return ("output_root_gone" if fault.errno in _GONE else "output_root_failed"), where
