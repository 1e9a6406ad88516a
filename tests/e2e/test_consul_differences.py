"""A peer and a real Consul agent answer the same calls; how they differ is a committed list, each entry with its reason."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pytest
import urllib3

from tests.e2e.consul_calls import CALLS, Agent, Difference, ask, differences, listed
from tests.e2e.mesh import Mesh
from tests.peer.discovery.agents import real_agent
from tests.waiting import wait_until


def who(pool: urllib3.PoolManager, url: str) -> Agent:
    config = pool.request("GET", f"{url}/v1/agent/self").json()["Config"]
    return Agent(url, config["NodeName"], config["NodeID"], config["Datacenter"], config["Version"])


@pytest.mark.consul
@pytest.mark.slow
async def test_a_peer_differs_from_a_consul_agent_as_listed_and_not_otherwise(mesh: Mesh, tmp_path: Path):
    [peer] = await mesh.start_many("oak")
    pool = urllib3.PoolManager(retries=False, timeout=30)
    found: dict[Difference, set[str]] = defaultdict(set)
    async with real_agent(tmp_path) as url:
        ours, theirs = who(pool, peer.url), who(pool, url)
        await wait_until(
            lambda: pool.request("GET", f"{url}/v1/catalog/nodes").json()[0]["TaggedAddresses"]
        )  # it has told itself
        assert ours.version == version("rendermesh")
        for method, path, body in CALLS:
            for difference in await settled(pool, ours, theirs, method, path, body):
                found[difference].add(f"{method} {path}")
    pool.clear()
    assert {difference: sorted(calls) for difference, calls in found.items()} == listed()


async def settled(
    pool: urllib3.PoolManager, ours: Agent, theirs: Agent, method: str, path: str, body: object
) -> set[Difference]:  # fmt: skip
    """How the answers to one call differ. An agent tells its catalogue of a change a little later: reads are tried again."""
    known, latest = set(listed()), set[Difference]()

    def is_as_listed() -> bool:
        nonlocal latest
        answers = [ask(pool, agent, method, path, body) for agent in (ours, theirs)]
        latest = set(differences(answers[0], answers[1]))
        return latest <= known or method != "GET"

    with contextlib.suppress(AssertionError):  # the comparison at the end says it better
        await wait_until(is_as_listed, timeout_s=3.0)
    return latest
