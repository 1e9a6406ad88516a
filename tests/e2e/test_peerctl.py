"""peerctl against real peers: what is interrupted says how it goes on, and what is asked of one peer another can answer."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from tests.waiting import wait_until

SLOW = ("--renderer", "null", "--setting", "frame_ms=300")


async def test_ctrl_c_in_a_wait_ends_the_waiting_alone_and_says_how_to_follow(mesh):
    first, second = await mesh.start_many("first", "second")
    waiting = mesh.begin_peerctl(first, "submit", *SLOW, "-f", "1-20", "--wait")
    await wait_until(lambda: any(row["frames"]["done"] >= 1 for row in first.get("/jobs")["jobs"]))
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    [job] = first.get("/jobs")["jobs"]
    assert f"peerctl job {job['id']}" in said
    assert "goes on" in said
    assert (await second.until_ended(job["id"]))["state"] == "completed"


async def test_a_wait_outlives_the_peer_that_was_asked(mesh):
    """The client has learnt the other peers; the job is the owner's, and it was another one that was asked."""
    owner, asked = await mesh.start_many("owner", "asked")
    job = owner.submit(frames="1-30", settings={"frame_ms": 300})
    await wait_until(lambda: any(row["id"] == job for row in asked.get("/jobs")["jobs"]))

    def asked_for_peers() -> float:
        return asked.metric("rendermesh_http_requests_total", route="/api/v1/peers", method="GET")

    before = asked_for_peers()
    waiting = mesh.begin_peerctl(asked, "job", job, "--watch")
    await wait_until(lambda: asked_for_peers() > before)
    assert owner.get(f"/jobs/{job}")["state"] == "running"
    asked.kill()
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, said
    assert f"going on with {owner.url}" in said
    assert (await owner.until_ended(job))["state"] == "completed"


async def test_the_day_of_a_user_in_verbs(mesh):
    first, second = await mesh.start_many("first", "second")

    def run(*arguments: str, code: int = 0) -> str:
        done = mesh.peerctl(second, *arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout

    assert "2 of 2 peers alive" in run("status")
    job = run("submit", *SLOW, "-f", "1-40", "--name", "castle", "-o", "name").strip()
    run("pause", "castle")
    run("priority", "castle", "90")
    assert run("jobs", "-o", "name").split() == [job]
    assert json.loads(run("job", "castle", "--json"))["state"] == "paused"
    run("resume", "castle")
    assert (await second.until_ended(job))["state"] == "completed"
    assert "castle" in run("jobs")
    assert len(json.loads(run("frames", "@last", "--json"))["frames"]) == 40
    assert "null renderer: frame 3" in run("logs", "castle", "--frame", "3")
    folder = mesh.folder / "castle"
    run("fetch", "castle", "-d", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == [f"castle_{number:04d}.png" for number in range(1, 41)]
    again = json.loads(run("fetch", "castle", "-d", str(folder), "--json"))
    assert (again["fetched"], again["kept"]) == (0, 40)
    assert "frame_committed" in run("events")
    assert {row["name"] for row in json.loads(run("peers", "--json"))["peers"]} == {"first", "second"}
    run("drain", "first")
    await wait_until(lambda: first.get(f"/peers/{first.id}")["draining"])
    run("undrain", "first")
    assert re.search(r"port\s+\S+\s+flag --port", run("config", "show", "--origin"))
    run("rm", "castle")
    run("job", "castle", code=3)


async def test_a_cancelled_job_keeps_its_finished_frames_and_ends_with_1(mesh):
    [peer] = await mesh.start_many("alone")
    job = peer.submit(frames="1-200", settings={"frame_ms": 100})
    await wait_until(lambda: peer.job(job)["frames"]["done"] >= 2)
    assert mesh.peerctl(peer, "cancel", job).returncode == 0
    assert (await peer.until_ended(job))["state"] == "cancelled"
    folder = mesh.folder / "some"
    assert mesh.peerctl(peer, "fetch", job, "-d", str(folder)).returncode == 9
    assert 2 <= len(list(folder.iterdir())) < 200


async def test_failed_frames_can_be_fetched_around_and_tried_again(mesh):
    [peer] = await mesh.start_many("alone")
    folder = mesh.folder / "out"
    arguments = ("--renderer", "null", "--setting", "fail_frames=[2]", "--max-attempts", "1", "-f", "1-3")
    done = mesh.peerctl(peer, "submit", *arguments, "--wait", "--fetch", str(folder))
    assert done.returncode in (1, 9), done.stderr
    assert len(list(folder.iterdir())) == 2
    [job] = peer.get("/jobs")["jobs"]
    assert "frame 2" in mesh.peerctl(peer, "why", job["id"]).stdout
    assert mesh.peerctl(peer, "retry", job["id"]).returncode == 0
    await wait_until(lambda: peer.frames(job["id"])[1]["attempts"] >= 1 and peer.job(job["id"])["state"] == "failed")


async def test_why_says_what_keeps_a_peer_from_work_whichever_peer_is_asked(mesh):
    worker = await mesh.start("worker")
    bare = await mesh.start("bare", "--blender", "/nowhere/blender", renderer="blender")
    shelf = await mesh.start("shelf", "--slots", "0")

    def knows_all(peer) -> bool:
        probed = [row for row in peer.peers() if row["capabilities"] or row["renderer_reasons"]]
        return {row["name"]: bool(row["capabilities"]) for row in probed} == {"worker": True, "bare": False, "shelf": True}

    def why(subject: str, *more: str) -> str:
        done = mesh.peerctl(worker, "why", subject, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    await wait_until(lambda: knows_all(worker) and knows_all(shelf))
    assert "peer worker takes work" in why("worker")
    assert "takes no work" in why("bare")
    assert "it has no renderer: blender: there is no program 'blender' at /nowhere/blender" in why(bare.id[:8])
    assert "it has no slots; start it with --slots 1 or more" in why("shelf")
    done = mesh.peerctl(shelf, "drain", "worker")
    assert done.returncode == 0, done.stderr
    await wait_until(lambda: worker.get(f"/peers/{worker.id}")["draining"])
    assert "peerctl undrain worker" in why("worker")
    bare.kill()
    await wait_until(lambda: worker.peers("dead"))
    assert json.loads(why("bare", "--json"))["reasons"][0] == {"text": "it is dead; start it again", "peer": bare.id}
    assert mesh.peerctl(worker, "why", "nobody").returncode == 3


async def test_no_peer_there_ends_with_7_and_names_peerd(mesh):
    done = mesh.peerctl(None, "status", "-H", "127.0.0.1:9")
    assert done.returncode == 7
    assert "peerd" in done.stderr


async def test_doctor_examines_this_machine(mesh):
    [peer] = await mesh.start_many("alone")
    done = mesh.peerctl(peer, "doctor", "--json")
    names = {check["name"] for check in json.loads(done.stdout)["checks"]}
    assert {"port", "peer"} & names
    assert done.returncode in (0, 1)


async def test_a_settings_file_is_checked_without_a_start(mesh):
    good, bad = Path(mesh.folder / "good.toml"), Path(mesh.folder / "bad.toml")
    good.write_text('name = "oak"\nslots = 2\n')
    bad.write_text('nmae = "oak"\n')
    assert mesh.peerctl(None, "config", "validate", str(good)).returncode == 0
    done = mesh.peerctl(None, "config", "validate", str(bad))
    assert done.returncode == 10
    assert "'name'" in done.stdout + done.stderr
