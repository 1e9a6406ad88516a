from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from peer.access import NewKey, key_of
from peer.adminkey import ADMIN_KEY_FILE, Situation, ensure_admin_key, load_or_draw, verdict
from protocol.access.keys import KeyRecord, parse_key
from protocol.access.roles import Role
from protocol.errors import Conflict, Invalid, Unavailable
from protocol.ids import PeerId
from tests.waiting import wait_until

A, B = PeerId("a" * 64), PeerId("b" * 64)
ALONE = Situation(A, keys=0, live=(A,), synced=False, patience_s=0.0)
JOINING = replace(ALONE, patience_s=30.0)
JOINED = replace(JOINING, live=(A, B), synced=True)


@pytest.mark.parametrize(
    ("seen", "waited_s", "said"),
    [
        (ALONE, 0, "make"),
        (replace(ALONE, keys=1), 0, "never"),
        (JOINING, 0, "wait"),
        (JOINING, 30.0 - 0.1, "wait"),
        (JOINING, 30.0, "make"),
        (replace(JOINING, live=(A, B)), 0, "wait"),
        (JOINED, 0, "make"),
        (replace(JOINED, me=B), 0, "wait"),
        (replace(JOINED, me=B), 30.0, "make"),
        (replace(JOINED, keys=1), 30.0, "never"),
        (replace(JOINING, live=(A, B), synced=False, me=A), 0, "wait"),
        (replace(JOINED, keys=3, insists=True), 0, "make"),
    ],
)
def test_who_makes_the_first_key(seen: Situation, waited_s: float, said: str):
    assert verdict(seen, waited_s=waited_s) == said


class Mesh:
    """Keys by id; `refusals` are raised first."""

    def __init__(self, seen: Situation) -> None:
        self.seen = seen
        self.records: dict[str, KeyRecord] = {}
        self.refusals: list[Exception] = []

    def look(self) -> Situation:
        return replace(self.seen, keys=len(self.records) + self.seen.keys)

    async def register(self, drawn: NewKey, *, name: str, role: Role) -> KeyRecord:
        if self.refusals:
            raise self.refusals.pop(0)
        self.records[drawn.id] = KeyRecord(drawn.id, name, role, drawn.hash, 1)
        return self.records[drawn.id]


async def test_the_key_in_the_file_is_the_one_that_was_registered(tmp_path: Path):
    mesh = Mesh(ALONE)
    path = await ensure_admin_key(tmp_path, mesh.look, mesh.register)
    assert path == tmp_path / ADMIN_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parsed = parse_key(path.read_text().strip())
    assert parsed is not None
    drawn = key_of(*parsed)
    assert mesh.records == {drawn.id: KeyRecord(drawn.id, "admin", "admin", drawn.hash, 1)}


async def test_a_mesh_that_has_keys_gets_no_other_one(tmp_path: Path):
    mesh = Mesh(replace(ALONE, keys=1))
    assert await ensure_admin_key(tmp_path, mesh.look, mesh.register) is None
    assert list(tmp_path.iterdir()) == []


async def test_a_joining_peer_waits_for_the_keys_of_the_others(tmp_path: Path):
    mesh = Mesh(JOINING)
    task = asyncio.create_task(ensure_admin_key(tmp_path, mesh.look, mesh.register, wait_poll_s=0.001))
    mesh.seen = replace(JOINED, keys=1)
    assert await task is None
    assert not mesh.records


async def test_a_file_that_a_crash_left_behind_is_used(tmp_path: Path):
    left = load_or_draw(tmp_path / ADMIN_KEY_FILE)
    mesh = Mesh(ALONE)
    await ensure_admin_key(tmp_path, mesh.look, mesh.register)
    assert list(mesh.records) == [left.id]


async def test_a_full_disk_is_waited_out_and_a_refusal_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("peer.adminkey.RETRY_S", 0.001)
    mesh = Mesh(ALONE)
    mesh.refusals = [Unavailable("store_full", "full"), Unavailable("store_full", "full")]
    assert await ensure_admin_key(tmp_path, mesh.look, mesh.register) is not None
    await wait_until(lambda: len(mesh.records) == 1)
    other = Mesh(ALONE)
    other.refusals = [Conflict("key_id_taken", "taken")]
    assert await ensure_admin_key(tmp_path, other.look, other.register) is None


def test_a_damaged_or_open_file_is_refused_without_showing_it(tmp_path: Path):
    path = tmp_path / ADMIN_KEY_FILE
    path.write_text("hunter2")
    path.chmod(0o600)
    with pytest.raises(Invalid, match="holds no key") as damaged:
        load_or_draw(path)
    assert "hunter2" not in str(damaged.value)
    path.chmod(0o644)
    with pytest.raises(Invalid, match="open to other users"):
        load_or_draw(path)


async def test_a_file_that_cannot_be_used_leaves_the_door_closed_and_the_peer_running(tmp_path: Path):
    (tmp_path / ADMIN_KEY_FILE).write_text("hunter2")
    mesh = Mesh(ALONE)
    assert await ensure_admin_key(tmp_path, mesh.look, mesh.register) is None
    assert not mesh.records


async def test_an_operator_who_has_lost_the_key_gets_another_and_the_same_at_each_start(tmp_path: Path):
    mesh = Mesh(replace(ALONE, keys=2, insists=True))
    for _ in range(2):
        assert await ensure_admin_key(tmp_path, mesh.look, mesh.register) == tmp_path / ADMIN_KEY_FILE
    assert len(mesh.records) == 1
