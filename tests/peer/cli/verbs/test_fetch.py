import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakejob import FakeJob
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


@pytest.fixture
def job(mesh: FakeMesh, peer: FakePeer) -> FakeJob:
    made = mesh.add("castle", [1, 2, 3, 4, 5, 6])
    made.done, made.state = [1, 2, 3, 4, 5, 6], "completed"
    return made


def downloads(mesh: FakeMesh) -> list[str]:
    return [seen.path for seen in mesh.seen if "/outputs/" in seen.path]


def test_into_a_folder_with_the_jobs_name(job: FakeJob, peerctl: Peerctl) -> None:
    ran = peerctl("fetch", "castle")
    assert ran.code == 0, ran.err
    for frame in job.frames:
        assert Path(f"castle/castle_{frame:04d}.png").read_bytes() == job.contents(frame)[0][1]
    assert len(list(Path("castle").iterdir())) == 6


def test_what_is_there_already_is_kept(mesh: FakeMesh, job: FakeJob, peerctl: Peerctl) -> None:
    peerctl("fetch", "castle", "-d", "out")
    Path("out/castle_0003.png").write_bytes(b"damaged")
    mesh.seen.clear()
    ran = peerctl("fetch", "castle", "-d", "out")
    assert "5 were there already" in ran.err
    assert [path.rsplit("/", 1)[1] for path in downloads(mesh)] == ["castle_0003.png"]
    assert Path("out/castle_0003.png").read_bytes() == job.contents(3)[0][1]


def test_only_some_frames(job: FakeJob, peerctl: Peerctl) -> None:
    peerctl("fetch", "castle", "-f", "1-2,4-6x2", "-d", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == [f"castle_000{frame}.png" for frame in (1, 2, 4, 6)]
    assert peerctl("fetch", "castle", "-f", "90").code == 3
    assert peerctl("fetch", "castle", "-f", "9-1").code == 2


def test_frames_that_are_missing_are_named(job: FakeJob, peerctl: Peerctl) -> None:
    job.done, job.failed, job.state = [1], [2, 3, 5], "running"
    job.stands_still = True
    ran = peerctl("fetch", "castle", "--json")
    assert ran.code == 9
    assert "missing (failed): 2-3,5" in ran.err
    assert "missing (pending): 4,6" in ran.err
    document = json.loads(ran.out)
    assert document["missing"] == {"failed": [2, 3, 5], "pending": [4, 6]}
    assert document["files"] == ["castle/castle_0001.png"]
    assert sorted(document) == [
        "apiVersion", "bytes", "dir", "fetched", "files", "job", "kept", "kind", "missing", "problems",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "../../x.png",
        "/etc/x.png",
        "a/../../x.png",
        "..\\x.png",
        "C:x.png",
        "",
        ".",
        "x\n.png",
        "~/x.png",
        "out/../../../x",
        "x" * 1100,
    ],
)
def test_hostile_names_are_not_written(job: FakeJob, peerctl: Peerctl, tmp_path: Path, name: str) -> None:
    job.outputs[2] = [(name, b"evil")]
    ran = peerctl("fetch", "castle", "-d", "deep/out")
    assert ran.code == 1
    assert "frame 2" in ran.err
    assert "leads out of deep/out" in ran.err
    written = {path.name for path in tmp_path.rglob("*.png")}
    assert written == {f"castle_000{frame}.png" for frame in (1, 3, 4, 5, 6)}


def test_a_link_in_the_folder_is_not_followed_out(job: FakeJob, peerctl: Peerctl, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Path("out").mkdir()
    Path("out/sub").symlink_to(outside)
    Path("out/castle_0001.png").symlink_to(outside / "target.png")
    job.outputs[2] = [("sub/x.png", b"evil")]
    assert peerctl("fetch", "castle", "-d", "out").code == 1
    assert list(outside.iterdir()) == []


def test_two_frames_of_one_name_are_not_mixed(job: FakeJob, peerctl: Peerctl) -> None:
    job.outputs = {1: [("same.png", b"one")], 2: [("Same.png", b"two")]}
    ran = peerctl("fetch", "castle", "-d", "out")
    assert ran.code == 1
    assert "has the name of one of frame" in ran.err


def test_several_outputs_of_a_frame_in_folders(job: FakeJob, peerctl: Peerctl) -> None:
    job.outputs[1] = [("a_L.png", b"left"), ("layers/a depth é.exr", b"depth")]
    assert peerctl("fetch", "castle", "-d", "out", "-f", "1").code == 0
    assert Path("out/layers/a depth é.exr").read_bytes() == b"depth"
    assert Path("out/a_L.png").read_bytes() == b"left"


def test_frames_without_a_picture_are_no_problem(mesh: FakeMesh, job: FakeJob, peerctl: Peerctl) -> None:
    job.outputs = {frame: [] for frame in job.frames}
    ran = peerctl("fetch", "castle", "-d", "out")
    assert ran.code == 0
    assert "fetched 0 files" in ran.err


def test_a_wrong_byte_is_never_kept(mesh: FakeMesh, job: FakeJob, peerctl: Peerctl) -> None:
    async def lie(request: web.Request) -> web.StreamResponse | None:
        return web.Response(body=b"rubbish") if request.path.endswith("castle_0002.png") else None

    mesh.mishaps.append(lie)
    ran = peerctl("fetch", "castle", "-d", "out")
    assert ran.code == 1
    assert "does not have the digest" in ran.err
    assert not any("0002" in path.name for path in Path("out").iterdir())
    assert len(list(Path("out").iterdir())) == 5


def test_a_broken_download_is_taken_up_where_it_ended(mesh: FakeMesh, job: FakeJob, peerctl: Peerctl) -> None:
    job.outputs[1] = [("big.png", bytes(range(256)) * 4000)]
    cuts = [1]

    async def cut(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("big.png") or not cuts:
            return None
        cuts.pop()
        response = web.StreamResponse(headers={"Content-Length": "1024000"})
        await response.prepare(request)
        await response.write(job.outputs[1][0][1][:300_000])
        assert request.transport is not None
        request.transport.close()
        return response

    mesh.mishaps.append(cut)
    assert peerctl("fetch", "castle", "-d", "out", "-f", "1").code == 0
    assert Path("out/big.png").read_bytes() == job.outputs[1][0][1]
    ranges = [seen.headers.get("Range") for seen in mesh.seen if seen.path.endswith("big.png")]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert int(ranges[1].removeprefix("bytes=").removesuffix("-")) > 0
    assert [path.name for path in Path("out").iterdir()] == ["big.png"]


def test_a_folder_that_cannot_be_made_is_said_once(job: FakeJob, peerctl: Peerctl) -> None:
    Path("blocked").write_text("a file")
    ran = peerctl("fetch", "castle", "-d", "blocked/out")
    assert ran.code == 1
    assert ran.err.count("cannot write") == 1
    assert "name another folder: -d DIR" in ran.err
