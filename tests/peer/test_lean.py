from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from asyncio import sslproto
from typing import Any

import pytest
import trustme

from peer import lean


def in_a_fresh_process(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_the_daemon_does_without_rich_and_whoever_wants_it_still_gets_it():
    script = "import sys, peer.__main__; print('rich' in sys.modules); import rich.console; print(rich.console.Console)"
    assert in_a_fresh_process(script).splitlines() == ["False", "<class 'rich.console.Console'>"]


def test_where_rich_is_loaded_already_it_stays():
    script = "import sys, rich; from peer import lean; print(sys.modules['rich'] is rich)"
    assert in_a_fresh_process(script) == "True"


async def test_a_tls_connection_has_a_small_buffer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    lean.shrink_tls_buffers()
    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 200_000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1], ssl=client_side)
        assert len(await reader.readexactly(200_000)) == 200_000
        transport: Any = writer.transport
        assert len(transport._ssl_protocol._ssl_buffer) == lean.TLS_BUFFER_BYTES
        writer.close()
        await writer.wait_closed()
