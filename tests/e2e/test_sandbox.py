"""A job's demand for a sandbox against what real peers have found that they can do."""

from __future__ import annotations

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.sandbox


async def test_a_job_waits_for_a_peer_with_the_sandbox_that_it_demands(mesh):
    weak = await mesh.start("weak", "--sandbox", "landlock")
    done = mesh.peerctl(weak, "submit", "--renderer", "null", "-f", "1-3", "--sandbox", "bwrap", "-o", "name")
    job = done.stdout.strip()
    await wait_until(lambda: "sandbox" in [reason["code"] for reason in weak.job(job)["waiting_because"]])
    why = mesh.peerctl(weak, "why", job)
    assert "demands the sandbox bwrap, it has landlock" in why.stdout
    strong = await mesh.start("strong", join=weak)
    assert (await weak.until_ended(job))["state"] == "completed"
    assert {frame["peer"] for frame in weak.frames(job)} == {strong.id}

    def shown(name: str, sandbox: str) -> bool:
        """The name and what a peer can do come with its catalogue, after the member itself."""
        rows = mesh.peerctl(weak, "peers", "-o", "wide").stdout.splitlines()[1:]
        return any(line.split()[1] == name and f" {sandbox} " in line for line in rows)

    await wait_until(lambda: shown("weak", "landlock") and shown("strong", "bwrap"))
