from __future__ import annotations

from tests.peer.web.consul.conftest import TTL, Client


async def test_every_peer_answers_for_all(client: Client, other: Client):
    await other.put("agent/service/register", TTL)
    for asked in (client, other):
        [row] = await asked.get("health/service/web")
        assert row["Node"]["Node"] == other.name
        assert row["Service"]["ID"] == "web-1"
        assert [check["CheckID"] for check in row["Checks"]] == ["serfHealth", "service:web-1"]
        assert await asked.get("agent/services") == ({} if asked is client else await other.get("agent/services"))


async def test_passing_keeps_instances_whose_every_check_passes(client: Client, other: Client):
    await client.put("agent/service/register", TTL)
    await other.put("agent/service/register", {**TTL, "ID": "web-2", "Check": None})
    assert [row["Service"]["ID"] for row in await client.get("health/service/web?passing")] == ["web-2"]
    await client.put("agent/check/pass/service:web-1")
    assert len(await client.get("health/service/web?passing=true")) == 2
    client.registry.see(other.registry.me, "dead", other.registry.card)
    assert [row["Service"]["ID"] for row in await client.get("health/service/web?passing=1")] == ["web-1"]
    assert len(await client.get("health/service/web?passing=false")) == 2
    client.registry.see(other.registry.me, "left", other.registry.card)
    assert [row["Service"]["ID"] for row in await client.get("health/service/web")] == ["web-1"]
    assert "passing" in await client.fails(400, "health/service/web?passing=perhaps", method="GET")


async def test_what_is_not_there_is_empty_and_never_null(client: Client):
    for path in ("health/service/none", "catalog/service/none", "health/node/none", "health/checks/none", "health/state/bogus"):
        assert await client.get(path) == []
    assert await client.get("catalog/node/none") is None  # as with Consul


async def test_catalog_rows_are_consuls(client: Client):
    await client.put("agent/service/register", {**TTL, "Address": "127.0.0.1", "Meta": {"k": "v"}})
    [row] = await client.get("catalog/service/web")
    assert row["ServiceMeta"] == {"k": "v"}
    assert row["ServiceTaggedAddresses"]["lan_ipv4"] == {"Address": "127.0.0.1", "Port": 80}
    assert row["TaggedAddresses"]["lan"] == row["Address"] == "127.0.0.1"
    assert len(row["ID"]) == 36
    assert (await client.get("catalog/services"))["web"] == ["a"]
    name = row["Node"]
    node = await client.get(f"catalog/node/{name}")
    assert set(node["Services"]) == {"rendermesh", "web-1"}
    assert node["Node"]["Node"] == name
    assert [one["Node"] for one in await client.get("catalog/nodes")] == [name]
    assert await client.get("catalog/datacenters") == ["default"]
    assert {check["CheckID"] for check in await client.get(f"health/node/{name}")} >= {"serfHealth", "service:web-1"}


async def test_checks_by_service_and_by_state(client: Client):
    await client.put("agent/service/register", TTL)
    assert [row["CheckID"] for row in await client.get("health/checks/web")] == ["service:web-1"]
    assert [row["CheckID"] for row in await client.get("health/state/critical")] == ["service:web-1"]
    assert len(await client.get("health/state/any")) == 3
    assert await client.get("health/state/warning") == []


async def test_filters_by_tag_and_by_label(client: Client):
    await client.put("agent/service/register", {**TTL, "Tags": ["Blue", "fast"]})
    assert len(await client.get("health/service/web?tag=blue&tag=FAST")) == 1
    assert await client.get("catalog/service/web?tag=red") == []
    assert await client.get("catalog/nodes?node-meta=gpu:rtx") == []
    assert await client.get("catalog/services?node-meta=gpu:rtx") == {}


async def test_the_leader_is_a_live_peer_and_the_same_for_all(client: Client, other: Client):
    leader = await client.get("status/leader")
    assert leader == await other.get("status/leader")
    assert leader in await client.get("status/peers")
    assert len(await client.get("status/peers")) == 2
    for registry in (client.registry, other.registry):
        client.registry.see(registry.me, "dead", registry.card)
    assert await client.get("status/leader") == ""


async def test_another_datacenter_is_nowhere(client: Client):
    assert len(await client.get("catalog/nodes?dc=default")) == 1
    assert await client.fails(500, "health/service/web?dc=dc2", method="GET") == "No path to datacenter"
    assert "not supported" in await client.fails(400, "catalog/nodes?filter=x", method="GET")
    assert "conflicting" in await client.fails(400, "catalog/nodes?stale&consistent", method="GET")


async def test_pretty_is_for_people(client: Client):
    assert "\n    " in await (await client.send("GET", "catalog/nodes?pretty")).text()
