"""A peer's card: what it says of itself, published through the catalogue under the key `card`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from protocol import limits
from protocol.jobs.results import Capabilities, recordable
from protocol.rows import Reader, pack, unpack_list

CARD_KEY: Final = "card"
_CHECKS_MAX: Final = 64
_REASONS_MAX: Final = 16
_NAME_CHARS_MAX: Final = 128
_OUTPUT_CHARS_MAX: Final = 4_096
CheckStatus = Literal["passing", "warning", "critical"]
DISTRUST: Final = "pixels"  # the check that others hold against a peer whose frames were wrong
CHECK_STATUSES: Final[tuple[CheckStatus, ...]] = ("passing", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Check:
    """One health check of a peer by itself."""

    name: str
    status: CheckStatus
    output: str


@dataclass(frozen=True, slots=True)
class PeerCard:
    """Everything that others need to know to give a peer work or to explain why it has none.

    `url` is the user port's; `renderer_reasons` say why a renderer is missing; `roots` are the names of its output
    roots, and the addresses of those in object stores."""

    name: str = ""
    url: str = ""
    version: str = ""
    slots_total: int = 0
    slots_free: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[Capabilities, ...] = ()
    checks: tuple[Check, ...] = ()
    renderer_reasons: tuple[str, ...] = ()
    draining: bool = False
    roots: tuple[str, ...] = ()

    @property
    def critical(self) -> bool:
        """Whether a check forbids taking work."""
        return any(check.status == "critical" for check in self.checks)

    @property
    def distrusted(self) -> bool:
        """Whether frames of this peer were found to be wrong: what it delivers is not taken."""
        return any(check.name == DISTRUST for check in self.checks)


def capabilities_to_row(capabilities: Capabilities) -> list[Any]:
    """A plain list of the fields in order."""
    c = capabilities
    return [c.renderer, c.version, c.build, c.home, list(c.engines), list(c.devices), c.oidn, c.sandbox, c.kernel]


def capabilities_from_row(row: object) -> Capabilities:
    """Raises `Malformed`."""
    r = Reader(row)
    return Capabilities(
        renderer=r.text(64), version=r.text(64), build=r.text(128), home=r.text(64),
        engines=r.texts(32, 64), devices=r.texts(32, 128), oidn=r.flag(),
        sandbox=r.text(64) if r.more else "none", kernel=r.text(64) if r.more else "",
    )  # fmt: skip


def card_to_bytes(card: PeerCard) -> bytes:
    """The published form. What programs and the system have said is cut until others can read it: a card that they cannot
    read would leave this peer without a name and an address."""
    for chars_max in (_OUTPUT_CHARS_MAX, 400, 40):
        data = pack(_row(card, chars_max))
        if len(data) <= limits.CATALOG_VALUE_BYTES_MAX:
            return data
    return pack(_row(replace(card, checks=(), renderer_reasons=(), capabilities=()), 0))


def _row(card: PeerCard, chars_max: int) -> list[Any]:
    def said(text: str, most: int) -> str:
        return recordable(text, min(most, chars_max))

    reasons = [said(reason, limits.REASON_CHARS_MAX) for reason in card.renderer_reasons[:_REASONS_MAX]]
    checks = [[said(one.name, _NAME_CHARS_MAX), one.status, said(one.output, _OUTPUT_CHARS_MAX)] for one in card.checks]
    return [
        card.name, card.url, card.version, card.slots_total, card.slots_free, [list(pair) for pair in card.labels],
        [capabilities_to_row(item) for item in card.capabilities], checks[:_CHECKS_MAX], reasons, card.draining,
        list(card.roots),
    ]  # fmt: skip


def card_from_bytes(data: bytes) -> PeerCard:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
    return PeerCard(
        name=r.text(256), url=r.text(512), version=r.text(64), slots_total=r.integer(0, 4096), slots_free=r.integer(0, 4096),
        labels=r.each(_label, limits.LABELS_PER_JOB_MAX), capabilities=r.each(capabilities_from_row, 32),
        checks=r.each(_check, _CHECKS_MAX), renderer_reasons=r.texts(_REASONS_MAX), draining=r.flag(),
        roots=r.texts(2 * limits.ROOTS_MAX, limits.ROOT_CHARS_MAX) if r.more else (),
    )  # fmt: skip


def _label(row: object) -> tuple[str, str]:
    r = Reader(row)
    return r.text(limits.LABEL_CHARS_MAX), r.text(limits.LABEL_CHARS_MAX)


def _check(row: object) -> Check:
    r = Reader(row)
    return Check(name=r.text(_NAME_CHARS_MAX), status=r.choice(CHECK_STATUSES), output=r.text(_OUTPUT_CHARS_MAX))
