"""Errors under `/v1` as Consul's clients read them: a status and a sentence in plain text."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from peer.web.problems import Refused

PREFIX: Final = "/v1/"


def is_consul(request: web.Request) -> bool:
    """Whether a client of Consul's API asks."""
    return request.path.startswith(PREFIX)


def plain(request: web.Request, refused: Refused) -> web.Response:
    """The answer that says `refused`: what a body holds wrongly is 400 here, as it is there."""
    status = 400 if refused.status == 422 else refused.status
    text = f"method {request.method} not allowed" if status == 405 else refused.detail
    shown = text.encode("utf-8", "replace").decode()  # it may repeat half of a surrogate pair that JSON can write
    return web.Response(status=status, text=shown, headers=refused.headers)
