from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from peer.confinement import confine, where_links_lead
from peer.settings import Settings
from protocol.errors import Invalid


@pytest.fixture
def data(tmp_path) -> Path:
    """A data folder as the store makes it."""
    for name in ("blobs", "trees", "work"):
        (tmp_path / name).mkdir()
    return Path(tmp_path)


async def test_a_level_that_does_not_work_is_refused_with_what_would_help(data):
    with pytest.raises(Invalid, match=r"bwrap does not work here: .*not installed.*apt-get install") as caught:
        await confine(Settings(data_dir=data, sandbox="bwrap"), data / "work", {"PATH": "/nowhere"})
    assert caught.value.code == "sandbox_unavailable"


async def test_no_level_is_one_that_can_be_asked_for(data):
    confined = await confine(Settings(data_dir=data, sandbox="none"), data / "work", os.environ)
    assert (confined.sandbox.level, confined.renderers.sandbox.level) == ("none", "none")


@pytest.mark.sandbox
async def test_what_reads_foreign_files_gets_the_level_and_the_limits(data):
    settings = Settings(data_dir=data, renderer_memory="4G", renderer_cpus=2)
    confined = await confine(settings, data / "work", os.environ)
    options = confined.renderers
    assert (options.sandbox.level, options.sandbox.hides) == ("bwrap", data)
    assert (options.memory_bytes, options.cpus, options.read) == (4 * 2**30, 2, (data / "trees",))


def test_where_there_are_no_hard_links_the_blobs_are_read_too(data, monkeypatch):
    assert where_links_lead(data, data / "work") == ()

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert where_links_lead(data, data / "work") == (data / "blobs",)


def test_blobs_on_a_disk_of_their_own_are_read_where_they_lie(data):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == data.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=memory) as place:
        (data / "blobs").rmdir()
        (data / "blobs").symlink_to(place)
        assert where_links_lead(data, data / "work") == (Path(place),)


@pytest.mark.sandbox
async def test_what_a_trial_leaves_behind_when_it_is_killed_goes_at_the_next_start(data, monkeypatch):
    made: list[Path] = []
    make = tempfile.mkdtemp

    def noted(*given: Any, **more: Any) -> str:
        made.append(Path(make(*given, **more)))
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    await confine(Settings(data_dir=data), data / "work", os.environ)
    assert len(made) > 1
    assert {path.parent for path in made} == {data / "work"}
