"""Writing answers: JSON, and streams whose slow readers are cut off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from protocol import limits


def as_json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(
        status=status, text=json.dumps(value, separators=(",", ":")), content_type="application/json", headers=headers
    )


def as_text(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A sentence."""
    return web.Response(status=status, text=text, headers=headers)


async def send(response: web.StreamResponse, piece: bytes) -> None:
    """Write one piece. Raises `ConnectionResetError` when the reader does not take it in time, or has gone."""
    try:
        async with asyncio.timeout(limits.HTTP_WRITE_S_MAX):
            await response.write(piece)
    except TimeoutError:
        raise ConnectionResetError("the reader is too slow") from None
