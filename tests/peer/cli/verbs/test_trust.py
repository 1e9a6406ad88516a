"""An authority is kept after its fingerprint, and nothing but it, has been compared; no token travels before."""

import asyncio
import hashlib
import json
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from peer.cli import bounds
from tests.fuzzing import changed, examples
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

SHOWN = trustme.CA().cert_pem.bytes()  # an authority, but not that of the host
END = b"-----END CERTIFICATE-----\n"


class Secure:
    """A peer that speaks TLS with a leaf of `authority` for another name, and shows `shown` as its mesh's authority."""

    def __init__(self, mesh: FakeMesh) -> None:
        self.authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("render1.example").configure_cert(context)
        mesh.authority = self.authority.cert_pem.bytes().decode()
        mesh.token = "mk_1_secret"
        self.peer: FakePeer = mesh.start_peer("render1", ssl=context)

    @property
    def fingerprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert(self.authority.cert_pem.bytes().decode())
        return hashlib.sha256(der).digest().hex(":").upper()


@pytest.fixture
def secure(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> Secure:
    monkeypatch.setenv("PEERCTL_TOKEN", "mk_1_secret")
    return Secure(mesh)


def sent_a_token(mesh: FakeMesh) -> bool:
    return any("Authorization" in seen.headers for seen in mesh.seen)


def pins(account: Path) -> list[Path]:
    return sorted(account.rglob("trust/*"))


def test_after_it_the_peer_is_verified_and_gets_the_token(
    mesh: FakeMesh, secure: Secure, peerctl: Peerctl, account: Path
) -> None:
    assert peerctl("-H", secure.peer.url, "jobs").code == 4
    ran = peerctl("trust", secure.peer.address, "--fingerprint", secure.fingerprint)
    assert (ran.code, ran.err) == (0, "")
    assert secure.fingerprint in ran.out
    assert not sent_a_token(mesh)
    (pin,) = pins(account)
    assert pin.read_text() == mesh.authority.strip() + "\n"
    assert peerctl("-H", secure.peer.url, "jobs").code == 0
    assert sent_a_token(mesh)


@pytest.mark.parametrize("form", [str.lower, lambda text: text.replace(":", ""), "SHA256:{}".format, " {} ".format])
def test_a_fingerprint_in_every_form(mesh: FakeMesh, secure: Secure, peerctl: Peerctl, form) -> None:
    ran = peerctl("trust", secure.peer.url, "--fingerprint", form(secure.fingerprint), "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["sha256"] == secure.fingerprint


def test_another_authority_is_not_kept(mesh: FakeMesh, secure: Secure, peerctl: Peerctl, account: Path) -> None:
    ran = peerctl("trust", secure.peer.url, "--fingerprint", "ab" * 32)
    assert ran.code == 4
    assert secure.fingerprint in ran.err
    assert not pins(account)
    assert not sent_a_token(mesh)


def test_a_copied_authority_does_not_help_whoever_is_in_between(
    mesh: FakeMesh, secure: Secure, peerctl: Peerctl, account: Path
) -> None:
    """The impostor serves the true authority's certificate, but has no leaf of it."""
    impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("render1.example").configure_cert(impostor)
    between = mesh.start_peer("between", ssl=impostor)
    ran = peerctl("trust", between.url, "--fingerprint", secure.fingerprint)
    assert ran.code == 4
    assert not pins(account)
    assert not sent_a_token(mesh)


def test_without_a_fingerprint_and_a_terminal_nothing_is_kept(secure: Secure, peerctl: Peerctl, account: Path) -> None:
    ran = peerctl("trust", secure.peer.url)
    assert ran.code == 2
    assert secure.fingerprint in ran.err
    assert not pins(account)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 4), ("\n", 4)])
def test_on_a_terminal_it_asks(
    secure: Secure, peerctl: Peerctl, account: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("peer.cli.screen.Screen.err_is_terminal", True)
    ran = peerctl("trust", secure.peer.url)
    assert ran.code == code
    assert bool(pins(account)) is (code == 0)


@pytest.mark.parametrize("text", ["", "xyz", "ab:cd", "ab" * 31, "ab" * 33, "zz" * 32])
def test_what_is_no_fingerprint_is_a_usage_error(mesh: FakeMesh, secure: Secure, peerctl: Peerctl, text: str) -> None:
    assert peerctl("trust", secure.peer.url, "--fingerprint", text).code == 2
    assert not mesh.seen


def test_a_host_that_is_no_peer(mesh: FakeMesh, secure: Secure, peerctl: Peerctl) -> None:
    mesh.authority = "<html>hello</html>"
    ran = peerctl("trust", secure.peer.url, "--fingerprint", "ab" * 32)
    assert ran.code == 1
    assert "no certificate" in ran.err

    async def lost(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404)

    mesh.mishaps.append(lost)
    assert peerctl("trust", secure.peer.url, "--fingerprint", "ab" * 32).code == 1


@examples(40)
@given(
    st.binary(max_size=60)
    | st.sampled_from([SHOWN, SHOWN * 2, SHOWN.lower(), SHOWN + b"\xff", b"", b"-----BEGIN CERTIFICATE-----\n=\n" + END, END])
    | changed(SHOWN)
)
def test_whatever_is_shown_in_place_of_an_authority_is_not_kept(
    mesh: FakeMesh, secure: Secure, peerctl: Peerctl, account: Path, body: bytes
) -> None:
    async def shows(request: web.Request) -> web.StreamResponse | None:
        return web.Response(body=body) if request.path == "/ca.pem" else None

    mesh.mishaps[:] = [shows]
    ran = peerctl("trust", secure.peer.url, "--fingerprint", secure.fingerprint)
    assert ran.code in (1, 4)
    assert "error:" in ran.err
    assert not pins(account)
    assert not sent_a_token(mesh)


def test_an_authority_that_does_not_end_is_left(
    mesh: FakeMesh, secure: Secure, peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dribbles(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not await asyncio.to_thread(ended.wait, 0.01):
            await response.write(b"-")
        return response

    ended = threading.Event()
    monkeypatch.setattr(bounds, "BODY_GRACE_S", 0.2)
    mesh.mishaps.append(dribbles)
    ran = peerctl("trust", secure.peer.url, "--fingerprint", secure.fingerprint)
    assert ran.code == 7
    assert "cannot be fetched" in ran.err
    ended.set()


def test_plain_http_and_nobody_there(peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("trust", peer.url, "--fingerprint", "ab" * 32).code == 2
    ran = peerctl("trust", peer.address, "--fingerprint", "ab" * 32)  # it speaks no TLS
    assert ran.code == 7
    peer.stop()
    assert peerctl("trust", peer.address, "--fingerprint", "ab" * 32).code == 7
