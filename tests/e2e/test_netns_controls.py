"""Steering jobs while the network is in two: each side does what it can and says what it cannot, and then they agree."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import DEAD_S, PORT, Farm, farm
from tests.e2e.netns import partition, why_not

pytestmark = [
    pytest.mark.namespaces, pytest.mark.slow, pytest.mark.timeout(240),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]  # fmt: skip
AGREED_S = 60.0


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Farm]:
    """Four hosts whose peers render, and take orders from everybody."""
    with farm(4, tmp_path, running=0) as made:
        made.fleet.flags = (*made.fleet.flags, "--anonymous-role", "operator", "--slots", "1")
        made.fleet.start(4)
        yield made


def ask(four: Farm, index: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """What a peer answers, asked on its own host."""
    host = four.hosts[index]
    data = None if body is None else json.dumps(body).encode()
    headers = {"Connection": "close", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{host.address}:{PORT}/api/v1{path}", data, headers, method=method)
    with host.entered():
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())


def ids(four: Farm) -> list[str]:
    return [four.fleet.daemons[index].key for index in range(4)]


def wait(four: Farm, is_so: Callable[[], bool], timeout_s: float = AGREED_S) -> bool:
    """The fleet's own wait wakes up with each line that a peer writes."""
    return four.fleet.wait(is_so, timeout_s, None)


def on_three(four: Farm, **spec: Any) -> tuple[str, int]:
    """A job of the first peer, and the only one that does not hold it."""
    status, accepted = ask(four, 0, "POST", "/jobs", {"renderer": "null", **spec})
    assert status == 202, accepted
    job = accepted["id"]
    assert wait(four, lambda: len(ask(four, 0, "GET", f"/jobs/{job}")[1]["replicas"]) == 3)
    assert wait(four, lambda: all(ask(four, index, "GET", f"/jobs/{job}")[0] == 200 for index in range(4)))
    holders = ask(four, 0, "GET", f"/jobs/{job}")[1]["replicas"]
    return job, next(index for index, peer in enumerate(ids(four)) if peer not in holders)


def cut(four: Farm, one: list[int], other: list[int]) -> None:
    partition([four.hosts[at] for at in one], [four.hosts[at] for at in other])

    def is_cut() -> bool:
        return all(four.state(a, b) == "dead" and four.state(b, a) == "dead" for a in one for b in other)

    assert wait(four, is_cut, DEAD_S), four.fleet.doubts()


def heal(four: Farm) -> None:
    for host in four.hosts:
        host.well()
    assert four.agree(), four.fleet.doubts()


def everywhere(four: Farm, job: str, is_so: Callable[[Any], bool]) -> Callable[[], bool]:
    return lambda: all(is_so(ask(four, index, "GET", f"/jobs/{job}")[1]) for index in range(4))


def test_both_sides_steer_and_agree_when_they_meet(four: Farm):
    long = {"frames": "1-2000", "settings": {"frame_ms": 200}}
    steered, stranger = on_three(four, **long)
    holder = next(index for index in (1, 2, 3) if index != stranger)
    doomed, _ = on_three(four, **long)
    done, _ = on_three(four, frames="1-4", settings={"frame_ms": 10}, priority=100)
    assert wait(four, everywhere(four, done, lambda view: view["state"] == "completed"))
    here = [0, next(index for index in (1, 2, 3) if index not in (stranger, holder))]
    there = [holder, stranger]
    cut(four, here, there)
    jobs = [job for job in (steered, doomed) if any(knows_frames(four, index, job) for index in there)]
    assert steered in jobs
    assert wait(four, lambda: all(ask(four, holder, "GET", f"/jobs/{job}")[1]["epoch"] > 1 for job in jobs))
    assert ask(four, here[1], "PATCH", f"/jobs/{steered}", {"priority": 20})[0] == 200
    assert ask(four, stranger, "PATCH", f"/jobs/{steered}", {"priority": 90})[0] == 200
    assert ask(four, 0, "POST", f"/jobs/{doomed}/cancel")[0] == 200
    again = {"include_done": True, "replaces": 0}
    retried = [ask(four, index, "POST", f"/jobs/{done}/retry", again)[0] for index in (0, stranger)]
    assert retried[0] == 200
    heal(four)
    assert wait(four, everywhere(four, steered, lambda view: view["priority"] == 90)), "the greater epoch has the word"
    assert wait(four, everywhere(four, doomed, lambda view: view["state"] == "cancelled"))
    assert wait(four, everywhere(four, done, lambda view: view["generation"] == 1 and view["state"] == "completed"))
    assert len({ask(four, index, "GET", f"/jobs/{steered}")[1]["owner"] for index in range(4)}) == 1


def knows_frames(four: Farm, index: int, job: str) -> bool:
    return bool(ask(four, index, "GET", f"/jobs/{job}/frames?limit=1")[0] == 200)


def test_a_result_that_counts_no_more_after_two_owners_met_is_told_and_all_show_the_one_that_does(four: Farm):
    """Each side renders the whole job while it cannot hear the other: of each frame one attempt counts afterwards (C4)."""
    job, stranger = on_three(four, frames="1-40", settings={"frame_ms": 400})
    holder = next(index for index in (1, 2, 3) if index != stranger)
    here = [0, next(index for index in (1, 2, 3) if index not in (stranger, holder))]
    there = [holder, stranger]
    cut(four, here, there)
    assert wait(four, lambda: all(ask(four, at, "GET", f"/jobs/{job}")[1]["state"] == "completed" for at in (0, holder)), 120)
    sides = [by_frame(four, at, job) for at in (0, holder)]
    differing = {frame for frame in sides[0] if sides[0][frame] != sides[1][frame]}
    assert differing, "the sides have rendered the same frames at the same peers: nothing to agree on"
    heal(four)
    assert wait(four, lambda: len({json.dumps(by_frame(four, at, job)) for at in (0, 1, 2, 3)}) == 1)
    final = by_frame(four, 0, job)
    assert sorted(final) == list(range(1, 41))
    assert all(final[frame] in (sides[0][frame], sides[1][frame]) for frame in final)
    for at, side in zip((0, holder), sides, strict=True):
        lost = {frame for frame in differing if final[frame] != side[frame]}
        told = winners_changed(four, at, job)
        assert {frame for frame, winner in told.items() if winner == final[frame]} >= lost, (at, lost, told)


def by_frame(four: Farm, index: int, job: str) -> dict[int, str]:
    """Whose result counts, as a peer sees it; nothing where it cannot say."""
    status, answer = ask(four, index, "GET", f"/jobs/{job}/frames?limit=1000")
    return {row["frame"]: row["peer"] for row in answer["frames"]} if status == 200 else {}


def winners_changed(four: Farm, index: int, job: str) -> dict[int, str]:
    """The frames of which a peer has told that another result counts, and whose it is by its last word."""
    lines = (json.loads(line) for line in four.fleet.daemons[index].lines if line.startswith("{"))
    return {line["frame"]: line["to"] for line in lines if line.get("event") == "winner_changed" and line["job"] == job}


def test_a_peer_cut_off_from_every_holder_shows_the_job_and_says_why_it_cannot_steer_it(four: Farm):
    job, stranger = on_three(four, frames="1-2000", settings={"frame_ms": 200})
    cut(four, [index for index in range(4) if index != stranger], [stranger])
    assert ask(four, stranger, "GET", f"/jobs/{job}")[0] == 200
    for verb in ("cancel", "resubmit"):
        status, answer = ask(four, stranger, "POST", f"/jobs/{job}/{verb}")
        assert (status, answer["code"]) == (503, "peers_unreachable")
        assert f"kept by {ids(four)[0][:12]}" in answer["detail"]
        assert "or ask a peer that can reach one" in answer["detail"]
    heal(four)
    assert wait(four, lambda: ask(four, stranger, "POST", f"/jobs/{job}/cancel")[0] == 200)
    assert wait(four, everywhere(four, job, lambda view: view["state"] == "cancelled"))
