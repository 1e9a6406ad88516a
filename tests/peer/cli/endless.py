"""A server that begins an answer and never comes to its end, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final

ENDED_S_MAX: Final = 60.0


class Endless:
    """Says `opening` to whoever connects, then `piece` again and again until the client goes: all the time, or every `pause_s`.

    `sent` counts the pieces. It ends by itself after `ENDED_S_MAX`, so that a client that never goes is seen to be wrong.
    """

    def __init__(self, opening: bytes, piece: bytes, *, pause_s: float = 0.0) -> None:
        self._opening, self._piece, self._pause_s = opening, piece, pause_s
        self.sent = 0
        self.had_to_end = False
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, name="endless")]
        self._timer = threading.Timer(ENDED_S_MAX, self._give_up)

    @property
    def url(self) -> str:
        """Where it answers."""
        return "http://{}:{}".format(*self._listener.getsockname())

    def __enter__(self) -> Endless:
        self._threads[0].start()
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _give_up(self) -> None:
        self.had_to_end = True
        self._stop.set()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), name="endless"))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1.0)
            connection.recv(65_536)
            connection.sendall(self._opening)
            while not self._stop.wait(self._pause_s):
                connection.sendall(self._piece)
                self.sent += 1
