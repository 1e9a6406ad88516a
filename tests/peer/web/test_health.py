from __future__ import annotations

import pytest

from peer.web.health import worst_of
from peer.web.site import SITE
from tests.peer.web.conftest import Farm, WebPeer


@pytest.mark.parametrize(
    ("statuses", "worst", "code"),
    [
        (["passing"], "passing", 200),
        (["passing", "warning"], "warning", 429),
        (["warning", "critical", "passing"], "critical", 503),
        ([], "passing", 200),
    ],
)
async def test_the_worst_check_counts(peer: WebPeer, statuses: list[str], worst: str, code: int):
    peer.mesh.own_checks = [(f"check {index}", status, "text") for index, status in enumerate(statuses)]
    response = await peer.client.get("/health")
    body = await response.json()
    assert (response.status, body["status"], len(body["checks"])) == (code, worst, len(statuses))


def test_a_status_that_is_unknown_is_the_worst():
    assert worst_of([("a", "purple", "")]) == "critical"


async def test_strangers_see_no_detail(farm: Farm):
    peer = await farm.add("one", roles=lambda _: None)  # this machine is a stranger too: a proxy on it speaks for all
    assert await (await peer.client.get("/health")).json() == {"status": "passing", "checks": []}


async def test_probes(peer: WebPeer):
    for probe in ("startup", "live", "ready"):
        assert (await peer.client.get(f"/healthz/{probe}")).status == 200
    peer.mesh.own_checks = [("disk", "warning", "90 % full")]
    assert (await peer.client.get("/healthz/ready")).status == 200
    peer.mesh.own_checks = [("disk", "critical", "full")]
    assert (await peer.client.get("/healthz/ready")).status == 503
    peer.mesh.own_checks = []
    peer.mesh.draining = True
    assert (await (await peer.client.get("/healthz/ready")).text()) == "draining"
    peer.mesh.draining = False
    peer.app[SITE].closing.set()
    assert (await peer.client.get("/healthz/ready")).status == 503
    assert (await peer.client.get("/healthz/live")).status == 200
