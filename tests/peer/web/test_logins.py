"""Wrong, revoked, foreign and malformed keys; and how many of them a peer listens to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerHour

from peer.access import KeyVerifier
from peer.telemetry.metrics import Metrics
from peer.web.logins import Failures, Logins, credentials, network_of
from peer.web.problems import Refused
from peer.web.site import SITE
from protocol import limits
from protocol.access.roles import Role
from protocol.ids import JobId
from tests.fuzzing import refused, texts
from tests.peer.web.conftest import Farm, WebPeer, problem_of
from tests.waiting import wait_until

JOBS = "/api/v1/jobs"


async def guarded(farm: Farm, name: str = "one", *, anonymous: Role | None = None, failures: int = 1_000) -> WebPeer:
    """A peer whose user port asks for a key of its own mesh."""
    found: list[WebPeer] = []
    verifier = KeyVerifier(lambda key: found[0].mesh.kept_keys.get(key))
    logins = Logins([verifier], anonymous=anonymous, metrics=Metrics(), failures=RateLimitItemPerHour(failures))
    roles = {"roles": logins.role, "roles_now": logins.role_now, "rights_look_s": 0.01}
    found.append(await farm.add(name, **roles, submitter=logins.submitter))
    return found[0]


async def key_for(peer: WebPeer, role: Role = "submitter", name: str = "alice") -> str:
    _, text = await peer.mesh.create_key(name=name, role=role)
    return text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def test_a_key_opens_what_its_role_may_see(farm: Farm):
    peer = await guarded(farm)
    viewer, admin = await key_for(peer, "viewer"), await key_for(peer, "admin")
    for headers in (bearer(viewer), {"X-API-Key": viewer}, {"Authorization": f"bearer   {viewer} "}):
        assert (await peer.client.get(JOBS, headers=headers)).status == 200
    both = {"X-API-Key": viewer, **bearer(viewer)}
    assert (await peer.client.get(JOBS, headers=both)).status == 200
    await problem_of(await peer.client.get("/api/v1/tokens", headers=bearer(viewer)), 403, "role_too_low")
    assert (await peer.client.get("/api/v1/tokens", headers=bearer(admin))).status == 200


async def test_no_key_is_401_with_a_challenge(farm: Farm):
    peer = await guarded(farm)
    response = await peer.client.get(JOBS)
    await problem_of(response, 401, "login_needed")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_revoked_key_a_wrong_one_and_one_of_another_mesh_all_get_the_same_answer(farm: Farm):
    peer, other = await guarded(farm), await guarded(farm, "other")
    revoked, foreign = await key_for(peer), await key_for(other)
    await peer.mesh.revoke_key(revoked.split("_")[1])
    wrong = revoked[:-1] + ("0" if revoked[-1] != "0" else "1")
    details = set()
    for text in (revoked, foreign, wrong, f"mk_{'0' * 16}_{'0' * 40}", "hunter2", "mk__", "a.b.c"):
        response = await peer.client.get(JOBS, headers=bearer(text))
        document = await problem_of(response, 401, "bad_key")
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert text not in document["detail"]
        details.add(document["detail"])
    assert len(details) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic YWxpY2U6aHVudGVyMg=="},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "mk_0011223344556677_" + "0" * 40},
        {"Authorization": "Bearer one", "X-API-Key": "two"},
    ],
)
async def test_a_malformed_header_is_401_and_says_what_to_send(farm: Farm, headers: dict[str, str]):
    peer = await guarded(farm)
    document = await problem_of(await peer.client.get(JOBS, headers=headers), 401, "bad_credentials")
    assert "send one" in document["detail"] or "Bearer KEY" in document["detail"]


@pytest.mark.parametrize("text", ["ключ", "mk_é_ü", "mk_0011223344556677_" + "😀" * 10, "x" * 4_000, "' OR 1=1 --", "../../etc"])
async def test_odd_characters_are_a_wrong_key_and_nothing_else(farm: Farm, text: str):
    peer = await guarded(farm)
    await problem_of(await peer.client.get(JOBS, headers=bearer(text)), 401, "bad_key")


async def test_a_header_larger_than_any_key_is_refused_before_it_is_looked_at(farm: Farm):
    peer = await guarded(farm)
    response = await peer.client.get(JOBS, headers=bearer("x" * 100_000))
    assert response.status in (400, 431)
    assert (await peer.client.get("/health")).status == 200


async def test_a_consul_token_counts_on_the_paths_of_consul_alone(farm: Farm):
    peer = await guarded(farm)
    headers = {"X-Consul-Token": await key_for(peer, "admin")}
    await problem_of(await peer.client.get(JOBS, headers=headers), 401, "login_needed")


async def test_an_anonymous_role_is_for_those_without_a_key_not_for_those_with_a_wrong_one(farm: Farm):
    peer = await guarded(farm, anonymous="viewer")
    assert (await peer.client.get(JOBS)).status == 200
    await problem_of(await peer.client.post(JOBS, json={"renderer": "null", "frames": "1"}), 403, "role_too_low")
    await problem_of(await peer.client.get(JOBS, headers=bearer("hunter2")), 401, "bad_key")
    key = await key_for(peer)
    response = await peer.client.post(JOBS, json={"renderer": "null", "frames": "1"}, headers=bearer(key))
    assert response.status == 202


async def test_where_nobody_needs_a_key_a_foreign_one_does_no_harm(farm: Farm):
    peer = await guarded(farm, anonymous="admin")
    assert (await peer.client.get("/api/v1/tokens", headers=bearer("of-another-mesh"))).status == 200
    viewer = await key_for(peer, "viewer")
    await problem_of(await peer.client.get("/api/v1/tokens", headers=bearer(viewer)), 403, "role_too_low")


async def test_what_is_public_says_no_more_to_a_wrong_key_than_to_none(farm: Farm):
    peer = await guarded(farm)
    for headers in ({}, bearer("hunter2")):
        response = await peer.client.get("/health", headers=headers)
        assert (response.status, (await response.json())["checks"]) == (200, [])
    response = await peer.client.get("/health", headers=bearer(await key_for(peer, "viewer")))
    assert (await response.json())["checks"] != []


async def test_whoever_guesses_is_slowed_down_and_a_right_key_still_opens(farm: Farm):
    peer = await guarded(farm, failures=3)
    key = await key_for(peer)
    for _ in range(3):
        await problem_of(await peer.client.get(JOBS, headers=bearer("guess")), 401, "bad_key")
    response = await peer.client.get(JOBS, headers=bearer("guess"))
    await problem_of(response, 429, "too_many_failed_logins")
    assert int(response.headers["Retry-After"]) >= 1
    assert (await peer.client.get(JOBS, headers=bearer(key))).status == 200
    await problem_of(await peer.client.get(JOBS), 401, "login_needed")


async def test_a_job_belongs_to_the_key_that_submitted_it_also_when_another_peer_is_asked(farm: Farm):
    one, two = await guarded(farm, "one"), await guarded(farm, "two")
    key = await key_for(one)
    body = {"renderer": "null", "frames": "1"}
    made = await (await one.client.post(JOBS, json=body, headers=bearer(key))).json()
    kept = one.mesh.kept[made["id"]]
    assert kept.submitter == f"alice/{key.split('_')[1]}"
    two_key = await key_for(two, "submitter", "bob")
    response = await two.client.post(f"{JOBS}/{made['id']}/pause", headers=bearer(two_key))
    assert response.status == 200
    _, headers = one.passed_on[-1]
    assert headers["X-Rendermesh-Role"] == "submitter"
    assert headers["X-Rendermesh-Submitter"] == f"bob/{two_key.split('_')[1]}"
    assert two_key not in str(headers)


async def test_failed_logins_are_counted(farm: Farm):
    metrics, found = Metrics(), []
    logins = Logins([KeyVerifier(lambda _: None)], anonymous=None, metrics=metrics)
    found.append(await farm.add("one", roles=logins.role, submitter=logins.submitter))
    await found[0].client.get(JOBS, headers=bearer("guess"))
    await found[0].client.get("/health", headers=bearer("guess"))
    assert b'rendermesh_logins_failed_total{reason="bad_key"} 2.0' in metrics.render()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        ("/run/peer.sock", "unknown"),
    ],
)
def test_one_host_is_one_address(address: str, network: str):
    assert network_of(address) == network


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "LOGIN_ADDRESSES_MAX", 5)
    failures = Failures(RateLimitItemPerHour(1))
    waits: list[Any] = [failures.wait_s(f"192.0.2.{number}") for number in range(100)]
    assert waits == [None] * 100
    assert len(failures._storage.storage) <= 5


NAMES = st.sampled_from(["Authorization", "X-API-Key", "X-Consul-Token"])
VALUES = texts.map(lambda text: text.encode("utf-8", "replace").decode()) | st.sampled_from(
    ["Bearer", "Bearer a", "bearer  a ", "Basic eDp5"]
)


@given(st.sampled_from(["/v1/agent/self", "/api/v1/jobs"]), st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_headers_show_one_key_or_none_or_are_refused(path: str, headers: dict[str, str]):
    request = make_mocked_request("GET", path, headers=headers)
    error = refused(credentials, request, by=Refused)
    if error is None:
        assert credentials(request) is None or KeyVerifier(lambda _: None).verify(credentials(request) or "") is None
    else:
        assert (error.status, error.code) == (401, "bad_credentials")
        assert all(value not in error.detail for value in headers.values() if len(value) > 9)


@given(texts | st.ip_addresses().map(str) | st.sampled_from(["fe80::1%eth0", "::ffff:10.0.0.1", "1.2.3.4%x"]))
def test_any_address_counts_as_one_network(text: str):
    assert network_of(text) == "unknown" or network_of(network_of(text)) == network_of(text)


# ---- answers that last -------------------------------------------------------------------------------------------


async def revoke(peer: WebPeer, text: str) -> None:
    await peer.mesh.revoke_key(text.split("_")[1])


async def test_a_stream_of_events_ends_when_its_key_is_revoked_and_says_so(farm: Farm):
    peer = await guarded(farm)
    key, other = await key_for(peer, "viewer"), await key_for(peer, "viewer", "bob")
    streams = [await peer.client.get("/api/v1/events", headers=bearer(text)) for text in (key, other)]
    await wait_until(lambda: peer.mesh.listeners == 2)
    await revoke(peer, key)
    peer.mesh.note("secret_plan")
    async with asyncio.timeout(10):
        told = await streams[0].read()
    assert told.endswith(b": the key of this stream does not count any more\n\n")
    assert b"secret_plan" not in told
    await wait_until(lambda: peer.mesh.listeners == 1)
    while b"secret_plan" not in await streams[1].content.readline():  # the other one goes on
        pass
    streams[1].close()


async def test_a_silent_stream_ends_when_its_key_is_revoked(farm: Farm):
    peer = await guarded(farm)
    key = await key_for(peer, "viewer")
    stream = await peer.client.get("/api/v1/events", headers=bearer(key))
    await wait_until(lambda: peer.mesh.listeners == 1)
    await revoke(peer, key)
    async with asyncio.timeout(10):
        await stream.read()
    await problem_of(await peer.client.get("/api/v1/events", headers=bearer(key)), 401, "bad_key")


async def test_a_stream_that_another_peer_feeds_ends_when_its_key_is_revoked_here(farm: Farm):
    one, two = await farm.add("one"), await guarded(farm, "two")
    job, key = (await one.submit())["id"], await key_for(two, "viewer")
    stream = await two.client.get(f"/api/v1/jobs/{job}/events", headers=bearer(key))
    assert stream.status == 200
    await wait_until(lambda: one.mesh.listeners == 1)
    await revoke(two, key)
    async with asyncio.timeout(10):
        await stream.read()

    def gone() -> bool:
        one.mesh.note("tick", job)
        return one.mesh.listeners == 0

    await wait_until(gone)


LARGE = bytes(range(256)) * 4_096  # a megabyte; 64 of them are more than sockets hold


async def large_job(peer: WebPeer, frames: int, *, key: str | None = None) -> JobId:
    """64 MB in so many frames; the key where the peer asks for one."""
    spec = {"renderer": "null", "frames": f"1-{frames}"}
    made = await peer.client.post(JOBS, json=spec, headers=bearer(key) if key is not None else {})
    job = JobId((await made.json())["id"])
    for frame in range(1, frames + 1):
        peer.mesh.finish(job, frame, LARGE * (64 // frames))
    return job


async def begun(peer: WebPeer, path: str, key: str) -> aiohttp.ClientResponse:
    """An answer of which the first bytes are read."""
    response = await peer.client.get(path, headers=bearer(key))
    assert response.status == 200
    await response.content.readexactly(1_000)
    return response


@pytest.mark.parametrize("what", ["archive", "frames/1", "frames/1/outputs/0001.png"])
@pytest.mark.parametrize("relayed", [False, True], ids=["here", "relayed"])
async def test_a_download_is_cut_when_its_key_is_revoked_and_others_are_not(farm: Farm, what: str, relayed: bool):
    peer = await guarded(farm)
    owner = await farm.add("two") if relayed else peer
    job = await large_job(owner, 64 if what == "archive" else 1, key=None if relayed else await key_for(peer, name="eve"))
    path = f"/api/v1/jobs/{job}/{what}"
    key, other = await key_for(peer, "viewer"), await key_for(peer, "viewer", "bob")
    cut, whole = await begun(peer, path, key), await begun(peer, path, other)
    await revoke(peer, key)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with asyncio.timeout(60):
            await cut.read()
    rest = await whole.read()
    assert 1_000 + len(rest) >= 64 * len(LARGE)
    await problem_of(await peer.client.get(path, headers=bearer(key)), 401, "bad_key")
    if what == "archive":
        await wait_until(lambda: owner.app[SITE].archives.used == 0)


@pytest.mark.parametrize("what", ["archive", "frames/1"])
async def test_a_download_whose_bytes_came_too_late_is_401_and_no_broken_answer(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, what: str
):
    peer = await guarded(farm)
    job, key = await large_job(peer, 1, key=await key_for(peer, name="eve")), await key_for(peer, "viewer")

    async def bring(*_: object, **__: object) -> None:
        await revoke(peer, key)

    for module in ("frames", "archive"):
        monkeypatch.setattr(f"peer.web.{module}.bring", bring)
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/{what}", headers=bearer(key)), 401, "bad_key")


async def test_what_was_sent_under_a_key_that_was_revoked_meanwhile_becomes_no_job(farm: Farm):
    peer = await guarded(farm)
    key, other = await key_for(peer), await key_for(peer, name="bob")
    parts = [b'--x\r\nContent-Disposition: form-data; name="renderer"\r\n\r\nnull\r\n']
    parts += [b'--x\r\nContent-Disposition: form-data; name="frames"\r\n\r\n1-3\r\n', b"--x--\r\n"]

    async def body() -> AsyncIterator[bytes]:
        yield parts[0]
        await wait_until(lambda: peer.app[SITE].uploads.used > 0)
        await revoke(peer, key)
        yield parts[1] + parts[2]

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    await problem_of(await peer.client.post(JOBS, data=body(), headers={**bearer(key), **kind}), 401, "bad_key")
    assert not peer.mesh.kept
    assert (await peer.client.post(JOBS, data=b"".join(parts), headers={**bearer(other), **kind})).status == 202


async def test_a_waiting_query_is_refused_when_its_key_was_revoked_meanwhile(farm: Farm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "BLOCKING_LOOK_S", 0.01)
    peer = await guarded(farm)
    key = await key_for(peer, "viewer")
    first = await peer.client.get("/v1/catalog/services", headers=bearer(key))
    path = f"/v1/catalog/services?index={first.headers['X-Consul-Index']}&wait=5m"
    waiting = asyncio.create_task(peer.client.get(path, headers=bearer(key)))
    await wait_until(lambda: peer.app[SITE].waiting.used == 1)
    await revoke(peer, key)
    async with asyncio.timeout(10):
        answer = await waiting
    assert answer.status == 401
    assert peer.app[SITE].waiting.used == 0


async def test_a_stream_that_ended_is_no_failed_login(farm: Farm):
    peer = await guarded(farm, failures=1)
    key = await key_for(peer, "viewer")
    stream = await peer.client.get("/api/v1/events", headers=bearer(key))
    await revoke(peer, key)
    await stream.read()
    assert (await peer.client.get(JOBS, headers=bearer(key))).status == 401  # the first one, not 429


async def test_who_needs_no_key_keeps_its_stream(farm: Farm):
    peer = await guarded(farm, anonymous="viewer")
    stream = await peer.client.get("/api/v1/events")
    await wait_until(lambda: peer.mesh.listeners == 1)
    await revoke(peer, await key_for(peer, "viewer"))
    peer.mesh.note("first")
    while b"first" not in await stream.content.readline():
        pass
    stream.close()
