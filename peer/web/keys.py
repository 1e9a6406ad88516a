"""The mesh's key over HTTP: what is held, a new one installed, used, an old one removed.

Fingerprints are all that is ever shown. A key comes in the body of a request, and only where nobody can listen in.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from peer.web.peers import find_peer
from peer.web.replies import as_json
from peer.web.requests import read_object, validated
from peer.web.shapes import mesh_keys_json
from peer.web.site import forwarded_by, site_of
from protocol import limits
from protocol.errors import Invalid


class NewMeshKey(BaseModel):
    """A key of this mesh (`peerctl keygen --next OLD`), for everybody except the expelled."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: str = Field(min_length=1, max_length=limits.KEY_TEXT_CHARS_MAX, repr=False, description="The key's text form")
    expel: list[str] = Field(default=[], max_length=limits.PAGE_ITEMS_MAX, description="Peers that are not to have it")


class Forced(BaseModel):
    """Whether to act although somebody would be cut off."""

    model_config = ConfigDict(extra="forbid")

    force: bool = Field(default=False, description="Act although peers would be cut off that have not confirmed")


async def list_mesh_keys(request: web.Request) -> web.StreamResponse:
    """The ring, and who has not confirmed to hold the same."""
    return as_json(mesh_keys_json(await site_of(request).mesh.mesh_keys("list")))


async def install_mesh_key(request: web.Request) -> web.StreamResponse:
    """Give everybody one more key, which opens and does not seal yet."""
    site = site_of(request)
    asked = validated(NewMeshKey, await read_object(request))
    if not _is_private(request):
        raise Invalid("key_in_clear", "a mesh key is taken over TLS or from this machine only; send it to an https:// address")
    expel = [find_peer(site, text).id for text in asked.expel]
    return as_json(mesh_keys_json(await site.mesh.mesh_keys("install", key=asked.key, expel=expel)))


async def use_mesh_key(request: web.Request) -> web.StreamResponse:
    """Have everybody seal with a key that all hold."""
    force = validated(Forced, await read_object(request, empty=True)).force
    name = request.match_info["fingerprint"]
    return as_json(mesh_keys_json(await site_of(request).mesh.mesh_keys("use", fingerprint=name, force=force)))


async def remove_mesh_key(request: web.Request) -> web.StreamResponse:
    """Take a key away from everybody, for good."""
    force = validated(Forced, await read_object(request, empty=True)).force
    name = request.match_info["fingerprint"]
    return as_json(mesh_keys_json(await site_of(request).mesh.mesh_keys("remove", fingerprint=name, force=force)))


def _is_private(request: web.Request) -> bool:
    if request.secure or forwarded_by(request) is not None:
        return True
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
