"""Which mesh key this peer uses: the configured one, else this user's own on this machine, else (when told) a public one.

Decides nothing about who may bind where (the settings refuse an open peer without a key) and never shows a key.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from peer.net.secretfile import make_once, read_bounded, refuse_if_open
from protocol.errors import Invalid, Unavailable
from protocol.wire.seal import KEY_BYTES, MESH_ID_BYTES, MeshKey, format_mesh_key, parse_mesh_key

LOOPBACK_FILE = "loopback.key"
# Known to everybody: sealing and certificates stay one code path, and protect nothing.
INSECURE_MESH_ID = b"insecure".ljust(MESH_ID_BYTES, b"\0")
INSECURE_KEY = b"insecure".ljust(KEY_BYTES, b"\0")


def choose_mesh_key(*, configured: str | None, insecure: bool, loopback_file: Path, mesh_name: str) -> MeshKey:
    """The key for the mesh called `mesh_name`.

    `configured` is a key's text form. Without one, and not `insecure`, peers of one user share `loopback_file`, made
    at the first start. Raises `Invalid` (`bad_mesh_key`, `loopback_key_damaged`, `secret_file_open`), `Unavailable`
    (`loopback_key_unusable`) when the file can be neither read nor made.
    """
    if insecure:
        return MeshKey(INSECURE_MESH_ID, INSECURE_KEY, mesh_name)
    if configured is not None:
        return parse_mesh_key(configured, name=mesh_name)
    return load_or_make_loopback_key(loopback_file, mesh_name=mesh_name)


def load_or_make_loopback_key(path: Path, *, mesh_name: str) -> MeshKey:
    """The key in `path` (0600). Peers that start at once agree on one; a file that others may read is refused."""
    try:
        content = _read_or_make(path, mesh_name)
        refuse_if_open(path, forbidden_mode=0o077)
    except OSError as error:
        raise Unavailable(
            "loopback_key_unusable",
            f"The key that your peers on this machine share can be neither read nor made at {path}: {error.strerror}. "
            "Make that folder writable, or give each peer a key of your own (`peerctl keygen > mesh.key`).",
        ) from error
    try:
        return parse_mesh_key(content.decode("ascii"), name=mesh_name)
    except (Invalid, UnicodeDecodeError) as error:
        raise Invalid(
            "loopback_key_damaged",
            f"{path} holds no mesh key. Stop your peers on this machine, remove the file and start them: a new one is made.",
        ) from error


def _read_or_make(path: Path, mesh_name: str) -> bytes:
    try:
        return read_bounded(path)
    except FileNotFoundError:
        return make_once(path, f"{format_mesh_key(new_mesh_key(mesh_name))}\n".encode("ascii"))


def new_mesh_key(mesh_name: str) -> MeshKey:
    """A fresh key of a fresh mesh, from the operating system's randomness."""
    return MeshKey(secrets.token_bytes(MESH_ID_BYTES), secrets.token_bytes(KEY_BYTES), mesh_name)
