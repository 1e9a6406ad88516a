"""However an answer breaks off, stalls, or lies about its length: peerctl goes on or says so, and leaves no half of a file."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from peer.cli import bounds
from peer.cli.client import MeshClient
from peer.cli.eventstream import followed_events
from peer.cli.failures import CliError, Exit
from peer.cli.settings import Host
from tests.fuzzing import examples
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakejob import FakeJob
from tests.peer.cli.fakemesh import FakeMesh, FakePeer
from tests.peer.cli.mangler import Fault, Mangler
from tests.waiting import wait_until

FRAMES: Final = [1, 2, 3]
NAME: Final = "Schloß 🏰"  # its bytes can be cut in the middle of a letter
EVENTS: Final = 12

CUTS = st.none() | st.floats(0, 1)
FAULTS = st.builds(
    Fault,
    framing=st.sampled_from(["length", "chunked", "close"]),
    piece=st.sampled_from([1, 2, 3, 7, 100, 5_000, 65_536]),
    cut=CUTS,
    ending=st.sampled_from(["close", "close", "reset", "stall"]),
    length=st.sampled_from([None, None, None, "", "x", "-5", "9" * 30, "7, 7", "+3"]),
    length_off=st.sampled_from([0, 0, -1, 1, -50, 50]),
    size_line=st.sampled_from([None, None, b"zz", b"", b"-5", b"fffffffffffffff", b"1", b"5;ext=1", b"x" * 70_000]),
    before=st.sampled_from(
        [b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\n", b"rubbish\r\n", b"\r\n", b"\0" * 9]
    ),
    encoding=st.sampled_from([None, None, None, "gzip", "a lie"]),
)
TIMES = st.sampled_from([1, 2, 1_000])
HURT = st.sampled_from(["/outputs/", "/outputs", "/frames", "/events", "/log", "/jobs", "/peers", ""])


@pytest.fixture
def castle(mesh: FakeMesh) -> FakeJob:
    """A job whose frames are done; its events and its name hold letters of several bytes."""
    job = mesh.add(NAME, list(FRAMES))
    job.done, job.state = list(FRAMES), "completed"
    job.events = [
        {"id": str(number), "time": "T", "event": "frame_done", "frame": number, "note": NAME} for number in range(1, EVENTS + 1)
    ]
    mesh.events = list(job.events)
    return job


@pytest.fixture
def mangler(castle: FakeJob, peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Mangler]]:
    """Make proxies before the peer; peerctl is led to the last one."""
    made: list[Mangler] = []

    def make() -> Mangler:
        for old in made:
            old.close()
        made[:] = [Mangler(peer.address)]
        monkeypatch.setenv("PEERCTL_HOST", made[0].address)
        return made[0]

    for name, value in {"READ_TIMEOUT_S": 0.3, "EVENT_SILENCE_S": 0.3, "PATIENCE_S": 0.3, "BUSY_WAIT_S": 0.01}.items():
        monkeypatch.setattr(bounds, name, value)
    yield make
    for last in made:
        last.close()


def spoiling(proxy: Mangler, fault: Fault, *, where: str, times: int) -> None:
    """The first answers to such paths get the fault."""
    left = [times]

    def spoils(target: str) -> Fault | None:
        if where not in target or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    proxy.spoils = spoils


def truth(job: FakeJob) -> dict[str, bytes]:
    """Every file that a fetch may leave."""
    return {name: content for frame in FRAMES for name, content in job.contents(frame)}


def check_folder(folder: Path, job: FakeJob) -> bool:
    """No file under its final name that is not whole; whether all are there."""
    found = {path.name: path.read_bytes() for path in folder.glob("*") if not path.name.endswith(".peerctl-part")}
    assert found.items() <= truth(job).items()
    return found == truth(job)


@examples(120)
@given(FAULTS, TIMES, HURT)
@example(Fault(cut=0.5, ending="stall"), 1, "/outputs/")
@example(Fault(framing="close", cut=0.5), 1_000, "/outputs/")
@example(Fault(framing="chunked", piece=1, cut=0.7), 1_000, "/outputs/")
@example(Fault(length_off=-5), 1_000, "/outputs")
def test_a_fetch_leaves_whole_files_or_says_what_is_missing(
    mangler: Callable[[], Mangler], peerctl: Peerctl, castle: FakeJob, tmp_path_factory: pytest.TempPathFactory,
    fault: Fault, times: int, where: str,
) -> None:  # fmt: skip
    proxy, folder = mangler(), tmp_path_factory.mktemp("frames")
    spoiling(proxy, fault, where=where, times=times)
    ran = peerctl("fetch", castle.id, "-d", folder)
    assert ran.code in tuple(Exit)
    assert (ran.code == 0) == check_folder(folder, castle), ran.err
    assert ran.code == 0 or "error:" in ran.err or "not fetched:" in ran.err or "missing" in ran.err
    assert not proxy.was_asked_without_end


def shown(text: str) -> list[int]:
    """The frames of the events that were printed, each once, in order."""
    return list(dict.fromkeys(json.loads(line)["frame"] for line in text.splitlines()))


@examples(120)
@given(FAULTS, TIMES, st.sampled_from([("events", "--json"), ("logs", "x", "--json"), ("logs", "x", "-f", "--json")]))
@example(Fault(framing="chunked", piece=1, cut=0.5), 1, ("events", "--json"))
@example(Fault(framing="chunked", piece=7, cut=0.5, ending="stall"), 1_000, ("events", "--json"))
@example(Fault(framing="chunked", cut=0.9, ending="reset"), 1_000, ("logs", "x", "--json"))
@example(Fault(framing="chunked", piece=1, cut=0.5), 1_000, ("logs", "x", "-f", "--json"))
@example(Fault(framing="chunked", piece=2, cut=0.0157), 1_000, ("events", "--json"))  # in the head, after the kind
def test_kept_events_are_all_shown_or_the_gap_is_said(
    mangler: Callable[[], Mangler], peerctl: Peerctl, castle: FakeJob, fault: Fault, times: int, verb: tuple[str, ...]
) -> None:
    proxy = mangler()
    spoiling(proxy, fault, where="/events", times=times)
    ran = peerctl(*(castle.id if word == "x" else word for word in verb))
    assert ran.code in tuple(Exit)
    assert shown(ran.out) == list(range(1, EVENTS + 1))[: len(shown(ran.out))]
    if ran.code == 0 and fault.shows_its_end:
        assert len(shown(ran.out)) == EVENTS, ran.err
    assert ran.code == 0 or "error:" in ran.err
    assert not proxy.was_asked_without_end


@examples(80)
@given(FAULTS, TIMES)
@example(Fault(framing="close", piece=5), 1_000)
@example(Fault(framing="chunked", piece=3, cut=0.4, ending="reset"), 2)
@example(Fault(framing="chunked", cut=0.2, ending="close"), 1_000)
@example(Fault(framing="chunked", cut=0.2, ending="stall"), 1_000)
def test_followed_events_go_on_or_say_that_nothing_comes(mangler: Callable[[], Mangler], fault: Fault, times: int) -> None:
    proxy, seen = mangler(), list[int]()
    spoiling(proxy, fault, where="/events", times=times)
    client = MeshClient([Host(f"http://{proxy.address}")], named=True, say=lambda _: None)
    try:
        for event in followed_events(client, "/api/v1/events", silent_s=bounds.PATIENCE_S):
            if event is not None:
                seen.append(event["frame"])
            if seen[-1:] == [EVENTS]:
                break
    except CliError as error:
        assert error.what  # noqa: PT017 - either end is right
    assert list(dict.fromkeys(seen)) == list(range(1, EVENTS + 1))[: len(set(seen))]
    assert not proxy.was_asked_without_end


DOCUMENTS: Final = (("jobs",), ("job", "x"), ("job", "x", "--watch"), ("frames", "x"), ("peers",), ("why", "x"), ("status",))


@examples(120)
@given(FAULTS, TIMES, st.sampled_from(DOCUMENTS))
@example(Fault(length="0"), 1_000, ("jobs",))
@example(Fault(length_off=-1), 1_000, ("jobs",))
@example(Fault(before=b"HTTP/1.1 103 Hints\r\n\r\n"), 1, ("jobs",))
def test_a_document_is_shown_whole_or_not_at_all(
    mangler: Callable[[], Mangler], peerctl: Peerctl, castle: FakeJob, fault: Fault, times: int, verb: tuple[str, ...]
) -> None:
    proxy = mangler()
    words = [castle.id if word == "x" else word for word in verb]
    whole = peerctl(*words, "--json")
    assert whole.code == 0
    spoiling(proxy, fault, where="", times=times)
    ran = peerctl(*words, "--json")
    assert ran.code in tuple(Exit)
    assert (ran.code == 0 and ran.out == whole.out) or (ran.code != 0 and "error:" in ran.err), ran.out + ran.err
    assert not proxy.was_asked_without_end


def test_an_output_without_end_stops_at_its_size(
    mangler: Callable[[], Mangler], peerctl: Peerctl, castle: FakeJob, tmp_path: Path
) -> None:
    proxy = mangler()
    spoiling(proxy, Fault(framing="close", endless=True), where="/outputs/", times=1_000)
    ran = peerctl("fetch", castle.id, "-d", tmp_path / "frames")
    assert ran.code == 1
    assert "does not have the digest" in ran.err
    assert list((tmp_path / "frames").iterdir()) == []


@pytest.mark.parametrize("spoilt", ["length", "chunked"])
def test_one_break_is_mended_by_asking_for_the_rest(
    mangler: Callable[[], Mangler], mesh: FakeMesh, peerctl: Peerctl, castle: FakeJob, tmp_path: Path, spoilt: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(bounds, "READ_TIMEOUT_S", 30.0)
    spoiling(mangler(), Fault(framing="length" if spoilt == "length" else "chunked", cut=0.5), where="/outputs/", times=1)
    assert peerctl("fetch", castle.id, "-d", tmp_path / "frames").code == 0
    assert check_folder(tmp_path / "frames", castle)
    assert any("Range" in seen.headers for seen in mesh.seen)


@pytest.mark.parametrize("verb", ["events", "logs"])
def test_one_break_of_kept_events_is_mended_after_the_last_of_them(
    mangler: Callable[[], Mangler], mesh: FakeMesh, peerctl: Peerctl, castle: FakeJob, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "EVENT_SILENCE_S", 30.0)
    spoiling(mangler(), Fault(framing="chunked", cut=0.7), where="/events", times=1)
    ran = peerctl(*(["events"] if verb == "events" else ["logs", castle.id]), "--json")
    assert ran.code == 0
    assert [json.loads(line)["frame"] for line in ran.out.splitlines()] == list(range(1, EVENTS + 1))
    assert any(seen.headers.get("Last-Event-ID", "") != "" for seen in mesh.seen)


@pytest.mark.parametrize("verb", [("events",), ("events", "-f")])
def test_what_is_no_stream_of_events_is_an_error(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, verb: tuple[str, ...]) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    mesh.mishaps.append(page)
    ran = peerctl(*verb)
    assert ran.code == 1
    assert "no stream of events (text/html" in ran.err


async def test_an_interruption_does_not_wait_for_a_silent_peer(
    mangler: Callable[[], Mangler], castle: FakeJob, program: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    proxy = mangler()
    spoiling(proxy, Fault(cut=0.5, ending="stall"), where="/outputs/", times=1_000)
    process = program("fetch", castle.id, "-d", tmp_path / "frames")
    await wait_until(lambda: len(list((tmp_path / "frames").glob("*-part"))) == len(FRAMES))
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, timeout=20)  # a silent peer is waited for 30 s, three times
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not check_folder(tmp_path / "frames", castle)


def test_a_followed_job_whose_events_break_off_ends_as_it_ended_and_says_what_was_not_shown(
    mangler: Callable[[], Mangler], peerctl: Peerctl
) -> None:
    spoiling(mangler(), Fault(framing="chunked", cut=0.5), where="/events", times=1_000)
    ran = peerctl("submit", "--renderer", "null", "-f", "1-3", "--follow")
    assert ran.code == 0
    assert "break off again and again; see all of them: peerctl logs" in ran.err
