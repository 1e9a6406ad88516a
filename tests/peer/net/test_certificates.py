from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from peer.net.certificates import (
    AUTHORITY_SEED_BYTES,
    derive_authority,
    issue_leaf,
    make_certificates,
    name_of,
    peer_named,
)
from peer.net.identity import Identity, load_or_make_identity, peer_id_in
from protocol.ids import PeerId
from tests.peer.net.peers import MESH

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SEED = bytes(range(AUTHORITY_SEED_BYTES))


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return load_or_make_identity(tmp_path)


def test_every_peer_derives_the_same_authority_to_the_byte():
    first, second = derive_authority(SEED), derive_authority(SEED)
    assert first.pem == second.pem
    assert first.key.private_numbers() == second.key.private_numbers()


def test_another_key_is_another_authority_with_another_name():
    first, second = derive_authority(SEED), derive_authority(SEED[::-1])
    assert first.pem != second.pem
    assert first.certificate.subject != second.certificate.subject


@pytest.mark.parametrize("seed", [b"\x00" * AUTHORITY_SEED_BYTES, b"\xff" * AUTHORITY_SEED_BYTES])
def test_extreme_seeds_still_give_a_valid_key(seed: bytes):
    assert derive_authority(seed).certificate.issuer == derive_authority(seed).certificate.subject


def test_a_seed_of_another_length_is_our_own_mistake():
    with pytest.raises(ValueError, match="needs 48 bytes"):
        derive_authority(b"short")


def test_the_authority_signs_itself_and_its_leaves(identity: Identity):
    authority = derive_authority(SEED)
    leaf = issue_leaf(authority, identity, now=NOW)
    authority.certificate.verify_directly_issued_by(authority.certificate)
    leaf.verify_directly_issued_by(authority.certificate)


def test_a_leaf_proves_the_peer_id(identity: Identity):
    leaf = issue_leaf(derive_authority(SEED), identity, now=NOW)
    assert peer_id_in(leaf.public_bytes(Encoding.DER)) == identity.peer_id


def test_a_leaf_names_the_peer_and_the_hosts_of_the_user_port(identity: Identity):
    certificates = make_certificates([MESH], identity, now=NOW, hosts=["192.0.2.7", "farm.example"])
    names = certificates.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name_of(identity.peer_id), "localhost", "farm.example"]
    assert ipaddress.ip_address("192.0.2.7") in names.get_values_for_type(x509.IPAddress)


def test_names_of_peers_come_back_as_ids_and_nothing_else_does():
    peer = PeerId("ab" * 32)
    assert peer_named(name_of(peer)) == peer
    assert max(len(label) for label in name_of(peer).split(".")) < 64
    for name in ("", "localhost", "127.0.0.1", "peer.rendermesh", f"{'a' * 64}x.peer.rendermesh", "g" * 64):
        assert peer_named(name) is None


def test_contexts_leave_no_file_behind(identity: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    certificates = make_certificates([MESH], identity, now=NOW)
    certificates.server_context()
    certificates.client_context()
    certificates.user_context()
    assert list(scratch.iterdir()) == []
