import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from peer.cli.client import Call, MeshClient, part
from peer.cli.failures import CliError, Exit, Unreachable
from peer.cli.settings import Host
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def client(*hosts: Host, said: list[str] | None = None) -> MeshClient:
    return MeshClient(hosts, named=True, say=(said if said is not None else []).append)


@pytest.fixture
def tls_peer(mesh: FakeMesh, tmp_path: Path) -> tuple[FakePeer, str]:
    """A peer that speaks TLS under an authority of its own, whose leaf names another host."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("render1.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mesh.token = "mk_1_secret"
    return mesh.start_peer("render1", ssl=context), str(tmp_path / "ca.pem")


def authorised(mesh: FakeMesh) -> bool:
    return any("Authorization" in seen.headers for seen in mesh.seen)


def test_a_host_that_cannot_be_verified_gets_no_token(
    mesh: FakeMesh, tls_peer: tuple[FakePeer, str], peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERCTL_TOKEN", "mk_1_secret")
    ran = peerctl("jobs", "-H", tls_peer[0].url)
    assert ran.code == 4
    assert "could not be verified; nothing was sent to it" in ran.err
    assert "--cacert FILE" in ran.err
    assert "peerctl trust" in ran.err
    assert not mesh.seen


def test_a_given_authority_also_checks_the_name(tls_peer: tuple[FakePeer, str]) -> None:
    with pytest.raises(CliError) as caught:
        client(Host(tls_peer[0].url, ca=tls_peer[1], token="mk_1_secret")).get("/api/v1/jobs")
    assert caught.value.exit_code is Exit.UNAUTHORISED


def test_the_authority_of_the_mesh_itself_proves_enough(mesh: FakeMesh, tls_peer: tuple[FakePeer, str]) -> None:
    found = client(Host(tls_peer[0].url, ca=tls_peer[1], mesh_ca=True, token="mk_1_secret")).get("/api/v1/jobs")
    assert found == {"jobs": [], "cursor": None}
    assert authorised(mesh)


def test_no_token_in_the_clear_to_another_machine(peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERCTL_TOKEN", "mk_1_secret")
    ran = peerctl("jobs", "-H", "http://192.0.2.1:7700")
    assert ran.code == 4
    assert "the token was not sent to http://192.0.2.1:7700" in ran.err
    assert "mk_1_secret" not in ran.err


def test_tls_asked_of_a_plain_peer_says_so(peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("jobs", "-H", f"https://{peer.address}")
    assert ran.code == 7
    assert f"write http://{peer.address}" in ran.err


def test_a_missing_key_is_told_what_to_do(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.token = "mk_1_secret"
    ran = peerctl("jobs")
    assert ran.code == 4
    assert "PEERCTL_TOKEN" in ran.err
    assert "request r-401" in ran.err


def test_a_redirect_is_not_followed(mesh: FakeMesh, peer: FakePeer) -> None:
    elsewhere = mesh.start_peer("elsewhere")

    async def redirect(request: web.Request) -> web.StreamResponse | None:
        if request.url.port == int(peer.address.rsplit(":", 1)[1]):
            return web.Response(status=307, headers={"Location": f"{elsewhere.url}/api/v1/jobs"})
        return None

    mesh.mishaps.append(redirect)
    with pytest.raises(CliError, match="answered 307"):
        client(Host(peer.url, token="t")).get("/api/v1/jobs")
    assert {seen.peer for seen in mesh.seen} == {"render1"}


def test_the_next_host_is_asked_and_then_kept(mesh: FakeMesh) -> None:
    gone, alive = mesh.start_peer("gone"), mesh.start_peer("alive")
    gone.stop()
    said: list[str] = []
    asked = client(Host(gone.url), Host(alive.url), said=said)
    for _ in range(3):
        asked.get("/api/v1/jobs")
    assert said == [f"{gone.url} does not answer; going on with {alive.url}"]
    assert asked.url == alive.url


def test_a_silent_host_is_passed_over(mesh: FakeMesh) -> None:
    import socket

    alive = mesh.start_peer("alive")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        call = Call("GET", "/api/v1/jobs", read_timeout_s=0.2)
        assert client(Host(url), Host(alive.url)).request(call).status == 200
        with pytest.raises(Unreachable) as caught:
            client(Host(url)).request(call)
    assert caught.value.exit_code is Exit.TIMED_OUT


def test_a_busy_host_leaves_it_to_the_next_but_a_limit_does_not(mesh: FakeMesh, peer: FakePeer) -> None:
    other = mesh.start_peer("other")
    mesh.busy(1, retry_after="3600")
    client(Host(peer.url), Host(other.url)).get("/api/v1/jobs")
    assert [seen.peer for seen in mesh.seen] == ["render1", "other"]
    mesh.busy(1, status=429, retry_after="3600")
    with pytest.raises(CliError) as caught:
        client(Host(peer.url), Host(other.url)).get("/api/v1/jobs")
    assert caught.value.exit_code is Exit.BUSY
    assert [seen.peer for seen in mesh.seen] == ["render1", "other", "render1"]


def test_every_host_that_was_tried_is_named() -> None:
    with pytest.raises(Unreachable) as caught:
        client(Host("http://127.0.0.1:1"), Host("http://127.0.0.1:2")).get("/")
    assert caught.value.why == "http://127.0.0.1:1: connection refused; http://127.0.0.1:2: connection refused"


def test_learned_hosts_inherit_trust_and_are_bounded(mesh: FakeMesh, peer: FakePeer) -> None:
    asked = client(Host("http://127.0.0.1:1", token="t"))
    asked.learn([peer.url, peer.url, *(f"http://127.0.0.1:{port}" for port in range(2, 500))])
    asked.get("/api/v1/jobs")
    assert mesh.seen[0].headers["Authorization"] == "Bearer t"
    assert len(asked._hosts) == 64


def test_a_cursor_that_does_not_move_ends_the_list(mesh: FakeMesh, peer: FakePeer) -> None:
    async def stuck(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"jobs": [{"id": "a"}, "no job"], "cursor": "same"})

    mesh.mishaps.append(stuck)
    assert list(client(Host(peer.url)).pages("/api/v1/jobs", "jobs")) == [{"id": "a"}] * 2


def test_one_segment_holds_any_text() -> None:
    assert part("a/b?c#d e%é") == "a%2Fb%3Fc%23d%20e%25%C3%A9"
