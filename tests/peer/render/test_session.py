"""A session over a process that a test plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peer.ports import RenderFailed
from peer.render.requests import Answer
from peer.render.session import DriverSession
from protocol.jobs.results import Failure
from tests.peer.render.pictures import nothing


class Played:
    """Answers every command with one file, or dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 7
        self.busy = False
        self.failure: Failure | None = None
        self.asked: list[dict[str, Any]] = []
        self.released: list[bool] = []

    def outbox(self) -> Path:
        made = self.folder / f"out{len(self.asked)}"
        made.mkdir()
        return made

    async def ask(self, command: dict[str, Any], **more: Any) -> Answer:
        self.asked.append({**command, **more})
        if self.failure is not None:
            raise RenderFailed(self.failure)
        (Path(command["folder"]) / "main_0001.png").write_text("pixels")
        (Path(command["folder"]) / "more.txt").write_text("not reported")
        row = {"role": "main", "name": "main_0001.png", "width": 4, "height": 4, "channels": 3, "format": "PNG"}
        return Answer(json.loads(json.dumps({"files": [row], "seconds": 0.5, "device": "cpu"})), "said")

    async def release(self, process: object, reuse: bool) -> None:
        self.released.append(reuse)


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path)


def session(played: Played) -> DriverSession:
    return DriverSession(played, played.release, 9.0)  # type: ignore[arg-type]


async def test_what_was_reported_is_moved_out_of_the_process_reach(played, tmp_path):
    attempt = tmp_path / "attempt"
    attempt.mkdir()
    rendered = await session(played).render(1, attempt, nothing)
    assert [file.path for file in rendered.files] == [attempt / "main_0001.png"]
    assert [path.name for path in attempt.iterdir()] == ["main_0001.png"]
    assert not (tmp_path / "out0").exists()
    assert (played.asked[0]["frame"], played.asked[0]["timeout_s"]) == (1, 9.0)


async def test_a_failed_frame_leaves_no_folder(played, tmp_path):
    played.failure = Failure("crash", "it died")
    with pytest.raises(RenderFailed, match="it died"):
        await session(played).render(1, tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("busy", "reused"), [(False, True), (True, False)])
async def test_only_an_idle_process_is_given_back_and_once(played, tmp_path, busy, reused):
    played.busy = busy
    opened = session(played)
    await opened.close()
    await opened.stop()
    assert played.released == [reused]
    with pytest.raises(RenderFailed, match="session is closed"):
        await opened.render(1, tmp_path, nothing)
