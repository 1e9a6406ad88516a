"""API keys over HTTP: made, listed, revoked; and who the caller is.

Every peer knows every key, so each answers for all; nothing is passed on.
"""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from peer.web.guard import role_of, submitter_of
from peer.web.problems import Refused
from peer.web.replies import as_json, as_text
from peer.web.requests import bad_cursor, page_limit, read_object, validated
from peer.web.shapes import key_json
from peer.web.site import site_of
from protocol import limits
from protocol.access.roles import Role
from protocol.errors import NotFound
from protocol.ids import is_hex


class NewToken(BaseModel):
    """What a key is to be called and may do."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=limits.KEY_NAME_CHARS_MAX, description="Who or what will use it")
    role: Role = Field(description="viewer, submitter, operator or admin")


async def list_tokens(request: web.Request) -> web.StreamResponse:
    """A page, by id; revoked ones too, secrets never."""
    most, cursor = page_limit(request), request.query.get("cursor", "")
    if cursor and not is_hex(cursor, 16):
        raise bad_cursor()
    fitting = sorted((key for key in site_of(request).mesh.api_keys() if key.id > cursor), key=lambda key: key.id)
    page = fitting[:most]
    return as_json({"tokens": [key_json(key) for key in page], "cursor": page[-1].id if len(fitting) > most else None})


async def create_token(request: web.Request) -> web.StreamResponse:
    """The one answer that ever holds the key itself."""
    asked = validated(NewToken, await read_object(request))
    record, text = await site_of(request).mesh.create_key(name=asked.name, role=asked.role)
    headers = {"Location": f"/api/v1/tokens/{record.id}", "Cache-Control": "no-store"}
    return as_json({**key_json(record), "token": text}, status=201, headers=headers)


async def revoke_token(request: web.Request) -> web.StreamResponse:
    """For good, on every peer within a gossip round."""
    return as_json(key_json(await site_of(request).mesh.revoke_key(request.match_info["token"])))


async def whoami(request: web.Request) -> web.StreamResponse:
    """The caller, as this peer sees it."""
    role = role_of(request)
    if role is None:  # the guard has let nobody without one come here
        raise Refused(401, "login_needed", "this peer asks for a key", headers={"WWW-Authenticate": "Bearer"})
    name, _, key = submitter_of(request).partition("/")
    return as_json({"name": name, "role": role, "key": key or None, "peer": site_of(request).mesh.me})


async def authority(request: web.Request) -> web.StreamResponse:
    """The mesh's certificate authority. Fetched without trust it proves nothing: compare its fingerprint."""
    current = site_of(request).options.authority
    if current is None:
        raise NotFound("no_authority", "this port speaks plain HTTP, or with a certificate of another authority")
    response = as_text(current())
    response.content_type = "application/x-pem-file"
    return response
