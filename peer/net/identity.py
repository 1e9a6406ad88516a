"""The peer's own key: who this peer is, for ever.

Decides where the key lies and what the peer id is. Refuses to know meshes: one identity may join any of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from peer.net.secretfile import make_once, read_bounded, refuse_if_open
from protocol.errors import Invalid
from protocol.ids import PeerId

IDENTITY_FILE = "identity.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """A P-256 key (browsers refuse Ed25519), the id that follows from it, and the file in which it lies."""

    key: ec.EllipticCurvePrivateKey
    peer_id: PeerId
    path: Path


def load_or_make_identity(folder: Path) -> Identity:
    """The identity in `<folder>/identity.key` (PEM, 0600), made at the first start.

    Raises `Invalid`: `identity_damaged` when the file holds no P-256 key, `secret_file_open` when every user may read it
    (group access is left alone: Kubernetes gives volumes to a group), OSError when the folder cannot be written.
    """
    path = folder / IDENTITY_FILE
    try:
        content = read_bounded(path)
    except FileNotFoundError:
        content = make_once(path, _new_key_pem())
    refuse_if_open(path, forbidden_mode=0o007)
    key = _parse(path, content)
    return Identity(key=key, peer_id=peer_id_of(key.public_key()), path=path)


def peer_id_of(key: PublicKeyTypes) -> PeerId:
    """SHA-256 over the key's SubjectPublicKeyInfo (DER), 64 hex digits."""
    return PeerId(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest())


def peer_id_in(certificate_der: bytes) -> PeerId:
    """The peer id that a certificate (DER) proves for whoever holds its key. Raises ValueError when it is none."""
    return peer_id_of(x509.load_der_x509_certificate(certificate_der).public_key())


def _new_key_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _parse(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise _damaged(path, "it is not a P-256 key")
    return key


def _damaged(path: Path, fault: str) -> Invalid:
    return Invalid(
        "identity_damaged",
        f"{path} holds no usable key: {fault}. Restore it from a backup, or remove it and this peer starts anew under "
        "another id.",
    )
