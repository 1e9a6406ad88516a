from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.client import MeshClient
from peer.cli.failures import CliError
from peer.cli.fetching import Fetcher, confined, file_digest, safe_folder_name
from peer.cli.settings import Host
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


@given(st.text(alphabet="ab./\\:~ \n\x00é", max_size=12))
def test_no_name_leads_out(name: str) -> None:
    folder = Path("/tmp/some/folder")
    try:
        target = confined(folder, name)
    except CliError:
        return
    assert target.is_relative_to(folder)
    assert target != folder
    assert ".." not in target.parts


@given(st.text(max_size=300))
def test_a_folder_for_any_name(name: str) -> None:
    folder = safe_folder_name(name)
    assert folder
    assert "/" not in folder
    assert "\\" not in folder
    assert not folder.startswith(".")
    assert len(folder) <= 100


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3000
    (tmp_path / "a").write_bytes(data)
    assert file_digest(tmp_path / "a") == blake3(data).hexdigest()


def fetcher(mesh: FakeMesh, peer: FakePeer, folder: Path) -> Fetcher:
    job = mesh.add("castle", list(range(1, 21)))
    job.done = list(job.frames)
    return Fetcher(MeshClient([Host(peer.url)], named=True, say=lambda _: None), {"id": job.id}, folder)


def test_a_part_from_an_earlier_run_is_continued(mesh: FakeMesh, peer: FakePeer, tmp_path: Path) -> None:
    fetch = fetcher(mesh, peer, tmp_path)
    content = next(iter(mesh.jobs.values())).contents(1)[0][1]
    part = tmp_path / f".castle_0001.png.{blake3(content).hexdigest()[:16]}.peerctl-part"
    part.write_bytes(content[:5000])
    assert list(fetch.fetch([1])) == [1]
    assert (tmp_path / "castle_0001.png").read_bytes() == content
    assert mesh.seen[-1].headers["Range"] == "bytes=5000-"
    assert not part.exists()


@pytest.mark.parametrize("left", [b"rubbish" * 100, b"x" * 100_000])
def test_a_damaged_part_costs_only_a_second_download(mesh: FakeMesh, peer: FakePeer, tmp_path: Path, left: bytes) -> None:
    fetch = fetcher(mesh, peer, tmp_path)
    content = next(iter(mesh.jobs.values())).contents(1)[0][1]
    (tmp_path / f".castle_0001.png.{blake3(content).hexdigest()[:16]}.peerctl-part").write_bytes(left)
    list(fetch.fetch([1]))
    assert not fetch.tally.problems
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["castle_0001.png"]
    assert (tmp_path / "castle_0001.png").read_bytes() == content


def test_a_frame_is_fetched_once(mesh: FakeMesh, peer: FakePeer, tmp_path: Path) -> None:
    fetch = fetcher(mesh, peer, tmp_path)
    assert sorted(fetch.fetch(range(1, 21))) == list(range(1, 21))
    assert list(fetch.fetch(range(1, 21))) == []
    assert fetch.tally.fetched == 20


def test_a_frame_that_the_mesh_lost_does_not_stop_the_others(mesh: FakeMesh, peer: FakePeer, tmp_path: Path) -> None:
    fetch = fetcher(mesh, peer, tmp_path)
    next(iter(mesh.jobs.values())).outputs[2] = [("../x", b"evil")]
    assert len(list(fetch.fetch(range(1, 6)))) == 5
    assert (fetch.tally.fetched, len(fetch.tally.problems)) == (4, 1)
