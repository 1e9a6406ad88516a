"""A closed door under load: three peers with a mesh key, asked for every route by callers with no key, a wrong one, a
revoked one, another mesh's, and one of too low a role, while they render and gossip. Nobody may come in, and nothing may
suffer."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from peer.web.routes import TABLE
from protocol import limits
from protocol.access.roles import ROLES, Role, allows
from protocol.wire.seal import MeshKey, format_mesh_key
from tests.bench.callers import Ask, Caller, asks, calling
from tests.bench.measured import Row
from tests.e2e.mesh import FINAL, Mesh, PeerProcess
from tests.waiting import wait_until

NAMES: Final = ("ash", "birch", "cedar")
FRAMES, FRAME_MS = 20, 50
RUN_S_MAX: Final = 85.0
JOB_S_MAX: Final = 40.0
REVOKED_S: Final = 1.0
KNOWN_S_MAX: Final = 10.0
REFUSED_S_MAX: Final = 5.0
WORKERS_PER_PEER: Final = 4
WORDS_SHOWN: Final = 20
DICE: Final = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S", help="how long wrong callers push (default 15)")
    parser.add_argument("--revocations", type=int, default=9, metavar="N", help="how many keys are revoked (default 9)")


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """Every route, every kind of caller; bounded by `RUN_S_MAX`."""
    mesh = Mesh(folder)
    try:
        return asyncio.run(_bounded(_measure(mesh, options)))
    finally:
        mesh.close()


async def _bounded(work: Awaitable[list[Row]]) -> list[Row]:
    try:
        async with asyncio.timeout(RUN_S_MAX):
            return await work
    except TimeoutError:
        raise SystemExit(f"the door was not measured within {RUN_S_MAX:g} s: this machine is too slow or too busy") from None


@dataclass(slots=True)
class Door:
    """The closed mesh. Invariant: `wrong` holds what opens nothing, by what it is."""

    peers: list[PeerProcess]
    authority: Path
    admin: Caller
    asks: list[Ask] = field(default_factory=list)
    wrong: dict[str, str | None] = field(default_factory=dict)

    async def made(self, role: str, name: str, *, at: int = 0) -> str:
        """A new key, once every peer knows it."""
        status, said = await self.admin.json("POST", f"{self.peers[at].url}/api/v1/tokens", {"name": name, "role": role})
        if status != 201:
            raise SystemExit(f"no key could be made: {status} {said}")
        key = str(said["token"])
        async with calling(self.authority, key) as holder:
            await wait_until(lambda: self._let_in(holder), KNOWN_S_MAX)
        return key

    async def _let_in(self, holder: Caller) -> bool:
        answers = [await holder.json("GET", f"{peer.url}/api/v1/whoami") for peer in self.peers]
        return all(status == 200 for status, _ in answers)

    async def revoke(self, key: str, *, at: int = 0) -> None:
        """Revoke a key at one peer."""
        status, said = await self.admin.json("DELETE", f"{self.peers[at].url}/api/v1/tokens/{key.split('_')[1]}")
        if status != 200:
            raise SystemExit(f"a key could not be revoked: {status} {said}")

    async def refused(self, peer: PeerProcess, key: str) -> float:
        """The moment (monotonic, s) at which a peer first refuses a key that it has taken until now, or at which we gave up."""
        whoami = next(ask for ask in self.asks if ask.path == "/api/v1/whoami" and ask.method == "GET")
        async with calling(self.authority, key) as holder:
            until_s = time.monotonic() + REFUSED_S_MAX
            while await holder.status(peer.url, whoami) != 401 and time.monotonic() < until_s:
                pass
            return time.monotonic()


@dataclass(slots=True)
class Tally:
    """What was answered. `let_in` and `odd` name the requests that should not have been answered so."""

    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    let_in: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def take(self, who: str, ask: Ask, *, status: int, right: set[int]) -> None:
        """One answer. Let in is whoever was answered by more than the door: whatever is no 401, 403 or 429."""
        self.count += 1
        self.statuses[status] += 1
        if status in right:
            return
        words = f"{who}: {ask.method} {ask.path}: {status}"
        (self.odd if status in (0, 401, 403, 429) or status >= 500 else self.let_in).append(words)


async def _measure(mesh: Mesh, options: argparse.Namespace) -> list[Row]:
    async with AsyncExitStack() as stack:
        door = await _closed(mesh, stack)
        await _prepare(mesh, door)
        submitter = await stack.enter_async_context(calling(door.authority, await door.made("submitter", "load")))
        roles: dict[Role, str] = {role: await door.made(role, f"a {role}") for role in ROLES if role != "admin"}
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            loads = [group.create_task(_load(submitter, peer, ended)) for peer in door.peers]
            one_by_one, by_role, at_volume, within = Tally(), Tally(), Tally(), Tally()
            await asyncio.gather(*(_each(door, peer, one_by_one) for peer in door.peers))
            revoked_s: list[float] = []
            if not one_by_one.let_in:  # else somebody has been inside, and may have drained or ended the peers
                await asyncio.gather(*(_each_role(door, peer, roles, by_role, within) for peer in door.peers))
                revoked_s = await _under_pressure(door, options, at_volume)
            ended.set()
        jobs = [state for load in loads for state in load.result()]
    return _rows(door, jobs, revoked_s, options.seconds, one_by_one, by_role, at_volume, within)


async def _under_pressure(door: Door, options: argparse.Namespace, tally: Tally) -> list[float]:
    """Wrong callers by the thousand, and meanwhile keys that are revoked; how long each took (s)."""
    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS_PER_PEER * len(NAMES)):
            group.create_task(_push(door, number, options.seconds, tally))
        return [await _revocation(door, number) for number in range(options.revocations)]


async def _closed(mesh: Mesh, stack: AsyncExitStack) -> Door:
    """Three peers on addresses of their own, which have joined; the first has made the admin key."""
    file = _mesh_key(mesh, "mesh.key")
    peers: list[PeerProcess] = []
    for number, name in enumerate(NAMES):
        peers.append(await mesh.start(name, "--mesh-key-file", str(file), "--bind", f"127.0.0.{number + 2}"))
    folder = peers[0].data_dir
    key = (folder / "admin.key").read_text().strip()
    admin = await stack.enter_async_context(calling(folder / "ca.pem", key))

    async def all_joined() -> bool:
        answers = [await admin.json("GET", f"{peer.url}/api/v1/peers") for peer in peers]
        return all(status == 200 and sum(bool(row["capabilities"]) for row in said["peers"]) == 3 for status, said in answers)

    await wait_until(all_joined)
    return Door(peers, folder / "ca.pem", admin)


def _mesh_key(mesh: Mesh, name: str) -> Path:
    file = mesh.folder / name
    file.write_text(format_mesh_key(MeshKey(secrets.token_bytes(16), secrets.token_bytes(32))))
    file.chmod(0o600)
    return file


async def _prepare(mesh: Mesh, door: Door) -> None:
    """What is asked for, and what is shown in place of a key: all of it would be right somewhere, once, or nearly."""
    first = door.peers[0]
    status, said = await door.admin.json("POST", f"{first.url}/api/v1/jobs", {"renderer": "null", "frames": "1"})
    if status != 202:
        raise SystemExit(f"no job was taken: {status} {said}")
    door.asks = asks(TABLE, {"job": said["id"], "peer": first.id, "node": first.id, "state": "any", "service": "rendermesh"})
    gone = await door.made("admin", "gone")
    await door.revoke(gone)
    await asyncio.gather(*(door.refused(peer, gone) for peer in door.peers))
    key, _, secret = str(door.admin.key).rpartition("_")
    foreign = await mesh.start(
        "foreign", "--mesh-key-file", str(_mesh_key(mesh, "foreign.key")), "--bind", "127.0.0.9", "--join", "127.0.0.9:1"
    )
    await wait_until((foreign.data_dir / "admin.key").exists)
    door.wrong = {
        "no key": None,
        "wrong secret": f"{key}_{int(secret, 16) ^ 1:0{len(secret)}x}",
        "revoked key": gone,
        "foreign key": (foreign.data_dir / "admin.key").read_text().strip(),
    }


async def _each(door: Door, peer: PeerProcess, tally: Tally) -> None:
    """Every route that is not public with everything that opens nothing, each time as a caller that has not failed often."""
    closed = [ask for ask in door.asks if ask.route.permission != "public"]
    step = limits.LOGIN_FAILURES_PER_MINUTE_MAX
    for who, key in door.wrong.items():
        for start in range(0, len(closed), step):
            async with calling(door.authority, key) as caller:
                for ask in closed[start : start + step]:
                    tally.take(who, ask, status=await caller.status(peer.url, ask), right={401})


async def _each_role(door: Door, peer: PeerProcess, keys: dict[Role, str], above: Tally, within: Tally) -> None:
    """Every route above a key's role, which must be refused, and every read within it, which must not."""
    for role, key in keys.items():
        async with calling(door.authority, key) as caller:
            for ask in door.asks:
                if not allows(ask.route.permission, role):
                    above.take(role, ask, status=await caller.status(peer.url, ask), right={403})
                elif ask.route.method == "GET":
                    status = await caller.status(peer.url, ask)
                    within.take(role, ask, status=status, right={status} - {0, 401, 403, 429})


async def _push(door: Door, number: int, seconds: float, tally: Tally) -> None:
    """One caller after the other answer, as fast as they come, for a time: from one address, so that it is locked out."""
    dice = random.Random(DICE + number)
    peer = door.peers[number % len(door.peers)]
    who = sorted(door.wrong)[number // len(door.peers) % len(door.wrong)]
    closed = [ask for ask in door.asks if ask.route.permission != "public"]
    until_s = time.monotonic() + seconds
    async with calling(door.authority, door.wrong[who]) as caller:
        while time.monotonic() < until_s:
            ask = dice.choice(closed)
            right = caller.expected()
            tally.take(who, ask, status=await caller.status(peer.url, ask), right=right)


async def _revocation(door: Door, number: int) -> float:
    """Seconds from the ask at one peer to the refusal by the last."""
    key = await door.made(ROLES[number % len(ROLES)], f"short {number}", at=number % 3)
    polls = [asyncio.create_task(door.refused(peer, key)) for peer in door.peers]
    began_s = time.monotonic()
    await door.revoke(key, at=(number + 1) % 3)
    return max(await asyncio.gather(*polls)) - began_s


async def _load(submitter: Caller, peer: PeerProcess, ended: asyncio.Event) -> list[str]:
    """One job after the other at one peer, until all else is done; how each ended."""
    states: list[str] = []
    body = {"renderer": "null", "frames": f"1-{FRAMES}", "settings": {"frame_ms": FRAME_MS}}
    while not ended.is_set() and all(state == "completed" for state in states):
        status, said = await submitter.json("POST", f"{peer.url}/api/v1/jobs", body)
        states.append(await _ended(submitter, f"{peer.url}/api/v1/jobs/{said['id']}") if status == 202 else f"refused: {status}")
    return states


async def _ended(submitter: Caller, url: str) -> str:
    """The state in which a job ended, or in which it stuck."""
    until_s = time.monotonic() + JOB_S_MAX
    while True:
        status, said = await submitter.json("GET", url)
        if status != 200:
            return f"no longer told: {status}"
        if said["state"] in FINAL or time.monotonic() > until_s:
            return str(said["state"]) if said["frames"]["done"] == FRAMES else f"{said['state']} with frames missing"
        await asyncio.sleep(0.1)


def _rows(
    door: Door, jobs: list[str], revoked_s: list[float], seconds: float, one_by_one: Tally, by_role: Tally, at_volume: Tally,
    within: Tally,
) -> list[Row]:  # fmt: skip
    routes = len([ask for ask in door.asks if ask.route.permission != "public"])
    tallies = (one_by_one, by_role, at_volume)
    inside = [words for tally in tallies for words in tally.let_in]
    for words in [*inside, *(words for tally in (*tallies, within) for words in tally.odd)][:WORDS_SHOWN]:
        print(f"not as it should be: {words}", file=sys.stderr)
    slowest_s = max(revoked_s, default=float("inf"))
    lost = [state for state in jobs if state != "completed"]
    said = [_said(peer) for peer in door.peers]
    rate = {"answers a second": [at_volume.count / seconds], **_shown(at_volume)}
    return [
        Row(f"let in, of {sum(tally.count for tally in tallies)} requests without the right", 0, len(inside), "", {}),
        Row(f"{routes} closed routes, 4 wrong callers: not refused by 401", 0, _wrong(one_by_one), "", _shown(one_by_one)),
        Row("above the role of a key: not refused by 403", 0, _wrong(by_role), "", _shown(by_role)),
        Row("within the role of a key: refused", 0, _wrong(within), "", _shown(within)),
        Row(f"{seconds:g} s at volume: not refused by 401, or 429 after 20", 0, _wrong(at_volume), "", rate),
        Row(f"jobs dropped, of {len(jobs)}", 0, len(lost), "", {}),
        Row("healthy peers called dead", 0, sum(one["member_died"] for one in said), "", {}),
        Row("healthy peers suspected", 0, sum(one["member_suspected"] for one in said), "", {}),
        Row("slowest revocation, until every peer refuses", REVOKED_S, slowest_s, "s", {"each": revoked_s}),
    ]  # fmt: skip


def _wrong(tally: Tally) -> int:
    return len(tally.let_in) + len(tally.odd)


def _shown(tally: Tally) -> dict[str, list[float]]:
    return {f"answered {status or 'not at all'}": [float(count)] for status, count in sorted(tally.statuses.items())}


def _said(peer: PeerProcess) -> Counter[str]:
    """How often a peer has noted each event."""
    lines: list[Any] = [json.loads(line) for line in peer.log.splitlines() if line.startswith("{")]
    return Counter(str(line.get("event")) for line in lines)
