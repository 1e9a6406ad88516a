"""A peer in words: columns, and the word for a whole mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from peer.cli.tables import Column, Item, count, short, text_of


def slots_text(peer: Item) -> str:
    """`1/2` busy slots."""
    slots = peer.get("slots")
    total = count(slots, "total")
    return f"{total - count(slots, 'free')}/{total}" if isinstance(slots, dict) else ""


def renderers_text(peer: Item) -> str:
    """`blender 5.0.1, null`; `none` when it cannot render."""
    rows = _rows(peer.get("capabilities"), "renderers")
    names = [f"{text_of(row, 'renderer') or text_of(row, 'name')} {text_of(row, 'version')}".strip() for row in rows]
    return ", ".join(dict.fromkeys(names)) or "none"


def sandbox_text(peer: Item) -> str:
    """The weakest level at which its renderers confine scenes: `bwrap`, `landlock` or `none`; nothing without a renderer."""
    levels = [text_of(row, "sandbox") or "none" for row in _rows(peer.get("capabilities"), "renderers")]
    return min(levels, key=lambda level: {"landlock": 1, "bwrap": 2}.get(level, 0), default="")


def checks_text(peer: Item) -> str:
    """`passing`, or each check that is not: `disk critical (2 % free)`."""
    rows = _rows(peer.get("checks"), "checks")
    bad = [row for row in rows if text_of(row, "status") not in ("passing", "ok", "")]
    texts = [f"{text_of(row, 'name') or text_of(row, 'id')} {text_of(row, 'status')}{_output(row)}" for row in bad]
    return "; ".join(texts) or ("passing" if rows else "")


def _output(row: Item) -> str:
    output = text_of(row, "output") or text_of(row, "text")
    return f" ({output[:80]})" if output else ""


def _remedy(peer: Item, check: Item) -> str:
    """What to do about a check whose name does not say it."""
    name = text_of(peer, "name") or short(text_of(peer, "id"))
    return f"; once it renders rightly: peerctl readmit {name}" if text_of(check, "name") == "pixels" else ""


def _rows(value: Any, key: str) -> list[Item]:
    """The rows of a list, of an object's `key`, or of an object of name -> row (or name -> status)."""
    if isinstance(value, dict) and isinstance(value.get(key), list):
        value = value[key]
    if isinstance(value, list):
        return [row if isinstance(row, dict) else {"name": str(row)} for row in value]
    if isinstance(value, dict):
        return [
            {"name": name, **row} if isinstance(row, dict) else {"name": name, "status": str(row)} for name, row in value.items()
        ]
    return []


def _rtt(peer: Item) -> str:
    value = peer.get("rtt_ms")
    return f"{value:.1f} ms" if isinstance(value, int | float) else ""


def _labels(peer: Item) -> str:
    labels = peer.get("labels")
    if isinstance(labels, dict):
        return ",".join(f"{key}={value}" for key, value in labels.items())
    return ",".join(str(label) for label in labels) if isinstance(labels, list) else ""


def is_draining(peer: Item) -> bool:
    """Whether it takes no new work."""
    return peer.get("draining") is True


def idle_because(peer: Item) -> list[str]:
    """Why a peer takes no work, each with what to do about it; empty when it does."""
    found = []
    if text_of(peer, "state") not in ("alive", "suspect"):
        found.append(f"it is {text_of(peer, 'state')}; start it again")
    if is_draining(peer):
        found.append(f"it drains; give it work again: peerctl undrain {text_of(peer, 'name') or short(text_of(peer, 'id'))}")
    critical = [row for row in _rows(peer.get("checks"), "checks") if text_of(row, "status") == "critical"]
    found += [f"check {text_of(row, 'name')} is critical{_output(row)}{_remedy(peer, row)}" for row in critical]
    slots = peer.get("slots")
    if isinstance(slots, dict) and count(slots, "total") == 0:
        found.append("it has no slots; start it with --slots 1 or more")
    if renderers_text(peer) == "none":
        reasons = peer.get("renderer_reasons")
        told = [str(reason) for reason in reasons] if isinstance(reasons, list) else []
        found.append("it has no renderer: " + ("; ".join(told) or "see peerctl doctor there"))
    return found


def state_text(peer: Item) -> str:
    """`alive`, `alive, draining`, ..."""
    return text_of(peer, "state") + (", draining" if is_draining(peer) else "")


def mesh_word(peers: Sequence[Item]) -> tuple[str, str]:
    """One word for the mesh, and what is behind it: healthy, degraded (some peer ails) or critical (none can render)."""
    alive = [peer for peer in peers if peer.get("state") == "alive"]
    present = [peer for peer in peers if peer.get("state") != "left"]
    gone = [
        f"{text_of(peer, 'name') or short(text_of(peer, 'id'))} is {text_of(peer, 'state')}"
        for peer in present
        if peer not in alive
    ]
    ailing = [
        f"{text_of(peer, 'name') or short(text_of(peer, 'id'))}: {checks_text(peer)}"
        for peer in alive
        if checks_text(peer) not in ("", "passing")
    ]
    counted = f"{len(alive)} of {len(present)} peers alive"
    if not any(renderers_text(peer) != "none" for peer in alive):
        return "critical", f"{counted}; no live peer can render: see peerctl doctor there"
    if gone or ailing:
        return "degraded", "; ".join([counted, *gone[:5], *ailing[:5]])
    return "healthy", counted


def _while_here(text: Callable[[Item], str]) -> Callable[[Item], str]:
    """Nothing for a peer that is gone: what it said last is not so any more."""
    return lambda peer: text(peer) if text_of(peer, "state") in ("alive", "suspect") else ""


COLUMNS: Final = (
    Column("ID", lambda peer: short(text_of(peer, "id"))),
    Column("NAME", lambda peer: text_of(peer, "name")),
    Column("STATE", state_text),
    Column("ADDRESS", lambda peer: text_of(peer, "address")),
    Column("BUSY", _while_here(slots_text)),
    Column("RENDERERS", renderers_text),
    Column("CHECKS", _while_here(checks_text)),
    Column("SANDBOX", sandbox_text, wide=True),
    Column("RTT", _rtt, wide=True),
    Column("VERSION", lambda peer: text_of(peer, "version"), wide=True),
    Column("LABELS", _labels, wide=True),
)

FIELDS: Final = (
    Column("Id", lambda peer: text_of(peer, "id")),
    Column("Name", lambda peer: text_of(peer, "name")),
    Column("State", state_text),
    Column("Address", lambda peer: text_of(peer, "address")),
    Column("Busy", slots_text),
    Column("Renderers", renderers_text),
    Column("Checks", checks_text),
    Column("Sandbox", sandbox_text),
    Column("RTT", _rtt),
    Column("Version", lambda peer: text_of(peer, "version")),
    Column("Labels", _labels),
    Column("Steals", lambda peer: "\n".join(f"nothing: {why}" for why in idle_because(peer)) or "yes"),
)
