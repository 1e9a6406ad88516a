from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager

import pytest

from peer.net.resolve import Seed, SeedResolver
from protocol.effects import Notice
from protocol.ids import Address
from tests.waiting import wait_until


class Listener:
    def __init__(self, *seeds: Seed, again_s: float = 0.01, resolve_s: float = 10.0) -> None:
        self.found: list[tuple[Address, ...]] = []
        self.notices: list[Notice] = []
        self.alone = True
        self.resolver = SeedResolver(
            seeds,
            on_found=self.found.append,
            on_notice=self.notices.append,
            is_alone=lambda: self.alone,
            again_s=again_s,
            resolve_s=resolve_s,
        )


@asynccontextmanager
async def running(listener: Listener):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.resolver.run())
        try:
            yield
        finally:
            task.cancel()


async def test_literal_addresses_are_candidates_at_once_and_once_each():
    listener = Listener(("127.0.0.1", 7700), ("::1", 7701), ("127.0.0.1", 7700))
    await listener.resolver.look()
    assert listener.found == [(Address("127.0.0.1", 7700), Address("::1", 7701))]
    assert listener.notices == []


async def test_a_name_gives_its_addresses():
    listener = Listener(("localhost", 7700))
    await listener.resolver.look()
    assert Address("127.0.0.1", 7700) in listener.found[0]


async def test_a_name_that_does_not_resolve_is_one_notice_and_the_others_count(monkeypatch: pytest.MonkeyPatch):
    genuine = socket.getaddrinfo

    def resolve(host: str, *args: object, **kwargs: object):
        if host == "gone.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return genuine(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    listener = Listener(("gone.invalid", 7700), ("127.0.0.1", 7701))
    for _ in range(3):
        await listener.resolver.look()
    assert listener.found == [(Address("127.0.0.1", 7701),)] * 3
    assert [(notice.event, notice.fields["seed"]) for notice in listener.notices] == [("seed_unresolved", "gone.invalid:7700")]


@pytest.mark.parametrize("host", ["a" * 70, "\udcff", "x..y"])
async def test_a_name_that_cannot_be_one_is_a_notice(host: str):
    listener = Listener((host, 7700))
    await listener.resolver.look()
    assert [notice.event for notice in listener.notices] == ["seed_unresolved"]
    assert listener.found == []


async def test_while_alone_it_looks_again_and_in_company_it_rests():
    listener = Listener(("127.0.0.1", 7700))
    async with running(listener):
        await wait_until(lambda: len(listener.found) >= 3)
        listener.alone = False
        await asyncio.sleep(0)
        seen = len(listener.found)
        turns = 0

        def turned() -> bool:
            nonlocal turns
            turns += 1
            return turns > 20

        await wait_until(turned)
        assert len(listener.found) <= seen + 1  # one look may have been under way
        listener.alone = True
        await wait_until(lambda: len(listener.found) > seen + 1)


async def test_in_company_from_the_start_it_still_looks_once():
    listener = Listener(("127.0.0.1", 7700))
    listener.alone = False
    async with running(listener):
        await wait_until(lambda: listener.found)


async def test_a_name_server_that_never_answers_is_a_notice_and_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch):
    answer = threading.Event()

    def resolve(*_: object, **__: object):
        answer.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    listener = Listener(("slow.invalid", 7700), resolve_s=0.02)
    try:
        await listener.resolver.look()
        assert "no answer within" in listener.notices[0].fields["error"]
    finally:
        answer.set()


async def test_without_seeds_nothing_happens():
    listener = Listener()
    async with running(listener):
        await asyncio.sleep(0)
    assert listener.found == []
    assert listener.notices == []
