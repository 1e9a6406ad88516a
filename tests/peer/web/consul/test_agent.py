from __future__ import annotations

import io
from urllib.parse import quote

import pytest

from protocol import limits
from protocol.errors import Unavailable
from protocol.services import ProtocolSeen
from tests.peer.web.conftest import Farm
from tests.peer.web.consul.conftest import TTL, Client


async def test_what_was_registered_is_shown_as_consul_shows_it(client: Client):
    await client.put("agent/service/register", TTL)
    assert await client.get("agent/services") == {
        "web-1": {
            "ID": "web-1", "Service": "web", "Tags": ["a"], "Meta": {}, "Port": 80, "Address": "",
            "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": False,
        }
    }  # fmt: skip
    assert (await client.get("agent/service/web-1"))["Service"] == "web"
    assert await client.get("agent/checks") == {
        "service:web-1": {
            "Node": client.registry.nodes()[0].name, "CheckID": "service:web-1", "Name": "Service 'web' check",
            "Status": "critical", "Notes": "", "Output": "", "ServiceID": "web-1", "ServiceName": "web", "ServiceTags": ["a"],
            "Type": "ttl", "Definition": {}, "CreateIndex": 0, "ModifyIndex": 0,
        }
    }  # fmt: skip


async def test_a_ttl_check_is_passed_warned_failed_and_updated(client: Client):
    await client.put("agent/service/register", TTL)

    async def status() -> tuple[str, str]:
        row = (await client.get("agent/checks"))["service:web-1"]
        return row["Status"], row["Output"]

    await client.put("agent/check/pass/service:web-1?note=fine")
    assert await status() == ("passing", "fine")
    await client.put("agent/check/warn/service:web-1")
    assert await status() == ("warning", "")
    await client.put("agent/check/fail/service:web-1?note=out")
    assert await status() == ("critical", "out")
    await client.put("agent/check/update/service:web-1", {"Status": "passing", "output": "x" * 9_000})
    assert await status() == ("passing", "x" * limits.CHECK_OUTPUT_BYTES_MAX)
    client.registry.pass_time(11)
    assert (await status())[1].startswith("TTL expired")


async def test_a_check_of_the_peer_comes_and_goes(client: Client):
    await client.put("agent/check/register", {"Name": "load", "TTL": "5s", "Status": "passing"})
    assert (await client.get("agent/checks"))["load"]["ServiceID"] == ""
    await client.put("agent/check/deregister/load")
    await client.put("agent/check/deregister/load")
    assert await client.get("agent/checks") == {}


async def test_other_checks_of_a_service_stay_unless_they_are_to_go(client: Client):
    await client.put("agent/service/register", TTL)
    await client.put("agent/check/register", {"Name": "more", "TTL": "5s", "ServiceID": "web-1"})
    await client.put("agent/service/register", TTL)
    assert len(await client.get("agent/checks")) == 2
    await client.put("agent/service/register?replace-existing-checks", TTL)
    assert len(await client.get("agent/checks")) == 1


async def test_maintenance(client: Client):
    await client.put("agent/service/register", {"Name": "web"})
    await client.put("agent/service/maintenance/web?enable=true&reason=disk+swap")
    row = (await client.get("agent/checks"))["_service_maintenance:web"]
    assert (row["Status"], row["Notes"], row["Type"]) == ("critical", "disk swap", "maintenance")
    response = await client.send("GET", "agent/health/service/id/web?format=text")
    assert (response.status, await response.text()) == (503, "maintenance")
    await client.put("agent/service/maintenance/web?enable=false")
    assert await client.get("agent/checks") == {}
    assert await client.fails(400, "agent/service/maintenance/web") == "Missing value for enable"
    assert await client.fails(400, "agent/service/maintenance/web?enable=x") == 'Invalid value for enable: "x"'
    assert await client.fails(404, "agent/service/maintenance/no?enable=true") == 'No service registered with ID "no"'


@pytest.mark.parametrize("key", ["ü/ä ?", "a/b", "%", "..x", "日本", "a b&c=d", "service:x:1", "#"])
async def test_odd_ids_are_ids(client: Client, key: str):
    path = quote(key, safe="")
    await client.put("agent/service/register", {"Name": "odd", "ID": key, "Tags": [key], "Check": {"TTL": "1s", "CheckID": key}})
    assert (await client.get(f"agent/service/{path}"))["ID"] == key
    await client.put(f"agent/check/pass/{path}")
    assert (await client.get("health/service/odd?passing&tag=" + path))[0]["Service"]["Tags"] == [key]
    await client.put(f"agent/service/deregister/{path}")
    assert await client.get("agent/services") == {}


async def test_errors_are_sentences(client: Client):
    assert await client.fails(404, "agent/check/pass/x") == 'CheckID "x" does not have associated TTL'
    assert await client.fails(404, "agent/service/none", method="GET") == "unknown service ID: none"
    assert await client.fails(405, "agent/check/pass/x", method="GET") == "method GET not allowed"
    assert "does not exist" in await client.fails(404, "agent/check/register", json={"Name": "n", "TTL": "1s", "ServiceID": "no"})
    await client.put("agent/service/register", TTL)
    path = "agent/check/update/service:web-1"
    assert await client.fails(400, path, json={"Status": "bad"}) == "Invalid check status: 'bad'"
    assert "Invalid check status" in await client.fails(400, path, json={"Status": ["passing"]})
    assert "/docs" in await client.fails(404, "agent/nothing", method="GET")


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"[1]", b'"x"', b"{" * 5_000, b"[" * 100_000, b"\xff\xfe", b'{"Name":', b'{"Name": "\\ud800"}']
)
async def test_garbage_is_refused_and_changes_nothing(client: Client, body: bytes):
    for path in ("agent/service/register", "agent/check/register", "agent/check/update/x"):
        await client.fails(400, path, data=body)
    assert await client.get("agent/services") == await client.get("agent/checks") == {}


async def test_a_body_may_come_under_any_content_type(client: Client):
    response = await client.send("PUT", "agent/service/register", data=b'{"name":"web"}', headers={"Content-Type": "text/plain"})
    assert response.status == 200
    assert list(await client.get("agent/services")) == ["web"]


async def test_a_body_that_is_too_large_is_not_read(client: Client):
    await client.fails(413, "agent/service/register", data=io.BytesIO(b"x" * (limits.HTTP_BODY_BYTES_MAX + 1)))


async def test_more_services_than_there_may_be_are_refused(client: Client):
    for number in range(limits.SERVICES_PER_PEER_MAX):
        await client.put("agent/service/register", {"Name": f"s{number}"})
    assert "500" in await client.fails(409, "agent/service/register", json={"Name": "more"})


async def test_health_in_a_word(client: Client):
    await client.put("agent/service/register", TTL)

    async def word(path: str) -> tuple[int, str]:
        response = await client.send("GET", f"agent/health/service/{path}")
        return response.status, response.headers["X-Consul-Reason"]

    assert await word("id/web-1") == (503, "critical")
    await client.put("agent/check/warn/service:web-1")
    assert await word("id/web-1") == (429, "warning")
    await client.put("agent/check/pass/service:web-1")
    assert await word("id/web-1") == await word("name/web") == (200, "passing")
    await client.put("agent/check/register", {"Name": "load", "TTL": "5s"})
    assert await word("name/web") == (503, "critical")  # what is about the peer is about the service
    row = (await (await client.send("GET", "agent/health/service/name/web")).json())[0]
    assert row["AggregatedStatus"] == "critical"
    assert [check["CheckID"] for check in row["Checks"]] == ["load", "service:web-1"]
    assert await word("id/nope") == (404, "ServiceId nope not found")
    assert await word("name/nope") == (404, "ServiceName nope Not Found")


async def test_self_and_members_name_this_peer(client: Client, other: Client):
    me = await client.get("agent/self")
    assert me["Config"]["NodeName"] == me["Member"]["Name"] == client.name
    assert me["Config"]["Datacenter"] == "default"
    assert {row["Status"] for row in await client.get("agent/members")} == {1}
    client.registry.see(other.registry.me, "dead", None)
    assert sorted(row["Status"] for row in await client.get("agent/members")) == [1, 4]
    client.registry.see(other.registry.me, "left", None)
    assert sorted(row["Status"] for row in await client.get("agent/members")) == [1, 3]


async def test_every_member_tells_its_own_versions_and_the_one_that_is_spoken(client: Client, other: Client):
    client.registry.spoken = {client.registry.me: ProtocolSeen(1, 4, 3), other.registry.me: ProtocolSeen(2, 3, 3)}
    rows = await client.get("agent/members")
    assert sorted((row["ProtocolMin"], row["ProtocolMax"], row["ProtocolCur"]) for row in rows) == [(1, 4, 3), (2, 3, 3)]
    assert (await client.get("agent/self"))["Member"] in rows


async def test_join_leave_and_force_leave(client: Client, other: Client):
    await client.put("agent/join/127.0.0.1:7700")
    assert client.registry.joined == ["127.0.0.1:7700"]
    assert "Failed to join" in await client.fails(503, "agent/join/nowhere")
    await client.put(f"agent/force-leave/{other.registry.me}")
    assert client.registry.forced == [other.registry.me]
    assert await client.fails(404, "agent/force-leave/none") == "agent: No node found with name 'none'"
    await client.put("agent/leave")
    assert client.registry.left


async def test_a_full_disk_is_said(client: Client):
    client.registry.refusal = Unavailable("store_full", "this peer's disk is full", retry_after_s=30)
    response = await client.send("PUT", "agent/service/register", json=TTL)
    assert (response.status, response.headers["Retry-After"]) == (503, "30")


async def test_registering_needs_the_operator_role_and_reading_the_viewers(farm: Farm):
    viewer = Client(await farm.add("viewer", roles=lambda _: "viewer"))
    assert await viewer.get("agent/services") == {}
    assert "operator" in await viewer.fails(403, "agent/service/register", json=TTL)
    assert "operator" in await viewer.fails(403, "agent/check/pass/x")
    operator = Client(await farm.add("operator", roles=lambda _: "operator"))
    await operator.put("agent/service/register", TTL)
    assert "admin" in await operator.fails(403, "agent/leave")
    nobody = Client(await farm.add("nobody", roles=lambda _: None))
    await nobody.fails(401, "agent/services", method="GET")
