from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from peer.net.identity import IDENTITY_FILE, load_or_make_identity
from protocol.errors import Invalid
from protocol.ids import is_hex
from tests.fuzzing import changed, examples, refused


def test_the_first_start_makes_a_private_key_file(tmp_path: Path):
    identity = load_or_make_identity(tmp_path / "data")
    assert identity.path == tmp_path / "data" / IDENTITY_FILE
    assert stat.S_IMODE(identity.path.stat().st_mode) == 0o600
    assert identity.key.curve.name == "secp256r1"


def test_the_peer_id_is_the_hash_of_the_public_key(tmp_path: Path):
    identity = load_or_make_identity(tmp_path)
    der = identity.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert identity.peer_id == hashlib.sha256(der).hexdigest()
    assert is_hex(identity.peer_id, 64)


def test_a_restart_is_the_same_peer_and_another_folder_another(tmp_path: Path):
    first = load_or_make_identity(tmp_path / "a")
    assert load_or_make_identity(tmp_path / "a").peer_id == first.peer_id
    assert load_or_make_identity(tmp_path / "b").peer_id != first.peer_id


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 200,
        b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n",
        _pem(ec.generate_private_key(ec.SECP256R1()))[:100],
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["empty", "zeroes", "nonsense", "torn", "another curve", "another kind"],
)
def test_a_damaged_key_file_is_named_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / IDENTITY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Invalid, match=IDENTITY_FILE) as caught:
        load_or_make_identity(tmp_path)
    assert caught.value.code == "identity_damaged"
    assert path.read_bytes() == content


KEY = ec.derive_private_key(7, ec.SECP256R1())
DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
UNKNOWN_CURVE = DER.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177"))


def wrapped(der: bytes) -> bytes:
    return b"-----BEGIN PRIVATE KEY-----\n%s-----END PRIVATE KEY-----\n" % base64.encodebytes(der)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@examples(200)
@given(changed(DER).map(wrapped) | changed(_pem(KEY)) | st.binary(max_size=80))
@example(wrapped(UNKNOWN_CURVE))
def test_any_file_holds_a_key_or_is_damaged(tmp_path: Path, content: bytes):
    path = tmp_path / IDENTITY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    error = refused(load_or_make_identity, tmp_path, by=Invalid)
    assert error is None or error.code == "identity_damaged"
    assert path.read_bytes() == content


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path):
    load_or_make_identity(tmp_path).path.chmod(0o644)
    with pytest.raises(Invalid, match="open to other users"):
        load_or_make_identity(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        load_or_make_identity(tmp_path / "file" / "data")
