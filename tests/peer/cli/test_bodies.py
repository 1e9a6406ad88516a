import threading
from collections.abc import Iterator

import pytest
import urllib3

from peer.cli import bounds
from peer.cli.bodies import TooSlow, arriving, paced, whole, within
from peer.cli.client import MeshClient
from peer.cli.failures import CliError, Unreachable
from peer.cli.settings import Host
from tests.peer.cli.endless import Endless

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HEAD_S": 0.2, "READ_TIMEOUT_S": 0.5, "BODY_GRACE_S": 0.3}.items():
        monkeypatch.setattr(bounds, name, value)


def get(server: Endless) -> CliError:
    """What a client makes of it."""
    with pytest.raises(CliError) as caught:
        MeshClient([Host(server.url)], named=True, say=lambda _: None).get("/api/v1/jobs")
    return caught.value


@pytest.mark.parametrize(
    ("opening", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"),
        (OK + b"\r\n", b" "),
        (CHUNKED, b"1\r\n \r\n"),
    ],
    ids=["interim", "interim header", "body", "chunk"],
)
def test_an_answer_that_dribbles_without_end_is_left(opening: bytes, piece: bytes) -> None:
    with Endless(opening, piece, pause_s=0.01) as server:
        error = get(server)
        assert not server.had_to_end
    assert isinstance(error, Unreachable)


def test_headers_that_dribble_without_end_are_left() -> None:
    with Endless(b"HTTP/1.1 200 OK\r\n", b"X", pause_s=0.01) as server:
        assert isinstance(get(server), Unreachable)
        assert not server.had_to_end


def test_trailers_that_dribble_without_end_are_left() -> None:
    with Endless(CHUNKED + b"2\r\n{}\r\n0\r\n", b"Trailer: x\r\n", pause_s=0.01) as server:
        assert MeshClient([Host(server.url)], named=True, say=lambda _: None).get("/api/v1/jobs") == {}
        assert not server.had_to_end


def test_interim_answers_at_full_speed_are_left() -> None:
    with Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50) as server:
        get(server)
        assert not server.had_to_end


def test_an_endless_body_is_read_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REPLY_BYTES_MAX", 1_000_000)
    with Endless(OK + b"\r\n", bytes(50_000)) as server:
        assert "answered more than 1000000 bytes" in str(get(server))
        assert not server.had_to_end


@pytest.fixture
def opened() -> Iterator[urllib3.BaseHTTPResponse]:
    """A chunked answer that brings one byte after another."""
    with Endless(CHUNKED, b"1\r\nx\r\n", pause_s=0.01) as server:
        response = urllib3.PoolManager().request("GET", server.url, preload_content=False, retries=False)
        yield response
        response.close()


def test_a_piece_is_there_as_soon_as_it_came(opened: urllib3.BaseHTTPResponse) -> None:
    pieces = arriving(opened)
    assert [set(next(pieces)), set(next(pieces))] == [{ord("x")}] * 2


def test_a_pace_below_the_least_is_an_error(opened: urllib3.BaseHTTPResponse) -> None:
    with pytest.raises(TooSlow, match=r"\d bytes in 0 s"):
        list(paced(opened))


def test_no_more_than_asked_for(opened: urllib3.BaseHTTPResponse) -> None:
    assert whole(opened, 5) == b"xxxxx"


def test_what_ends_in_time_is_not_cut() -> None:
    cut = threading.Event()
    with within(0.05, cut.set):
        pass
    assert not cut.wait(0.2)


def test_what_does_not_end_is_cut_whatever_the_cut_says() -> None:
    cut = threading.Event()

    def fails() -> None:
        cut.set()
        raise OSError

    with within(0.01, fails):
        assert cut.wait(20)
