"""Which renderers this peer has, over its life: looked for at its start, soon after one failed to start, and now and then.

Decides when to look, and when a renderer that was found takes the place of the one in use: a Blender that was repaired,
upgraded or taken away is noticed without a restart. Refuses to know how one is found and how frames are rendered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from peer.ports import Renderer
from peer.render.find import Found
from peer.selfchecks import SelfChecks
from peer.workshop import Workshop
from protocol import limits
from protocol.effects import Notice
from protocol.events import RenderersFound
from protocol.jobs.results import Capabilities

Offer = tuple[Renderer, tuple[Capabilities, ...]]


class RendererWatch:
    """Invariants: one renderer per name is in use, and what is told is what the last look has found; one is replaced only
    while nothing is in hand and nothing can come, so that no job meets two versions of Blender in one lease."""

    def __init__(
        self, *, find: Callable[[], Awaitable[Found]], workshop: Workshop, checks: SelfChecks,
        tell: Callable[[RenderersFound], None], on_notice: Callable[[Notice], None], is_idle: Callable[[], bool],
        soon_s: float, again_s: float, quiet_s: float, kernel: str = "",
    ) -> None:  # fmt: skip
        """`find` starts every renderer anew; `is_idle` says whether this peer holds no frames of anybody.

        Two looks are `soon_s` apart at least and `again_s` at most; a question for work is under way for `quiet_s` at most.
        `kernel` is the processor's level, which stands in what is told."""
        self._find, self._workshop, self._checks = find, workshop, checks
        self._tell, self._on_notice, self._is_idle = tell, on_notice, is_idle
        self._kernel = kernel
        self._soon_s, self._again_s, self._quiet_s = soon_s, again_s, quiet_s
        self._used: dict[str, Offer] = {}
        self._told: tuple[tuple[Capabilities, ...], tuple[str, ...], tuple[str, ...]] | None = None
        self._failed: dict[str, None] = {}
        self._asked = asyncio.Event()

    def failed(self, name: str) -> None:
        """The renderer of that name did not start when it was wanted: look soon whether it still can."""
        self._failed[name] = None
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled. A look that lacks a renderer is followed by others, each after twice the time.

        What renders needs no proof: a renderer that works is looked at again only while the peer is idle."""
        wait_s = self._soon_s
        while True:
            complete = await self.look()
            await self._pause(self._again_s if complete else wait_s)
            while complete and not self._failed and not self._is_idle():
                await self._pause(self._again_s)
            wait_s = self._soon_s if complete else min(2 * wait_s, self._again_s)

    async def look(self) -> bool:
        """Look once, and use and tell what is there; whether nothing is missing."""
        suspects, self._failed = self._failed, {}
        self._asked.clear()
        found = await self._find()
        fresh: dict[str, Offer] = {}
        surplus: list[Renderer] = []
        for renderer, able in found.renderers:  # best first
            used = self._used.get(renderer.name)
            same = used is not None and used[1] == able and renderer.name not in suspects
            if renderer.name in fresh:
                surplus.append(renderer)
            elif used is not None and same:
                fresh[renderer.name] = used
                surplus.append(renderer)
            else:
                fresh[renderer.name] = (renderer, able)
        for renderer in surplus:
            await renderer.close()
        self._failed |= dict.fromkeys(name for name in self._used if name not in fresh)  # it starts afresh when it is back
        await self._use(fresh)
        self._say(tuple(one for _, able in fresh.values() for one in able), found.missing, found.absent)
        return not found.missing

    async def _use(self, fresh: Mapping[str, Offer]) -> None:
        """Hand `fresh` to the workshop. Before one gives way, no more work is taken and what is in hand ends."""
        news = {name: offer for name, offer in fresh.items() if self._used.get(name) is not offer}
        replaced = [name for name in news if name in self._used]
        try:
            if replaced:
                heirs = ", ".join(shown(one) for name in replaced for one in news[name][1])
                self._say((), (f"what is in hand ends first, then {heirs} takes over",))
                await self._quiet()
        except BaseException:
            for renderer, _ in news.values():
                await renderer.close()
            raise
        self._used |= news
        await self._workshop.equip({name: renderer for name, (renderer, _) in news.items()})

    async def _quiet(self) -> None:
        """Wait until nothing has been in hand for so long that no answer to a question for work can be under way."""
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        while loop.time() - since_s < self._quiet_s:
            await asyncio.sleep(min(self._quiet_s, limits.DRAIN_POLL_S))
            if not self._is_idle():
                since_s = loop.time()

    def _say(self, able: tuple[Capabilities, ...], missing: tuple[str, ...], absent: tuple[str, ...] = ()) -> None:
        """What is `absent` explains itself to whoever asks why, and is no fault of this peer."""
        if (able, missing, absent) == self._told:
            return
        self._told = able, missing, absent
        self._checks.renderers = tuple(shown(one) for one in able)
        self._checks.reasons = missing
        self._checks.soon()
        able = tuple(replace(one, kernel=self._kernel) for one in able)
        self._tell(RenderersFound(able, (*missing, *absent)))
        fields = {"found": list(self._checks.renderers), "missing": [*missing, *absent]}
        self._on_notice(Notice("renderers_found", "info" if able else "warning", fields=fields))

    async def _pause(self, seconds: float) -> None:
        """So long, or until one has failed; `soon_s` in any case."""
        await asyncio.sleep(min(seconds, self._soon_s))
        try:
            async with asyncio.timeout(seconds - self._soon_s):
                await self._asked.wait()
        except TimeoutError:
            return


def shown(one: Capabilities) -> str:
    """A renderer for people."""
    return f"{one.renderer} {one.version} ({one.home})"
