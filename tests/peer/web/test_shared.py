"""A shared root gives away plain files below it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from peer.web.problems import Refused
from peer.web.shared import take_in
from peer.web.site import Site, WebOptions
from tests.fakes.memory_store import MemoryBlobs, digest_of


class Place:
    """As much of a site as is needed."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.options = WebOptions(version="1", check_scene=lambda *_: None, shared_roots={"shots": root})
        self.blobs = MemoryBlobs(scratch)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    root = tmp_path / "root"
    (root / "010").mkdir(parents=True)
    (root / "010" / "a.blend").write_bytes(b"scene")
    (tmp_path / "secret").write_bytes(b"no")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to(root / "010" / "a.blend")
    return cast(Site, Place(root, tmp_path / "blobs"))


@pytest.mark.parametrize("text", ["shots:010/a.blend", "shots:in", "shots:010\\a.blend"])
async def test_a_file_below_the_root_is_taken_in(site: Site, text: str):
    assert await take_in(site, text, "scene.path") == (digest_of(b"scene"), 5)
    assert await site.blobs.has(digest_of(b"scene"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("shots:out", "bad_path"),
        ("shots:../secret", "bad_path"),
        ("shots:010", "bad_path"),
        ("shots:nothing", "bad_path"),
        ("shots", "bad_path"),
        ("other:a", "no_such_root"),
    ],
)
async def test_what_leads_elsewhere_is_refused(site: Site, text: str, code: str):
    with pytest.raises(Refused) as refused:
        await take_in(site, text, "scene.path")
    assert (refused.value.status, refused.value.code) == (422, code)
