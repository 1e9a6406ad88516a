import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from peer.cli import bounds
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakejob import FakeJob
from tests.peer.cli.fakemesh import FakeMesh, FakePeer
from tests.waiting import wait_until

Program = Callable[..., subprocess.Popen[str]]


def only(mesh: FakeMesh) -> FakeJob:
    (job,) = mesh.jobs.values()
    return job


def test_a_scene_arrives_with_its_fields_and_assets(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path, tmp_path: Path
) -> None:
    odd = scene.parent / "textures" / 'br"ick wall é.png'
    odd.parent.mkdir()
    odd.write_bytes(b"brick")
    sky = tmp_path / "sky.hdr"
    sky.write_bytes(b"sky")
    flags = """--priority 70 --engine CYCLES --samples 16 --resolution 320x180 --format PNG --on-warning accept --threads 2
        --camera Cam --scene-name Main --view-layer VL --durability local --frame-timeout 30 --max-attempts 2 --blender 5.0
        --device cpu --asset textures --label show=a --label shot=b=c -f 1-4""".split()  # noqa: SIM905
    ran = peerctl("submit", scene, "--asset", f"hdr/sky.hdr={sky}", *flags)
    assert ran.code == 0, ran.err
    job = only(mesh)
    assert job.id in ran.out
    files = {"scene:castle.blend": scene.read_bytes(), 'textures/br"ick wall é.png': b"brick", "hdr/sky.hdr": b"sky"}
    assert job.files == files
    assert job.spec == {
        "frames": "1-4", "name": "castle", "priority": "70", "engine": "CYCLES", "samples": "16", "resolution": "320x180",
        "format": "PNG", "on_warning": "accept", "threads": "2", "camera": "Cam", "scene_name": "Main", "view_layer": "VL",
        "durability": "local", "frame_timeout_s": "30", "max_attempts": "2", "blender": "5.0", "device": "cpu",
        "label": ["show=a", "shot=b=c"],
    }  # fmt: skip


def test_a_null_job_needs_no_scene(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl(
        "submit",
        "--renderer",
        "null",
        "--setting",
        "frame_ms=30",
        "--setting",
        "output=none",
        "-f",
        "1-2",
        "--priority",
        "3",
        "-o",
        "name",
    )
    assert ran.code == 0
    assert ran.out == only(mesh).id + "\n"
    sent = next(seen.json for seen in mesh.seen if seen.method == "POST")
    assert sent == {"renderer": "null", "settings": {"frame_ms": 30, "output": "none"}, "frames": "1-2", "priority": 3}


def test_the_acceptance_as_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    ran = peerctl("submit", scene, "--json")
    assert json.loads(ran.out) == {
        "apiVersion": "peerctl/v1", "kind": "Submission", "id": only(mesh).id, "name": "castle", "state": "queued",
        "owner": peer.id, "durability": {"copies": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a SCENE is missing"),
        (["nowhere.blend"], "nowhere.blend"),
        (["castle.blend", "--asset", "nowhere.png"], "nowhere.png"),
        (["castle.blend", "--asset", "/etc/passwd"], "does not stand below the scene's folder"),
        (
            ["castle.blend", "--asset", "x.png=castle.blend", "--asset", "x.png=castle.blend"],
            "two files would be sent as 'x.png'",
        ),
        (["castle.blend", "--setting", "frame_ms"], "--setting"),
        (["--renderer", "null", "--asset", "castle.blend"], "--asset needs a SCENE"),
    ],
)
def test_usage_is_refused_before_anything_is_sent(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path, arguments: list[str], said: str
) -> None:
    ran = peerctl("submit", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not mesh.seen


def test_what_the_peer_refuses_is_shown_with_code_and_remedy(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path
) -> None:
    ran = peerctl("submit", scene, "-f", "48-1")
    assert ran.code == 10
    assert "error: frames: cannot read '48-1'" in ran.err
    assert "code: bad_frames" in ran.err
    assert "next: write for example 1-48" in ran.err
    assert ran.out == ""
    assert not mesh.jobs


@pytest.mark.parametrize(
    ("failing", "code", "state"),
    [(frozenset(), 0, "completed"), (frozenset({2}), 9, "failed"), (frozenset({1, 2, 3}), 1, "failed")],
)
def test_wait_ends_with_what_became_of_the_job(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path, failing: frozenset[int], code: int, state: str
) -> None:
    mesh.prepare = lambda job: setattr(job, "failing", failing)
    ran = peerctl("submit", scene, "--wait", "--json")
    assert ran.code == code
    assert json.loads(ran.out)["state"] == state
    assert "castle: " in ran.err  # plain lines of progress


def test_wait_ends_with_9_when_the_job_is_held(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    def hold(job: FakeJob) -> None:
        job.state = "held"
        job.held_because = [{"code": "missing_image", "text": "brick.png is not there", "remedy": "send it with --asset"}]

    mesh.prepare = hold
    ran = peerctl("submit", scene, "--wait")
    assert ran.code == 9
    assert "brick.png is not there [missing_image]; send it with --asset" in ran.err


def test_wait_no_longer_than_asked(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    mesh.prepare = lambda job: setattr(job, "stands_still", True)
    ran = peerctl("submit", scene, "--wait", "--timeout", "0.05")
    assert ran.code == 8
    assert f"peerctl job {only(mesh).id} --watch" in ran.err


def test_follow_prints_each_event_once(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    ran = peerctl("submit", scene, "--follow", "--json")
    assert ran.code == 0
    told = [(event["event"], event["frame"]) for event in map(json.loads, ran.out.splitlines())]
    assert told == [("frame_done", 1), ("frame_done", 2), ("frame_done", 3), ("job_completed", None)]


def test_frames_are_fetched_as_they_finish(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    ran = peerctl("submit", scene, "--fetch", "out")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in Path("out").iterdir()) == [f"castle_000{frame}.png" for frame in (1, 2, 3)]
    assert Path("out/castle_0002.png").read_bytes() == only(mesh).contents(2)[0][1]
    first = next(index for index, seen in enumerate(mesh.seen) if "/outputs/" in seen.path)
    assert any(seen.path.endswith(only(mesh).id) for seen in mesh.seen[first:]), "nothing was fetched before the end"


def test_ctrl_c_ends_only_the_waiting(mesh: FakeMesh, peer: FakePeer, program: Program, scene: Path) -> None:
    mesh.prepare = lambda job: setattr(job, "stands_still", True)
    process = program("submit", scene, "--wait")
    assert process.stderr is not None
    for line in process.stderr:
        if "castle: " in line:  # the first look at the job: it waits now
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"the job {only(mesh).id} goes on" in err
    assert f"follow it: peerctl job {only(mesh).id} --watch" in err
    assert "Traceback" not in err
    assert out == ""
    assert only(mesh).state == "queued"


async def test_ctrl_c_before_the_acceptance_says_how_to_be_safe(
    mesh: FakeMesh, peer: FakePeer, program: Program, scene: Path
) -> None:
    gone = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST":
            await gone.wait()
        return None

    mesh.mishaps.append(stall)
    process = program("submit", scene)
    await wait_until(lambda: any(seen.method == "POST" for seen in mesh.seen))
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, timeout=20)
    key = next(seen.headers["Idempotency-Key"] for seen in mesh.seen if seen.method == "POST")
    assert process.returncode == 130
    assert f"with --idempotency-key {key} it cannot become two jobs" in err
    assert not mesh.jobs


def test_the_next_host_gets_the_same_key(mesh: FakeMesh, peerctl: Peerctl, scene: Path) -> None:
    gone, alive = mesh.start_peer("gone"), mesh.start_peer("alive")
    gone.stop()
    ran = peerctl("submit", scene, "-H", gone.address, "-H", alive.address)
    assert ran.code == 0
    assert "does not answer; going on with" in ran.err
    assert len(mesh.jobs) == 1


def test_a_host_that_dies_in_mid_upload_makes_no_second_job(mesh: FakeMesh, peerctl: Peerctl, scene: Path) -> None:
    first, second = mesh.start_peer("first"), mesh.start_peer("second")

    async def cut(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and request.url.port == int(first.address.rsplit(":", 1)[1]):
            assert request.transport is not None
            request.transport.abort()
        return None

    mesh.mishaps.append(cut)
    ran = peerctl("submit", scene, "-H", first.address, "-H", second.address)
    assert ran.code == 0, ran.err
    keys = {seen.headers["Idempotency-Key"] for seen in mesh.seen if seen.method == "POST"}
    assert len(keys) == 1
    assert [seen.peer for seen in mesh.seen if seen.method == "POST"] == ["first", "second"]


def test_a_mesh_that_goes_down_with_our_submission_gets_it_again_under_its_key(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DOWN_WAIT_S", 0.01)
    lost = [0]

    async def lose_the_answer(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and lost[0] < 3:
            lost[0] += 1
            assert request.transport is not None
            request.transport.abort()
        return None

    mesh.mishaps.append(lose_the_answer)
    ran = peerctl("submit", scene)
    assert ran.code == 0, ran.err
    keys = [seen.headers["Idempotency-Key"] for seen in mesh.seen if seen.method == "POST"]
    assert len(keys) == 4
    assert len(set(keys)) == len(mesh.jobs) == 1


def test_where_no_peer_was_ever_there_nobody_waits(peerctl: Peerctl) -> None:
    ran = peerctl("submit", "--renderer", "null", "-f", "1-2", "-H", "127.0.0.1:1,127.0.0.1:2")
    assert ran.code == 7
    assert "http://127.0.0.1:1: connection refused; http://127.0.0.1:2: connection refused" in ran.err
    assert "trying again" not in ran.err
    assert "--idempotency-key" not in ran.err


def test_what_ends_without_an_answer_names_the_key(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DOWN_WAIT_S", 0.01)
    monkeypatch.setattr(bounds, "BUSY_TOTAL_S", 0.05)

    async def lose_the_answer(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST":
            assert request.transport is not None
            request.transport.abort()
        return None

    mesh.mishaps.append(lose_the_answer)
    ran = peerctl("submit", scene)
    key = next(seen.headers["Idempotency-Key"] for seen in mesh.seen if seen.method == "POST")
    assert ran.code == 7
    assert f"submitted again with --idempotency-key {key} it cannot become two jobs" in ran.err


def test_two_submissions_draw_two_keys_and_a_given_key_gives_one_job(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path
) -> None:
    peerctl("submit", scene)
    peerctl("submit", scene)
    assert len(mesh.jobs) == 2
    one = peerctl("submit", scene, "--idempotency-key", "k", "-o", "name")
    two = peerctl("submit", scene, "--idempotency-key", "k", "-o", "name")
    assert one.out == two.out
    assert len(mesh.jobs) == 3


def test_a_busy_mesh_is_waited_for(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.busy(2)
    ran = peerctl("submit", "--renderer", "null", "-f", "1-2")
    assert ran.code == 0
    assert ran.err.count("trying again in 0 s") == 2


def test_a_mesh_that_is_busy_for_long_is_not_waited_for(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.busy(1, status=429, retry_after=str(int(bounds.BUSY_WAIT_MAX_S) + 1))
    ran = peerctl("submit", "--renderer", "null", "-f", "1-2")
    assert ran.code == 6
    assert "every slot is taken" in ran.err
    assert not mesh.jobs


def test_last_is_the_job_submitted_last(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    assert peerctl("job", "@last").code == 3
    peerctl("submit", scene)
    assert peerctl("job", "@last", "-o", "name").out.strip() == only(mesh).id


def test_waiting_goes_on_with_a_peer_that_was_never_named(mesh: FakeMesh, peerctl: Peerctl, scene: Path) -> None:
    """The peer that took the job dies while we wait; another of its mesh is asked."""
    first, second = mesh.start_peer("first"), mesh.start_peer("second")
    looks: list[str] = []

    async def die(request: web.Request) -> web.StreamResponse | None:
        if len(looks) > 3 and request.url.port == int(first.address.rsplit(":", 1)[1]):
            assert request.transport is not None
            request.transport.abort()
        if request.path.count("/") == 4:
            looks.append(request.path)
        return None

    mesh.mishaps.append(die)
    ran = peerctl("submit", scene, "-f", "1-9", "--wait", "-H", first.address)
    assert ran.code == 0, ran.err
    assert f"going on with {second.url}" in ran.err
    assert len(only(mesh).done) == 9


def test_waiting_ends_when_no_peer_is_left(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    async def die(request: web.Request) -> web.StreamResponse | None:
        if mesh.jobs and request.method == "GET":
            assert request.transport is not None
            request.transport.abort()
        return None

    mesh.mishaps.append(die)
    ran = peerctl("submit", scene, "--wait", "--patience", "0.1")
    assert ran.code == 7
    assert "an accepted job goes on without us" in ran.err


def test_a_zip_travels_as_it_is_with_the_name_of_its_scene(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, tmp_path: Path
) -> None:
    shot = tmp_path / "shot.zip"
    shot.write_bytes(b"PK and so on")
    ran = peerctl("submit", shot, "--main", "scenes/a.blend", "-f", "1-2")
    assert ran.code == 0, ran.err
    assert "warning" not in ran.err
    assert only(mesh).files == {"scene:shot.zip": b"PK and so on"}
    assert only(mesh).spec == {"frames": "1-2", "name": "shot", "main": "scenes/a.blend"}
