"""Clients do not give up, keep their key, and write everything down; the hosts here are small servers of the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from tests.chaos.accounts import accounts
from tests.chaos.client import Artist, Client, paced
from tests.chaos.history import History, read
from tests.chaos.orders import Order, Steering

ORDER = Order("k", "null", (1, 3), (64, 48))
JOB = "a" * 32


class Host:
    """Answers with what is next in `script`, then with the last of it; keeps what it was asked."""

    def __init__(self, *script: tuple[int, dict[str, str]]) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        host, left = self, list(script)

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                host.asked.append((self.command, self.path, self.headers.get("Idempotency-Key")))
                status, body = left.pop(0) if len(left) > 1 else left[0]
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "history.jsonl")
    yield made
    made.close()


def see_through(history: History, *hosts: Host, steering: list[Steering] | None = None) -> None:
    """One artist with one order, to its end."""
    client = Client("anna", [(f"p{index}", host.url) for index, host in enumerate(hosts)], Random(1), history)
    orders = [ORDER]
    artist = Artist(client, lambda: orders.pop() if orders else None, lambda order: steering or [], None, history)
    artist.thread.start()
    try:
        while orders:
            artist.thread.join(0.01)
        artist.closing.set()
        artist.thread.join(30)
        assert not artist.thread.is_alive()
    finally:
        artist.give_up.set()
        for host in hosts:
            host.close()


def test_a_submission_goes_from_host_to_host_under_one_key_until_it_is_accepted(history: History):
    down, busy = Host((500, {})), Host((503, {"code": "busy"}), (202, {"id": JOB}))
    down.close()
    see_through(history, down, busy)
    assert {key for _, _, key in busy.asked} == {"k"}
    account = accounts(history.lines)["k"]
    assert account.jobs == [JOB]
    assert account.tries == len(history.of("submit")) >= 2
    assert {line["status"] for line in history.of("submit")} >= {202, 503}


def test_steps_are_taken_in_order_and_each_until_it_is_answered(history: History):
    host = Host((202, {"id": JOB}), (503, {}), (200, {"state": "paused"}), (200, {"state": "running"}))
    see_through(history, host, steering=[Steering("pause", 0.0), Steering("resume", 0.0)])
    assert [path.rpartition("/")[2] for _, path, _ in host.asked] == ["jobs", "pause", "pause", "resume"]


def test_a_job_is_rendered_again_only_once_it_is_completed(history: History):
    host = Host((202, {"id": JOB}), (200, {"state": "running"}), (200, {"state": "completed"}), (200, {"state": "running"}))
    see_through(history, host, steering=[Steering("rerender", 0.0, (1, 2))])
    assert [method for method, _, _ in host.asked] == ["POST", "GET", "GET", "POST"]
    assert accounts(history.lines)["k"].generations(2) == (1, 1)
    assert accounts(history.lines)["k"].generations(3) == (0, 0)


def test_what_is_refused_for_good_is_written_down(history: History):
    see_through(history, Host((409, {"code": "key_reused"})))
    assert [line["status"] for line in history.of("refused")] == [409]


def test_a_history_is_read_as_it_was_written(history: History):
    see_through(history, Host((202, {"id": JOB})))
    assert list(read(history.path)) == history.lines
    assert [line["at"] for line in history.lines] == sorted(line["at"] for line in history.lines)


def test_a_supply_ends_and_waits_until_it_may():
    may = [False]
    supply = paced(lambda count: Order(f"k{count}", "null", (1, 1), (64, 48)), lambda: 0.0, most=2, may_begin=lambda: may[0])
    assert supply() is None
    may[0] = True
    orders = [supply(), supply(), supply()]
    assert [order.key if order else None for order in orders] == ["k1", "k2", None]
