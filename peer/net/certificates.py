"""Certificates without a certificate server: every holder of the mesh key derives the same authority.

Decides what is trusted on the mesh port. Refuses to trust names and dates: identity is the SHA-256 of the public key, and
a jumped clock must not break the mesh. Whoever holds the mesh key may issue any certificate, so that a name in one proves
nothing; the key in it, proven by the handshake, does.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from peer.net.identity import Identity, peer_id_of
from protocol.ids import PeerId, is_hex
from protocol.wire.seal import MeshKey

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
AUTHORITY_SEED_BYTES = 48  # 128 bits more than the order: the bias of the modulus vanishes (FIPS 186-5, A.2.1)
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME; the ssl module has no name for it
AUTHORITY_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
AUTHORITY_UNTIL = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)
LEAF_LIFE = dt.timedelta(days=397)  # browsers refuse longer ones on the user port
LEAF_BACKDATED = dt.timedelta(days=1)
AUTHORITY_PURPOSE = b"authority"
PEER_DOMAIN = "peer.rendermesh"
ANYBODY = f"anybody.{PEER_DOMAIN}"  # asked for where only an address is known: any member of the mesh will do


class WrongPeer(ssl.SSLCertVerificationError):
    """A member of the mesh answered, but not the one that was called."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate authority of one mesh key: the same bytes wherever it is derived."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate for clients that want to trust this mesh (`/ca.pem`)."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as people compare it: `AB:CD:...`, as openssl prints it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def name(self) -> str:
        """Its subject, which certificates of its making name as their issuer; another key's authority has another."""
        return self.certificate.subject.rfc4514_string()


def derive_authority(seed: bytes) -> Authority:
    """The authority that follows from `AUTHORITY_SEED_BYTES` of key material (HKDF of the mesh key).

    Fixed subject, serial and dates, and a deterministic signature (RFC 6979): every peer makes the same certificate.
    """
    if len(seed) != AUTHORITY_SEED_BYTES:
        raise ValueError(f"an authority needs {AUTHORITY_SEED_BYTES} bytes, not {len(seed)}")
    key = ec.derive_private_key(int.from_bytes(seed, "big") % (P256_ORDER - 1) + 1, ec.SECP256R1())
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    name = _name(f"rendermesh authority {identifier.digest.hex()[:16]}")
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=public, serial_number=1)
        .not_valid_before(AUTHORITY_FROM)
        .not_valid_after(AUTHORITY_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return Authority(key=key, certificate=_sign(builder, key))


def issue_leaf(
    authority: Authority, identity: Identity, *, now: dt.datetime, hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1")
) -> x509.Certificate:
    """A certificate for the identity's key, for both ends of a connection and for the user port under `hosts`.

    `hosts` are DNS names or literal IP addresses; `now` sets the dates, which only clients of the user port look at.
    """
    public = identity.key.public_key()
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    builder = (
        x509.CertificateBuilder(
            issuer_name=authority.certificate.subject,
            subject_name=_name(f"rendermesh peer {identity.peer_id[:16]}"),
            public_key=public,
            serial_number=x509.random_serial_number(),
        )
        .not_valid_before(now - LEAF_BACKDATED)
        .not_valid_after(now + LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(identity.peer_id, hosts)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    return _sign(builder, authority.key)


class PeerTLS(ssl.SSLObject):
    """A TLS connection between peers. After the handshake `peer_id` is who is at the other end, proven.

    A client asks for a peer by the server name `name_of(peer)`; another peer's answer ends the handshake (`WrongPeer`)
    before a byte of the request is sent.
    """

    peer_id: PeerId | None = None
    issuer: str = ""  # the name of the authority that the handshake has traced the other side's certificate to
    parted: bool = False  # one of the two has said that it ends the connection (close_notify); a process that is killed does not

    def do_handshake(self) -> None:
        """As in `ssl.SSLObject`; then reads who it is. Raises `WrongPeer`, `ssl.SSLError`."""
        super().do_handshake()
        self.peer_id = found = self._read_peer()
        if self.server_side or self.server_hostname == ANYBODY:
            return
        expected = peer_named(self.server_hostname or "")
        if expected != found:
            raise WrongPeer(f"peer {found[:16]} answered where {(expected or 'nobody')[:16]} was expected")

    def unwrap(self) -> None:
        """As in `ssl.SSLObject`: our own goodbye, also in answer to the other side's. asyncio says none to a bare end."""
        self.parted = True
        super().unwrap()

    def _read_peer(self) -> PeerId:
        certificate = self.getpeercert(binary_form=True)
        if certificate is None:  # both contexts require one
            raise WrongPeer("the other side showed no certificate")
        try:
            shown = x509.load_der_x509_certificate(certificate)
            self.issuer = shown.issuer.rfc4514_string()
            return peer_id_of(shown.public_key())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise WrongPeer(f"the other side's certificate names no key: {error}") from error


def name_of(peer: PeerId) -> str:
    """The server name under which a client asks for `peer` (a DNS label holds 63 characters, an id has 64)."""
    return f"{peer[:32]}.{peer[32:]}.{PEER_DOMAIN}"


def peer_named(name: str) -> PeerId | None:
    """The peer that `name_of` made this name of, or None."""
    text = name.removesuffix(f".{PEER_DOMAIN}").replace(".", "", 1)
    return PeerId(text) if is_hex(text, 64) else None


@dataclass(frozen=True, slots=True)
class MeshCertificates:
    """What both ends of the mesh port use. The first authority issues the leaf, all of them are trusted (a key ring)."""

    authorities: tuple[Authority, ...]
    identity: Identity
    leaf: x509.Certificate

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3, a certificate of this mesh required. No tickets: a resumed session would outlive a removed key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        self._furnish(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3, shows our certificate, trusts this mesh only; the peer asked for is checked by `PeerTLS`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        self._furnish(context)
        return context

    def user_context(self) -> ssl.SSLContext:
        """For the user port: the same leaf, TLS 1.2 or later, and never a question for a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.show_leaf(context)
        return context

    @property
    def issuers(self) -> frozenset[str]:
        """Names of the authorities whose certificates count."""
        return frozenset(authority.name for authority in self.authorities)

    def _furnish(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        context.sslobject_class = PeerTLS
        context.load_verify_locations(cadata="".join(authority.pem for authority in self.authorities))
        self.show_leaf(context)

    def show_leaf(self, context: ssl.SSLContext) -> None:
        """Have a context, perhaps one in use, show this leaf on new connections."""
        with tempfile.TemporaryDirectory(prefix="rendermesh-") as folder:  # the ssl module loads from files only
            path = Path(folder) / "leaf.pem"
            path.write_bytes(self.leaf.public_bytes(Encoding.PEM))
            context.load_cert_chain(path, self.identity.path)


def make_certificates(
    keys: Sequence[MeshKey], identity: Identity, *, now: dt.datetime, hosts: Sequence[str] = ()
) -> MeshCertificates:
    """Certificates for `identity` under the keys of a ring, the primary first (`KeyRing.keys`).

    `hosts` are names and addresses of the user port besides localhost."""
    authorities = tuple(derive_authority(key.subkey(AUTHORITY_PURPOSE, length=AUTHORITY_SEED_BYTES)) for key in keys)
    names = ("localhost", "127.0.0.1", "::1", *hosts)
    return MeshCertificates(authorities, identity, issue_leaf(authorities[0], identity, now=now, hosts=names))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(peer: PeerId, hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name_of(peer))]
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
