"""Requests that cannot be: each is refused with a code and a sentence, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until


@pytest.fixture
def mesh(shared_mesh: Mesh) -> Mesh:
    return shared_mesh


@pytest.fixture
def peer(null_peer: PeerProcess) -> PeerProcess:
    return null_peer


def jobs(peer: PeerProcess) -> list[str]:
    return [row["id"] for row in peer.get("/jobs?limit=1000")["jobs"]]


def refused(peer: PeerProcess, code: str, **spec: Any) -> str:
    """Submit a null job that must be refused with 422; the sentence."""
    before = jobs(peer)
    answer = peer.try_submit(**spec)
    assert (answer.status, answer.json["code"]) == (422, code), answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.headers["X-Request-Id"]
    assert jobs(peer) == before
    detail: str = answer.json["detail"]
    return detail


async def test_frames_that_run_backwards_are_refused_with_the_form_that_works(peer):
    assert "write 1-48" in refused(peer, "bad_frames", frames="48-1")


async def test_frames_that_are_no_numbers_are_refused_with_an_example(peer):
    text = refused(peer, "bad_frames", frames="abc")
    assert "'abc'" in text
    assert "1-48" in text


async def test_more_than_a_million_frames_are_refused(peer):
    text = refused(peer, "too_many_frames", frames="1-1000001")
    assert "1,000,001" in text
    assert "at most 1,000,000" in text


async def test_an_unknown_engine_is_refused_with_the_known_ones(peer):
    text = refused(peer, "bad_field", frames="1", engine="LUXCORE")
    assert text.startswith("engine:")
    assert "CYCLES" in text


async def test_an_unknown_field_is_refused_with_the_nearest_known_one(peer):
    text = refused(peer, "unknown_field", frames="1", sampels=4)
    assert "sampels" in text
    assert "'samples'" in text


async def test_a_body_that_is_no_json_is_refused(peer):
    answer = peer.ask("POST", "/api/v1/jobs", json_body="a text, no object")
    assert answer.status in (400, 422)
    assert answer.json["code"]


async def test_settings_that_not_every_reader_of_json_can_take_are_refused_and_the_peer_goes_on(peer):
    deep: Any = []
    for _ in range(250):
        deep = [deep]
    assert "nested" in refused(peer, "bad_field", frames="1", settings={"a": deep})
    assert "65,536" in refused(peer, "bad_field", frames="1", settings={"a": "x" * 300_000})
    job = peer.submit(frames="1-2")
    assert (await peer.until_ended(job))["state"] == "completed"


async def test_a_job_that_nobody_knows_is_404_with_a_code(peer):
    answer = peer.ask("GET", "/api/v1/jobs/feedfeedfeedfeed")
    assert (answer.status, answer.json["code"]) == (404, "no_such_job")


async def test_the_same_idempotency_key_gives_the_same_job_and_another_job_under_it_a_conflict(peer):
    def send(frames: str):
        return peer.ask(
            "POST", "/api/v1/jobs", json_body={"renderer": "null", "frames": frames}, headers={"Idempotency-Key": "k"}
        )

    first, again, other = send("1-3"), send("1-3"), send("1-4")
    assert (first.status, again.status, other.status) == (202, 202, 409)
    assert first.json["id"] == again.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.json["code"] == "key_reused"
    assert jobs(peer).count(first.json["id"]) == 1


async def test_a_client_that_goes_away_in_mid_upload_leaves_no_file_and_no_job(peer):
    form = (
        b'--b\r\nContent-Disposition: form-data; name="scene"; filename="big.blend"\r\n\r\n' + b"BLENDER-v405" + bytes(5_000_000)
    )
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{peer.port}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(form) + 50_000_000}\r\n\r\n"
    )
    blobs, before = peer.data_dir / "tmp", jobs(peer)
    with socket.create_connection(("127.0.0.1", peer.port)) as client:
        client.sendall(head.encode() + form)
        await wait_until(lambda: any(blobs.iterdir()))
    await wait_until(lambda: not any(blobs.iterdir()))
    assert jobs(peer) == before
    assert all(path.stat().st_size < 1_000_000 for path in (peer.data_dir / "blobs").rglob("*") if path.is_file())
    job = peer.submit(frames="1-2")
    assert (await peer.until_ended(job))["state"] == "completed"


async def test_peerctl_says_what_is_wrong_and_ends_with_10(mesh, peer):
    done = mesh.peerctl(peer, "submit", "--renderer", "null", "-f", "48-1")
    assert done.returncode == 10
    assert "runs backwards" in done.stderr
    assert done.stdout == ""


async def test_peerctl_with_json_prints_a_document_that_scripts_can_read(mesh, peer):
    done = mesh.peerctl(peer, "submit", "--renderer", "null", "-f", "1-3", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "completed"
