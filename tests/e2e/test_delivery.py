"""Frames in output roots: once, whole, under their names, whoever has the root and whatever lies there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import obstore
import pytest

from peer.outputs.store import connect
from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import Answer, Mesh, PeerProcess
from tests.peer.outputs.s3 import BUCKET, S3, an_s3
from tests.waiting import wait_until

QUICK = {"frame_ms": 10}


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def as_committed(peer: PeerProcess, job: str, folder: Path) -> None:
    """Every frame of the job lies in the folder with the pixels that were committed, and nothing else."""
    rows = peer.frames(job)
    assert names(folder) == [f"shot_{row['frame']:04d}.png" for row in rows]
    for row in rows:
        assert pixel_hash(folder / f"shot_{row['frame']:04d}.png") == row["pixel_hash"]


async def a_root(mesh: Mesh, name: str = "out", *arguments: str) -> tuple[PeerProcess, Path]:
    root = mesh.folder / name
    root.mkdir()
    peer = await mesh.start(f"peer-{name}", "--output-root", f"{name}={root}", *arguments)
    return peer, root


async def test_frames_are_delivered_before_the_job_completes(mesh):
    peer, root = await a_root(mesh)
    job = peer.submit(frames="1-40", name="shot", destination="out:film/010", settings=QUICK)
    ended = await peer.until_ended(job)
    assert (ended["state"], ended["delivered"]) == ("completed", {"frames": 40, "conflicts": 0})
    as_committed(peer, job, root / "film" / "010")


async def test_another_peer_has_the_root(mesh):
    holder, root = await a_root(mesh)
    owner = await mesh.start("owner")
    await mesh.together([holder, owner])
    await wait_until(lambda: any(row["output_roots"] for row in owner.peers()))
    job = owner.submit(frames="1-10", name="shot", destination="out:", settings=QUICK)
    assert (await owner.until_ended(job))["state"] == "completed"
    as_committed(owner, job, root)


async def test_what_lies_there_already_is_kept_and_recorded_unless_its_pixels_are_equal(mesh):
    peer, root = await a_root(mesh)
    first = peer.submit(frames="1-4", name="shot", destination="out:", settings=QUICK)
    assert (await peer.until_ended(first))["delivered"] == {"frames": 4, "conflicts": 0}
    (root / "shot_0002.png").write_bytes(b"somebody's notes")
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    second = peer.submit(frames="1-4", name="shot", destination="out:", settings={**QUICK, "frame_ms": 11})
    ended = await peer.until_ended(second)
    assert ended["state"] == "completed"
    rows = peer.frames(second)
    others = [row["frame"] for row in rows if row["pixel_hash"] not in [one["pixel_hash"] for one in peer.frames(first)]]
    assert ended["delivered"] == {"frames": 4, "conflicts": len({2, *others})}
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before
    named = {row["name"] for row in peer.events("delivery_conflict")}
    assert "shot_0002.png" in named


async def test_a_frame_that_is_rendered_again_replaces_its_own_file_and_no_other(mesh):
    peer, root = await a_root(mesh)
    job = peer.submit(frames="1-3", name="shot", destination="out:", settings=QUICK)
    await peer.until_ended(job)
    kept = (root / "shot_0003.png").stat().st_ino
    peer.post(f"/jobs/{job}/retry", {"frames": "1-2", "include_done": True})
    await wait_until(lambda: {row["frame"]: row["generation"] for row in peer.frames(job)} == {1: 1, 2: 1, 3: 0})
    assert (await peer.until_ended(job))["delivered"] == {"frames": 3, "conflicts": 0}
    as_committed(peer, job, root)
    assert (root / "shot_0003.png").stat().st_ino == kept


async def test_a_root_that_vanishes_is_waited_for_with_a_reason(mesh):
    peer, root = await a_root(mesh)
    root.rename(root.with_name("away"))
    job = peer.submit(frames="1-3", name="shot", destination="out:film", settings=QUICK)

    def waits() -> bool:
        view = peer.job(job)
        return view["frames"]["done"] == 3 and "output_root_gone" in [reason["code"] for reason in view["waiting_because"]]

    await wait_until(waits)
    view = peer.job(job)
    assert (view["state"], view["frames"]["done"], view["delivered"]["frames"]) == ("running", 3, 0)
    root.with_name("away").rename(root)
    assert (await peer.until_ended(job, 90))["state"] == "completed"
    as_committed(peer, job, root / "film")


async def test_the_holder_of_the_root_is_killed_in_the_midst_and_comes_back(mesh):
    holder, root = await a_root(mesh)
    owner = await mesh.start("owner")
    await mesh.together([holder, owner])
    await wait_until(lambda: any(row["output_roots"] for row in owner.peers()))
    job = owner.submit(frames="1-60", name="shot", destination="out:", settings=QUICK)
    await wait_until(lambda: owner.job(job)["delivered"]["frames"] > 0)
    holder.kill()
    await mesh.restart(holder)
    assert (await owner.until_ended(job, 120))["delivered"] == {"frames": 60, "conflicts": 0}
    as_committed(owner, job, root)


async def test_a_file_that_is_taken_away_before_the_job_ends_is_delivered_again(mesh):
    peer, root = await a_root(mesh)
    job = peer.submit(frames="1-20", name="shot", destination="out:", settings={"frame_ms": 150})
    await wait_until(lambda: (root / "shot_0001.png").exists() and peer.job(job)["delivered"]["frames"] > 0)
    (root / "shot_0001.png").unlink()
    assert (await peer.until_ended(job))["state"] == "completed"
    as_committed(peer, job, root)


async def test_a_root_that_nobody_has_is_refused_with_those_that_there_are(mesh):
    peer, _ = await a_root(mesh)
    refused = peer.try_submit(frames="1-3", destination="elsewhere:x")
    assert refused.status == 422
    assert "there are: out" in refused.text
    for wrong in ("out:../x", "out", "/tmp/x", "s3://bucket/key", "https://host/x"):
        assert peer.try_submit(frames="1-3", destination=wrong).status == 422, wrong
    assert peer.try_submit(frames="1-3", destination="out:x", output="../../{frame}").status == 422


# object stores


def objects(store: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in [one["path"] for batch in obstore.list(store) for one in batch]:
        with suppress(FileNotFoundError):  # it has gone since it was listed
            found[name] = bytes(obstore.get(store, name).bytes())
    return found


def stored_as_committed(peer: PeerProcess, job: str, store: Any, scratch: Path) -> None:
    """Every frame of the job is an object with the pixels that were committed, and nothing else is there."""
    found = objects(store)
    rows = peer.frames(job)
    assert sorted(found) == [f"film/shot_{row['frame']:04d}.png" for row in rows]
    for row in rows:
        path = scratch / "look.png"
        path.write_bytes(found[f"film/shot_{row['frame']:04d}.png"])
        assert pixel_hash(path) == row["pixel_hash"]


async def a_bucket(mesh: Mesh, s3: S3, monkeypatch: pytest.MonkeyPatch) -> tuple[PeerProcess, Any]:
    """A peer whose root is a folder of a bucket, and that folder."""
    for key, value in s3.environment.items():
        monkeypatch.setenv(key, value)
    url = f"s3://{BUCKET}/{mesh.name}"
    return await mesh.start("peer", "--output-root", f"out={url}"), connect(url)


@pytest.fixture
def s3() -> Iterator[S3]:
    with an_s3() as server:
        yield server


async def test_frames_are_delivered_to_a_bucket_and_rendered_again_they_replace_their_own(mesh, s3, monkeypatch):
    peer, store = await a_bucket(mesh, s3, monkeypatch)
    job = peer.submit(frames="1-12", name="shot", destination="out:film", settings=QUICK)
    ended = await peer.until_ended(job)
    assert (ended["state"], ended["delivered"]) == ("completed", {"frames": 12, "conflicts": 0})
    stored_as_committed(peer, job, store, mesh.folder)
    peer.post(f"/jobs/{job}/retry", {"frames": "1-2", "include_done": True})
    await wait_until(lambda: {row["generation"] for row in peer.frames(job)} == {0, 1})
    assert (await peer.until_ended(job))["delivered"] == {"frames": 12, "conflicts": 0}
    stored_as_committed(peer, job, store, mesh.folder)


async def test_an_address_is_a_destination_where_a_root_of_some_peer_holds_it(mesh, s3, monkeypatch):
    holder, store = await a_bucket(mesh, s3, monkeypatch)
    other = await mesh.start("other")
    url = f"s3://{BUCKET}/{mesh.name}"
    await wait_until(lambda: other.try_submit(frames="1", destination=f"{url}/first", settings=QUICK).status == 202)
    job = other.submit(frames="1-6", name="shot", destination=f"{url}/film", settings=QUICK)
    ended = await other.until_ended(job)
    assert (ended["state"], ended["delivered"]) == ("completed", {"frames": 6, "conflicts": 0})
    assert sorted(name for name in objects(store) if name.startswith("film/")) == [f"film/shot_000{n}.png" for n in range(1, 7)]
    outside = other.try_submit(frames="1", destination=f"s3://{BUCKET}/elsewhere")
    assert (outside.status, f"that holds s3://{BUCKET}/elsewhere" in outside.text, url in outside.text) == (422, True, True)
    assert holder.job(job)["destination"] == f"{url}/film"


async def test_what_is_in_a_bucket_already_is_kept_and_recorded(mesh, s3, monkeypatch):
    peer, store = await a_bucket(mesh, s3, monkeypatch)
    obstore.put(store, "film/shot_0002.png", b"somebody's notes")
    job = peer.submit(frames="1-3", name="shot", destination="out:film", settings=QUICK)
    assert (await peer.until_ended(job))["delivered"] == {"frames": 3, "conflicts": 1}
    assert objects(store)["film/shot_0002.png"] == b"somebody's notes"


async def test_an_object_that_is_taken_away_before_the_job_ends_is_delivered_again(mesh, s3, monkeypatch):
    peer, store = await a_bucket(mesh, s3, monkeypatch)
    job = peer.submit(frames="1-20", name="shot", destination="out:film", settings={"frame_ms": 150})
    await wait_until(lambda: "film/shot_0001.png" in objects(store) and peer.job(job)["delivered"]["frames"] > 0)
    obstore.delete(store, "film/shot_0001.png")
    assert (await peer.until_ended(job))["state"] == "completed"
    stored_as_committed(peer, job, store, mesh.folder)


async def test_a_store_that_is_gone_is_waited_for_with_a_reason(mesh, s3, monkeypatch):
    peer, _ = await a_bucket(mesh, s3, monkeypatch)
    s3.stop()
    job = peer.submit(frames="1-3", name="shot", destination="out:film", settings=QUICK)

    def waits() -> bool:
        view = peer.job(job)
        return view["frames"]["done"] == 3 and "output_root_failed" in [reason["code"] for reason in view["waiting_because"]]

    await wait_until(waits)
    assert peer.job(job)["state"] == "running"


async def test_a_scene_is_read_from_a_shared_root(mesh):
    shared = mesh.folder / "shots"
    (shared / "010").mkdir(parents=True)
    (shared / "010" / "shot.blend").write_bytes(b"BLENDER-v405 and more")
    (mesh.folder / "secret").write_bytes(b"no")
    (shared / "link").symlink_to(mesh.folder / "secret")
    peer = await mesh.start("peer", "--shared-root", f"shots={shared}")
    await mesh.together([peer])

    def ask(path: str) -> Answer:
        spec = {"renderer": "null", "frames": "1-2", "settings": QUICK, "scene": {"path": path}}
        return peer.ask("POST", "/api/v1/jobs", json_body=spec)

    answer = ask("shots:010/shot.blend")
    assert answer.status == 202, answer.text
    assert (await peer.until_ended(answer.json["id"]))["state"] == "completed"
    for wrong in ("shots:010/nothing.blend", "shots:../secret", "shots:link", "shots:010", "other:x", "plain"):
        refused = ask(wrong)
        assert refused.status == 422, f"{wrong}: {refused.text}"
