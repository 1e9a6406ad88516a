"""Where a check turns from passing to warning to critical, and that only a change is told."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from peer import selfchecks
from peer.ports import StoreFull
from peer.selfchecks import DISK_CRITICAL_BYTES, DISK_WARNING_BYTES, SelfChecks, disk_check, renderer_check, store_check
from peer.vitals import Vitals, memory_check
from protocol.events import HealthChanged
from tests.waiting import wait_until


class Disk:
    """What `shutil.disk_usage` says: `free` bytes, or an error."""

    def __init__(self) -> None:
        self.free = 100 * 2**30
        self.error: OSError | None = None

    def __call__(self, _folder: Path):
        if self.error is not None:
            raise self.error
        return shutil._ntuple_diskusage(0, 0, self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(shutil, "disk_usage", made)
    return made


def status(told: HealthChanged) -> dict[str, str]:
    return {name: level for name, level, _ in told.checks}


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (0, "critical"),
        (DISK_CRITICAL_BYTES - 1, "critical"),
        (DISK_CRITICAL_BYTES, "warning"),
        (DISK_WARNING_BYTES - 1, "warning"),
        (DISK_WARNING_BYTES, "passing"),
    ],
)
def test_free_space_decides_the_disk(free: int, level: str):
    name, found, text = disk_check(free, Path("/data"))
    assert (name, found) == ("disk", level)
    assert "/data" in text
    assert ("make room" in text) == (level == "critical")


def test_a_failed_commit_is_critical_and_says_why():
    assert store_check(None)[1] == "passing"
    assert store_check(StoreFull("no space")) == ("store", "critical", "no space")


def test_a_peer_without_a_renderer_is_warned_of_and_serves():
    assert renderer_check(None, ())[1:] == ("warning", "being probed")
    assert renderer_check((), ("no libX11", "no bpy"))[1:] == ("warning", "none: no libX11; no bpy")
    assert renderer_check((), ())[1:] == ("warning", "none: not configured")
    assert renderer_check(("blender 5.0.1",), ())[1:] == ("passing", "blender 5.0.1")


async def test_only_a_change_is_told(tmp_path: Path, disk: Disk):
    told: list[HealthChanged] = []
    checks = SelfChecks(folder=tmp_path, tell=told.append)
    await checks.look()
    disk.free -= 2**30
    await checks.look()
    assert len(told) == 1
    assert status(told[0]) == {"disk": "passing", "store": "passing", "renderer": "warning"}
    disk.free = DISK_CRITICAL_BYTES - 1
    await checks.look()
    assert status(told[1])["disk"] == "critical"


async def test_a_data_folder_that_is_gone_is_critical(tmp_path: Path, disk: Disk):
    told: list[HealthChanged] = []
    disk.error = FileNotFoundError(2, "No such file or directory")
    await SelfChecks(folder=tmp_path / "gone", tell=told.append).look()
    [_, level, text] = told[0].checks[0]
    assert level == "critical"
    assert "is gone: No such file or directory" in text


async def test_what_changes_is_looked_at_at_once(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selfchecks, "CHECK_INTERVAL_S", 3_600.0)
    told: list[HealthChanged] = []
    checks = SelfChecks(folder=tmp_path, tell=told.append)
    running = asyncio.create_task(checks.run())
    await wait_until(lambda: told)
    checks.store_error = StoreFull("no space")
    checks.soon()
    await wait_until(lambda: len(told) == 2)
    assert status(told[1])["store"] == "critical"
    checks.renderers = ("null",)
    checks.soon()
    await wait_until(lambda: len(told) == 3)
    running.cancel()


async def test_it_looks_again_by_itself(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selfchecks, "CHECK_INTERVAL_S", 0.0)
    told: list[HealthChanged] = []
    running = asyncio.create_task(SelfChecks(folder=tmp_path, tell=told.append).run())
    await wait_until(lambda: told)
    disk.free = 0
    await wait_until(lambda: len(told) == 2)
    running.cancel()


async def test_vitals_are_told_with_the_others_and_their_figures_alone_are_no_news(tmp_path: Path, disk: Disk):
    told: list[HealthChanged] = []
    free = [16 * 2**30]

    class Few(Vitals):
        async def look(self) -> tuple[selfchecks.Check, ...]:
            return (memory_check(free[0]), ("clock", "passing", "even"))

    checks = SelfChecks(folder=tmp_path, tell=told.append, vitals=Few(tmp_path, last_turn_s=lambda: 0.0, gpus=tuple))
    await checks.look()
    free[0] -= 2**30
    await checks.look()
    assert [list(status(one)) for one in told] == [["disk", "store", "renderer", "memory", "clock"]]
    free[0] = 0
    await checks.look()
    assert status(told[1])["memory"] == "critical"
