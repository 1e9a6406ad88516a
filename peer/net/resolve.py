"""Static seeds: names and addresses that the user gave, turned into candidates.

Decides how often to look. Refuses to judge: a name that does not resolve is a notice, and the mesh key decides who is one
of ours. Discovery yields candidates only.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence

from protocol.effects import Notice
from protocol.ids import Address
from protocol.limits import ADDRESSES_PER_SEED_MAX, RESOLVE_AGAIN_S, RESOLVE_S, SEEDS_MAX

Seed = tuple[str, int]  # a name or literal IP address, and a gossip port


class SeedResolver:
    """Invariants: never raises for what a name server says; at most one look-up per seed at a time."""

    def __init__(
        self,
        seeds: Sequence[Seed],
        *,
        on_found: Callable[[tuple[Address, ...]], None],
        on_notice: Callable[[Notice], None],
        is_alone: Callable[[], bool],
        again_s: float = RESOLVE_AGAIN_S,
        resolve_s: float = RESOLVE_S,
    ) -> None:
        """`seeds` are (name or literal IP address, gossip port), at most `SEEDS_MAX` of them.

        `on_found` gets candidates, perhaps this peer's own address among them."""
        assert len(seeds) <= SEEDS_MAX, "settings check it"
        self._seeds = tuple(dict.fromkeys(seeds))
        self._on_found = on_found
        self._on_notice = on_notice
        self._is_alone = is_alone
        self._again_s = again_s
        self._resolve_s = resolve_s
        self._faults: dict[Seed, str] = {}

    async def run(self) -> None:
        """Look at once, and then every `again_s` seconds while this peer is alone. Ends only when cancelled."""
        first = True
        while True:
            if self._seeds and (first or self._is_alone()):
                await self.look()
            first = False
            await asyncio.sleep(self._again_s)

    async def look(self) -> None:
        """Resolve every seed once and tell what was found."""
        found = await asyncio.gather(*(self._resolve(seed) for seed in self._seeds))
        addresses = tuple(dict.fromkeys(address for each in found for address in each))
        if addresses:
            self._on_found(addresses)

    async def _resolve(self, seed: Seed) -> tuple[Address, ...]:
        try:
            async with asyncio.timeout(self._resolve_s):
                addresses = await _look_up(seed)
        except TimeoutError:
            return self._failed(seed, f"no answer within {self._resolve_s:g} s")
        except (OSError, UnicodeError) as error:
            return self._failed(seed, str(error))
        self._faults.pop(seed, None)
        return addresses[:ADDRESSES_PER_SEED_MAX]

    def _failed(self, seed: Seed, fault: str) -> tuple[Address, ...]:
        if self._faults.get(seed) != fault:  # once per fault, not once per look
            self._faults[seed] = fault
            self._on_notice(Notice("seed_unresolved", level="warning", fields={"seed": _text(seed), "error": fault}))
        return ()


def _text(seed: Seed) -> str:
    host, port = seed
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _look_up(seed: Seed) -> tuple[Address, ...]:
    """getaddrinfo on a thread of its own: a dead name server must hold up neither the loop's executor nor our end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[Address, ...]] = loop.create_future()

    def settle(addresses: tuple[Address, ...], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(addresses)
        else:
            answer.set_exception(error)

    def work() -> None:
        addresses: tuple[Address, ...] = ()
        fault: Exception | None = None
        try:
            addresses = _addresses(seed)
        except (OSError, UnicodeError) as error:
            fault = error
        try:
            loop.call_soon_threadsafe(settle, addresses, fault)
        except RuntimeError:  # the loop has ended meanwhile, and with it everybody who asked
            return

    threading.Thread(target=work, name=f"resolve {_text(seed)}", daemon=True).start()
    return await answer


def _addresses(seed: Seed) -> tuple[Address, ...]:
    host, port = seed
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    # A scoped link-local address is of no use to another peer, and without its scope to nobody.
    found = (str(row[4][0]) for row in rows)
    return tuple(dict.fromkeys(Address(each, port) for each in found if not each.lower().startswith("fe80:")))
