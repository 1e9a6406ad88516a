"""Memory that a daemon does without. Many peers may share a machine with a renderer, which needs it more.

Decides two trims, both of other people's defaults. Must be imported before anything that imports structlog.
"""

from __future__ import annotations

import sys
from asyncio import sslproto
from typing import Final

TLS_BUFFER_BYTES: Final = 64 * 1024  # four TLS records; asyncio's default is 256 KiB for each connection, idle or not


def shrink_tls_buffers() -> None:
    """For every TLS connection from now on. A peer of a mesh of 20 has some forty of them while it joins."""
    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


def load_structlog_plainly() -> None:
    """structlog loads rich, where it is installed, for tracebacks that a daemon's log never draws: 3 MB."""
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # the way to say that a module is not to be found
    try:
        __import__("structlog.dev")
    finally:
        del sys.modules["rich"]


load_structlog_plainly()
