from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from peer import vitals
from peer.vitals import Vitals, clock_check, fsync_check, gpu_check, loop_check, memory_check, timed_write
from tests.waiting import wait_until


@dataclass
class Clocks:
    wall_s: float = 1_800_000_000.0
    monotonic_s: float = 5_000.0

    def go(self, seconds: float, *, jump_s: float = 0.0) -> None:
        self.wall_s += seconds + jump_s
        self.monotonic_s += seconds


def made(folder: Path, clocks: Clocks, *, devices: tuple[str, ...] = (), gpus: tuple[str, ...] = (), last_turn_s=None) -> Vitals:
    return Vitals(
        folder, last_turn_s=last_turn_s or (lambda: clocks.monotonic_s), gpus=lambda: gpus, devices=devices,
        wall_s=lambda: clocks.wall_s, monotonic_s=lambda: clocks.monotonic_s,
    )  # fmt: skip


async def seen(vitals: Vitals) -> dict[str, str]:
    return {name: status for name, status, _ in await vitals.look()}


async def test_a_healthy_machine_passes_and_leaves_nothing_behind(tmp_path: Path):
    assert await seen(made(tmp_path, Clocks())) == dict.fromkeys(("memory", "fsync", "clock", "loop"), "passing")
    assert list(tmp_path.iterdir()) == []


def test_thresholds():
    assert memory_check(2**40)[1] == "passing"
    assert memory_check(300 * 2**20)[1] == "warning"
    assert memory_check(100 * 2**20)[1] == "critical"
    assert [fsync_check(seconds, None)[1] for seconds in (0.01, 2.0, 6.0, None)] == ["passing", "warning", "critical", "critical"]
    assert fsync_check(None, OSError(28, "No space left on device"))[1:] == (
        "critical", "the data folder cannot be written to: No space left on device"
    )  # fmt: skip
    assert [loop_check(age)[1] for age in (1.0, 10.0, 60.0)] == ["passing", "warning", "critical"]
    assert clock_check(0.0, 0.0)[1] == "warning"


async def test_a_clock_that_jumps_is_a_warning_for_some_minutes(tmp_path: Path):
    clocks = Clocks()
    one = made(tmp_path, clocks)
    clocks.go(5, jump_s=-3_600)
    assert (await seen(one))["clock"] == "warning"
    clocks.go(200)
    assert (await seen(one))["clock"] == "warning"
    clocks.go(200)
    assert (await seen(one))["clock"] == "passing"


async def test_an_engine_that_does_not_turn_is_critical(tmp_path: Path):
    clocks = Clocks()
    one = made(tmp_path, clocks, last_turn_s=lambda: 5_000.0)
    clocks.go(31)
    assert (await seen(one))["loop"] == "critical"


async def test_a_gpu_is_spoken_of_only_where_there_is_one(tmp_path: Path):
    device = tmp_path / "nvidia0"
    device.touch()
    assert "gpu" not in await seen(made(tmp_path, Clocks(), devices=(str(tmp_path / "none"),)))
    assert (await seen(made(tmp_path, Clocks(), devices=(str(device),))))["gpu"] == "warning"
    assert (await seen(made(tmp_path, Clocks(), devices=(str(device),), gpus=("CUDA: RTX",))))["gpu"] == "passing"
    assert "no renderer found a GPU" in gpu_check("/dev/nvidia0", ())[2]


async def test_a_disk_that_hangs_is_critical_and_asked_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers, asked = threading.Event(), []

    def hanging(folder: Path) -> float:
        asked.append(folder)
        answers.wait(30)
        return 0.001

    monkeypatch.setattr(vitals, "timed_write", hanging)
    monkeypatch.setattr(vitals, "FSYNC_CRITICAL_S", 0.02)
    one = made(tmp_path, Clocks())
    assert (await seen(one))["fsync"] == "critical"
    assert (await seen(one))["fsync"] == "critical"
    assert len(asked) == 1
    answers.set()

    async def passes() -> bool:
        return (await seen(one))["fsync"] == "passing"

    await wait_until(passes)
    assert len(asked) == 1


async def test_the_disk_is_asked_again_after_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clocks, asked = Clocks(), list[Path]()

    def write(folder: Path) -> float:
        asked.append(folder)
        return 0.001

    monkeypatch.setattr(vitals, "timed_write", write)
    one = made(tmp_path, clocks)
    await asyncio.gather(one.look())
    clocks.go(59)
    await one.look()
    assert len(asked) == 1
    clocks.go(2)
    await one.look()
    assert len(asked) == 2


async def test_a_folder_that_cannot_be_written_to_is_critical(tmp_path: Path):
    assert (await seen(made(tmp_path / "gone", Clocks())))["fsync"] == "critical"
    with pytest.raises(FileNotFoundError):
        timed_write(tmp_path / "gone")
