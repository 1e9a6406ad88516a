"""Bodies of answers, piece by piece as they come: one that only dribbles ends, as one does whose end never comes.

Refuses to know what the bytes mean. A timeout for each read, as sockets have it, lets a peer hold us for ever with one byte
at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from peer.cli import bounds


class TooSlow(HTTPError):
    """A body that comes, but slower than anything that works."""


def whole(response: BaseHTTPResponse, most: int) -> bytes:
    """The body, or the first `most` bytes of it. Raises urllib3's `HTTPError`, `TooSlow` among them."""
    body = bytearray()
    for piece in paced(response):
        body += piece[: most - len(body)]
        if len(body) == most:
            break
    return bytes(body)


def paced(response: BaseHTTPResponse) -> Iterator[bytes]:
    """The body's pieces, as long as they keep up the least speed. Raises urllib3's `HTTPError`, `TooSlow` among them."""
    waited_s, received = 0.0, 0
    pieces = arriving(response)
    while True:
        began = time.monotonic()
        piece = next(pieces, b"")
        waited_s += time.monotonic() - began
        received += len(piece)
        if not piece:
            return
        if waited_s > bounds.BODY_GRACE_S + received / bounds.BODY_BYTES_PER_S:
            raise TooSlow(f"{received:,} bytes in {waited_s:.0f} s")
        yield piece


def arriving(response: BaseHTTPResponse) -> Iterator[bytes]:
    """The body's pieces, each as soon as it is here, however long one takes. Raises urllib3's `HTTPError`."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    while piece := _framed(response) if chunked else response.read1(bounds.CHUNK_BYTES):
        yield piece


def _framed(response: BaseHTTPResponse) -> bytes:
    """A piece of a chunked body, behind whose end http.client would read trailers for ever."""
    with within(bounds.READ_TIMEOUT_S + bounds.BODY_GRACE_S, response.shutdown):
        return response.read1(bounds.CHUNK_BYTES)


@contextmanager
def within(seconds: float, cut: Callable[[], None]) -> Iterator[None]:
    """Call `cut`, from another thread, when the block has not ended by then; it may fail, for the block may just have."""

    def late() -> None:
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            cut()

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
