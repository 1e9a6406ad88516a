from __future__ import annotations

import os
from pathlib import Path

import pytest

from peer.confinement import confine, links_work
from peer.settings import Settings
from protocol.errors import Invalid


async def test_a_level_that_does_not_work_is_refused_with_what_would_help(tmp_path):
    with pytest.raises(Invalid, match=r"bwrap does not work here: .*not installed.*apt-get install") as caught:
        await confine(Settings(data_dir=tmp_path, sandbox="bwrap"), tmp_path / "work", {"PATH": "/nowhere"})
    assert caught.value.code == "sandbox_unavailable"


async def test_no_level_is_one_that_can_be_asked_for(tmp_path):
    confined = await confine(Settings(data_dir=tmp_path, sandbox="none"), tmp_path / "work", os.environ)
    assert (confined.sandbox.level, confined.blender.sandbox.level) == ("none", "none")


@pytest.mark.sandbox
async def test_what_reads_foreign_files_gets_the_level_and_the_limits(tmp_path):
    settings = Settings(data_dir=tmp_path, renderer_memory="4G", renderer_cpus=2)
    confined = await confine(settings, tmp_path / "work", os.environ)
    options = confined.blender
    assert (options.sandbox.level, options.sandbox.hides) == ("bwrap", tmp_path)
    assert (options.memory_bytes, options.cpus, options.read) == (4 * 2**30, 2, (tmp_path / "trees",))


def test_where_there_are_no_hard_links_the_blobs_are_read_too(tmp_path, monkeypatch):
    assert links_work(tmp_path)

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert not links_work(tmp_path)
