"""A real S3 server for tests: moto's, in a process of its own, with one bucket. It keeps to If-None-Match and If-Match."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BUCKET: Final = "frames"
_SAID: Final = re.compile(r"http://127\.0\.0\.1:(\d+)")
STOP_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class S3:
    """The server. `environment` lets any client of S3 find it."""

    url: str
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip

    def stop(self) -> None:
        """End it; its objects are gone."""
        self.process.kill()
        self.process.wait(STOP_S)


@contextlib.contextmanager
def an_s3() -> Iterator[S3]:
    """A server with the bucket `BUCKET`, ended with the context."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    drain: threading.Thread | None = None
    try:
        assert process.stderr is not None
        said = next((found for line in process.stderr if (found := _SAID.search(line))), None)
        assert said is not None, "moto's server did not start"
        drain = threading.Thread(target=deque, args=(process.stderr, 0))
        drain.start()
        server = S3(f"http://127.0.0.1:{said[1]}", process)
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT"), timeout=20).close()
        yield server
    finally:
        process.kill()
        process.wait(STOP_S)
        if drain is not None:
            drain.join(STOP_S)
        assert process.stderr is not None
        process.stderr.close()
