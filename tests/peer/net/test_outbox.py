from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from peer.net import outbox as module
from peer.net.batches import split
from peer.net.outbox import Delivered, Outbox, Outcome, PushedBack, Undelivered
from protocol.ids import Address
from protocol.limits import OUTBOX_BYTES_PER_PEER_MAX, OUTBOX_MESSAGES_PER_PEER_MAX, OUTBOX_REFUSALS_MAX, POST_BYTES_MAX
from tests.waiting import wait_until

HERE = Address("127.0.0.1", 1)


class Far:
    """The other side: remembers every request and answers as told, at last with `Delivered`."""

    def __init__(self, *answers: Outcome) -> None:
        self.answers = list(answers)
        self.posts: list[list[int]] = []
        self.sizes: list[int] = []
        self.addresses: list[Address] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failed: list[tuple[int, Undelivered]] = []

    async def post(self, address: Address, body: bytes) -> Outcome:
        await self.open.wait()
        self.addresses.append(address)
        self.sizes.append(len(body))
        self.posts.append([int(payload.rstrip(b".")) for payload in split(body)])
        return self.answers.pop(0) if self.answers else Delivered()

    def fail(self, message: int, outcome: Undelivered) -> None:
        self.failed.append((message, outcome))


@asynccontextmanager
async def running(far: Far) -> AsyncIterator[Outbox[int]]:
    box: Outbox[int] = Outbox(HERE, far.post, far.fail)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(box.run())
        try:
            yield box
        finally:
            task.cancel()


def offer(box: Outbox[int], number: int, *, size: int = 0) -> bool:
    return box.offer(number, b"%d" % number + b"." * size)


async def test_what_waits_goes_out_in_one_request_in_order():
    far = Far()
    async with running(far) as box:
        for number in range(100):
            assert offer(box, number)
        await box.settled()
    assert far.posts == [list(range(100))]


async def test_a_request_is_under_way_while_others_gather():
    far = Far()
    far.open.clear()
    async with running(far) as box:
        offer(box, 0)
        await wait_until(lambda: box._in_flight == 1)
        for number in range(1, 10):
            offer(box, number)
        assert box.unsettled == 10
        far.open.set()
        await box.settled()
    assert far.posts == [[0], list(range(1, 10))]


async def test_a_request_never_outgrows_what_the_server_takes():
    far = Far()
    async with running(far) as box:
        for number in range(10):
            offer(box, number, size=POST_BYTES_MAX // 3)
        await box.settled()
    assert [number for post in far.posts for number in post] == list(range(10))
    assert max(far.sizes) <= POST_BYTES_MAX


async def test_too_many_messages_are_not_taken():
    far = Far()
    box: Outbox[int] = Outbox(HERE, far.post, far.fail)
    assert all(offer(box, number) for number in range(OUTBOX_MESSAGES_PER_PEER_MAX))
    assert not offer(box, -1)
    assert box.unsettled == OUTBOX_MESSAGES_PER_PEER_MAX


async def test_too_many_bytes_are_not_taken():
    far = Far()
    box: Outbox[int] = Outbox(HERE, far.post, far.fail)
    piece = OUTBOX_BYTES_PER_PEER_MAX // 4
    assert [offer(box, number, size=piece) for number in range(5)] == [True, True, True, False, False]


async def test_a_failed_request_comes_back_and_is_never_sent_again():
    lost = Undelivered(refused=True, reason="refused")
    far = Far(lost)
    async with running(far) as box:
        for number in range(3):
            offer(box, number)
        await box.settled()
        offer(box, 3)
        await box.settled()
    assert far.failed == [(0, lost), (1, lost), (2, lost)]
    assert far.posts == [[0, 1, 2], [3]]


async def test_after_a_push_back_only_the_rest_is_sent_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OUTBOX_REFUSED_WAIT_S", 0)
    far = Far(PushedBack(2), PushedBack(0), PushedBack(1))
    async with running(far) as box:
        for number in range(5):
            offer(box, number)
        await box.settled()
    assert far.posts == [[0, 1, 2, 3, 4], [2, 3, 4], [2, 3, 4], [3, 4]]
    assert far.failed == []


async def test_an_inbox_that_stays_full_fails_the_messages_at_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OUTBOX_REFUSED_WAIT_S", 0)
    far = Far(*[PushedBack(0)] * (OUTBOX_REFUSALS_MAX + 1))
    async with running(far) as box:
        offer(box, 7)
        await box.settled()
    assert far.failed == [(7, Undelivered(refused=False, reason="its inbox stays full"))]


async def test_what_waits_follows_the_peer_to_its_new_address():
    far = Far()
    async with running(far) as box:
        offer(box, 0)
        box.address = Address("127.0.0.1", 2)
        await box.settled()
    assert far.addresses == [Address("127.0.0.1", 2)]


async def test_an_idle_outbox_ends_and_holds_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OUTBOX_IDLE_S", 0.01)
    far = Far()
    box: Outbox[int] = Outbox(HERE, far.post, far.fail)
    offer(box, 0)
    async with asyncio.timeout(10):
        await box.run()
    assert far.posts == [[0]]
    assert box.unsettled == 0
