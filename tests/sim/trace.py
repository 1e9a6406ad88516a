"""What happened, as one line per step, and a digest over all of it: the same seed must give the same digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from protocol.effects import Inspect, Persist, Render, SendDatagram, SendStream
from protocol.events import Booted, DatagramReceived, StreamReceived


def brief(what: Any) -> str:
    """A step's event or effect in few words, the same in every process."""
    match what:
        case None:
            return "deadline"
        case Booted(facts, values):
            return f"Booted({len(facts)} facts, {len(values)} values)"
        case DatagramReceived(sender, _, trusted, messages):
            return f"Datagram({sender[:6]}{'' if trusted else '?'} {' '.join(type(one).__name__ for one in messages)})"
        case StreamReceived(sender, message):
            return f"Stream({sender[:6]} {brief(message)})"
        case SendDatagram(address, _, messages):
            return f"->{address} {' '.join(type(one).__name__ for one in messages)}"
        case SendStream(peer, _, message):
            return f"=>{peer[:6]} {brief(message)}"
        case Persist(records):
            return f"Persist({', '.join(_record(record) for record in records)})"
        case Render(task, slot, job, frame=frame):
            return f"Render({task} slot {slot} {job[:6]} frame {frame})"
        case Inspect(task, slot, job):
            return f"Inspect({task} slot {slot} {job[:6]})"
    return _shortened(what)


def _record(record: Any) -> str:
    fact = getattr(record, "fact", None)
    if fact is None:
        return _shortened(record)
    return f"{fact.job[:6]} {fact.author[:4]}.{fact.seq} {_shortened(fact.body)}"


def _shortened(what: Any) -> str:
    fields = [f"{name}={_value(getattr(what, name))}" for name in getattr(what, "__slots__", ())]
    return f"{type(what).__name__}({' '.join(fields)})"


def _value(value: Any) -> str:
    match value:
        case bytes():
            return f"<{len(value)}>"
        case str():
            return value[:8] if len(value) in (32, 64) else value[:60]
        case float():
            return f"{value:.4f}"
        case tuple() | list() if len(value) > 12:
            return f"[{len(value)}]"
        case tuple() | list():
            return "[" + " ".join(_value(one) for one in value) + "]"
        case dict():
            return "{" + " ".join(f"{key}:{_value(one)}" for key, one in value.items()) + "}"
    return _shortened(value)[:300] if hasattr(value, "__slots__") and not isinstance(value, int) else str(value)[:60]


class Trace:
    """Counts what happened and digests it; with a file, writes it down. Invariant: nothing in it depends on hashes of text."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._file = file
        self.counts: Counter[str] = Counter()
        self.steps = 0

    def step(self, at: float, host: str, event: Any, effects: Sequence[Any]) -> None:
        """One step of one node."""
        self.steps += 1
        names = " ".join(type(effect).__name__ for effect in effects)
        self._hash.update(f"{at:.6f} {host} {type(event).__name__} {names}\n".encode())
        if self._file is not None:
            said = " ; ".join(brief(effect) for effect in effects)
            self._file.write(f"{self.steps:7} {at:11.6f} {host} {brief(event)}{' -> ' if said else ''}{said}\n")

    def bytes(self, data: bytes) -> None:
        """Something went over a wire."""
        self._hash.update(data)

    def note(self, at: float, text: str) -> None:
        """Something happened to the world."""
        self._hash.update(f"{at:.6f} {text}\n".encode())
        if self._file is not None:
            self._file.write(f"        {at:11.6f} -- {text}\n")

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def digest(self) -> str:
        """32 hex digits over every step so far."""
        return self._hash.hexdigest()
