from __future__ import annotations

from tests.peer.web.conftest import Farm, problem_of


async def test_settings_need_an_operator(farm: Farm):
    viewer, operator = await farm.add("one", roles=lambda _: "viewer"), await farm.add("two", roles=lambda _: "operator")
    await problem_of(await viewer.client.get("/api/v1/config"), 403, "role_too_low")
    body = await (await operator.client.get("/api/v1/config")).json()
    assert [row["name"] for row in body["settings"]] == ["slots", "mesh_key"]
