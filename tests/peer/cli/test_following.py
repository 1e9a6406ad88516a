from typing import Any

import pytest

from peer.cli.failures import CliError, Exit
from peer.cli.following import EventTail, Patience, peer_urls, watch_job
from peer.cli.invocation import Invocation
from peer.cli.progress import meter
from peer.cli.screen import Screen
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def watched(job: Any, *hosts: str, patience: Patience = Patience()) -> list[str]:
    with meter(Screen(), "frames", quiet=True) as gauge:
        return [view["state"] for view in watch_job(Invocation(hosts=hosts), {"id": job.id}, gauge, patience)]


def test_until_it_ends(mesh: FakeMesh, peer: FakePeer) -> None:
    assert watched(mesh.add("castle", [1, 2, 3]), peer.url) == ["running", "running", "completed"]


def test_a_job_that_is_forgotten_meanwhile_ends_the_wait(mesh: FakeMesh, peer: FakePeer) -> None:
    job = mesh.add("castle", [1])
    del mesh.jobs[job.id]
    with pytest.raises(CliError) as caught:
        watched(job, peer.url)
    assert caught.value.exit_code is Exit.NOT_FOUND


def test_a_peer_that_comes_back_is_taken_up_again(mesh: FakeMesh, peer: FakePeer, capsys: pytest.CaptureFixture[str]) -> None:
    job = mesh.add("castle", [1, 2, 3])
    port = int(peer.address.rsplit(":", 1)[1])
    states: list[str] = []
    with meter(Screen(), "frames", quiet=True) as gauge:
        for view in watch_job(Invocation(hosts=(peer.url,)), {"id": job.id}, gauge, Patience(silent_s=20)):
            states.append(view["state"])
            if len(states) == 1:
                peer.stop()
                mesh._loop.call_soon_threadsafe(
                    lambda: mesh._loop.call_later(0.2, lambda: mesh._loop.create_task(peer.start(port)))
                )
    assert states[-1] == "completed"
    said = capsys.readouterr().err
    assert "no peer answers" in said
    assert "answers; the job goes on" in said


def test_only_peers_that_live_are_learned() -> None:
    rows = [
        {"state": state, "address": f"https://10.0.0.{number}:7700"}
        for number, state in enumerate(("alive", "dead", "suspect", "left"))
    ]
    odd = [{"state": "alive", "address": address} for address in ("http://h:7700", "https://", "https://[", "h:7700", 3)]
    assert peer_urls({"peers": [*rows, *odd, {"state": "alive"}, "?"]}, like="https://h:1") == ["https://10.0.0.0:7700"]
    assert peer_urls({"peers": None}, like="http://h:1") == []


def test_events_are_told_once_also_by_another_peer(mesh: FakeMesh, peer: FakePeer) -> None:
    other = mesh.start_peer("other")
    job = mesh.add("castle", [1, 2, 3])
    job.step()
    invocation = Invocation(hosts=(peer.url, other.url))
    tail, told = EventTail(invocation, {"id": job.id}), list[Any]()
    tail.new(told.append)
    tail.new(told.append)
    assert mesh.seen[-1].headers["Last-Event-ID"] == "1"
    peer.stop()
    job.step()
    tail.new(told.append)
    tail.new(told.append)
    assert [event["frame"] for event in told] == [1, 2]


def test_events_that_could_not_be_read_at_the_end_are_an_error(mesh: FakeMesh, peer: FakePeer) -> None:
    job = mesh.add("castle", [1, 2])
    job.step()
    tail, told = EventTail(Invocation(hosts=(peer.url,)), {"id": job.id}), list[Any]()
    tail.new(told.append)
    seen = len(mesh.seen)
    tail.end(told.append)
    assert len(mesh.seen) == seen  # nothing is lacking, so nothing is asked
    peer.stop()
    tail.new(told.append)
    with pytest.raises(CliError) as caught:
        tail.end(told.append)
    assert caught.value.exit_code is Exit.UNREACHABLE
    assert [event["frame"] for event in told] == [1]
