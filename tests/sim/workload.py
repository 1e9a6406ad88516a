"""Clients: they submit jobs to random peers, retry with their key, steer, accept warnings, and never give up."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from protocol.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from protocol.events import ControlAsked, SubmitAsked
from protocol.ids import Digest, JobId, RequestId
from protocol.jobs.identity import canonical, job_id
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, make_manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec
from protocol.views import JobView, Submitted
from tests.sim.farm import Truth, digest_of, make_truth
from tests.sim.world import Host, Unsafe, World

PATIENCE_S = 45.0
POLL_S = 2.0


@dataclass(slots=True, eq=False)
class Client:
    """One job and who wants it. `wishes` are controls still to be carried out, in order."""

    number: int
    spec: JobSpec
    manifest: Manifest
    job: JobId
    target: Host
    wishes: list[tuple[str, str]] = field(default_factory=list)
    accepted: bool = False
    asked: RequestId | None = None
    tries: int = 0
    cancelled: bool = False
    retried: int = 0


class Workload:
    """Invariants: one request of a client is under way at a time; a request that dies with its peer is sent again."""

    def __init__(self, world: World, random: Random, *, jobs: int, frames_max: int, within_s: float) -> None:
        self._world = world
        self._random = random
        self._aside = Random(f"destinations {world.faults!r}")  # not the dice of before: pinned seeds keep their meaning
        self._open: dict[RequestId, tuple[Client, Host, int, str, str]] = {}
        self._seen: dict[Digest, Inspection] = {}  # a scene is what it is, whoever renders it
        self._next = 0
        self.clients: list[Client] = []
        self.all_well = False
        world.on_reply = self.replied
        world.on_crash = self.crashed
        for number in range(jobs):
            client = self._client(number, frames_max)
            self.clients.append(client)
            world.later(random.uniform(0.5, within_s), lambda client=client: self.submit(client))  # type: ignore[misc]

    def _client(self, number: int, frames_max: int) -> Client:
        last = self._random.randint(1, frames_max)
        null = self._random.random() < 0.3
        order = self._random.choice(("sequential", "every-nth", "middle"))
        durability = self._random.choice(("two", "two", "two", "local", "quorum", "all"))
        frames = f"1-{last}" if null or self._random.random() < 0.5 else None
        spec = JobSpec(
            name=f"job {number}", renderer="null" if null else "blender", frames=frames, priority=self._random.randint(0, 100),
            order=order, durability=durability, destination=self._destination(),
        )  # fmt: skip
        manifest = EMPTY if null else self._scene(self._random.randint(0, 3))
        job = job_id(submitter="client", key=f"key {number}", spec_json=canonical(spec), scene=manifest.digest())
        truth = make_truth(self._random, self._world.faults, frames=range(1, last + 1))
        seen = Inspection() if null else self._seen.setdefault(manifest.digest(), truth.inspection)
        varies = spec.destination is not None and self._aside.random() < 0.5
        self._world.truths[job] = Truth(truth.seconds, truth.poison, seen, truth.logs, varies)
        return Client(number, spec, manifest, job, self._random.choice(self._world.hosts))

    def _destination(self) -> str | None:
        return "farm:shots" if self._aside.random() < self._world.faults.deliver else None

    def _scene(self, number: int) -> Manifest:
        files = [ManifestEntry("scene.blend", digest_of("scene", number), 1_000_000 * (number + 1))]
        if number % 2:
            files.append(ManifestEntry("textures/wood.png", digest_of("wood"), 50_000))
        return make_manifest("scene.blend", files)

    # asking

    def _ask(self, client: Client, host: Host, action: str, value: str) -> RequestId:
        self._next += 1
        request = RequestId(f"r{self._next}")
        self._open[request] = (client, host, host.run, action, value)
        client.asked = request
        self._world.later(PATIENCE_S, lambda: self._impatient(request))
        return request

    def submit(self, client: Client) -> None:
        """Upload the scene, then ask for the job."""
        if client.accepted or client.asked is not None:
            return
        host = client.target
        if not host.is_up:
            self._again(client)
            return
        for entry in client.manifest.files:
            host.disk.keep(entry.digest, entry.size)
        client.tries += 1
        request = self._ask(client, host, "submit", "")
        self._world.tell(host, SubmitAsked(request, client.spec, client.manifest, "client", f"key {client.number}"))

    def _again(self, client: Client) -> None:
        """Once more, to the same peer or another."""
        if self._random.random() < 0.6:
            client.target = self._random.choice(self._world.hosts)
        self._world.later(self._random.uniform(0.3, 3.0), lambda: self.submit(client))

    def poll(self, client: Client) -> None:
        """Look at the job through any peer, and act on what is seen."""
        self._world.later(POLL_S, lambda: self.poll(client))
        if client.asked is not None or not self._world.up():
            return
        peer = self._random.choice(self._world.up())
        assert peer.node is not None
        view = peer.node.job(client.job)
        if view is None:
            return
        if self.all_well and view.state == "paused":
            client.wishes = [("resume", "")]
        elif view.state == "held" and not client.wishes:
            client.wishes.append(("accept", ",".join(reason.code for reason in view.held_because)))
        elif view.state == "failed" and view.frames.failed and not client.retried:
            client.retried += 1
            client.wishes.append(("retry", ""))
        if client.wishes:
            self._steer(client, view)

    def _steer(self, client: Client, view: JobView) -> None:
        """The web layer hands a control on to the job's owner."""
        owner = self._world.by_peer[view.owner]
        if not owner.is_up:
            return
        action, value = client.wishes[0]
        request = self._ask(client, owner, action, value)
        include_done = action == "retry" and self._random.random() < 0.3
        asked = ControlAsked(request, client.job, action, value, None, include_done)  # type: ignore[arg-type]
        self._world.tell(owner, asked)

    def _plan(self, client: Client) -> None:
        if self._random.random() >= self._world.faults.control:
            return
        client.wishes = self._random.choice(
            [
                [("cancel", "")],
                [("pause", ""), ("resume", "")],
                [("priority", str(self._random.randint(0, 100)))],
                [("retry", "")],
                [("on_warning", self._random.choice(("accept", "fail", "hold")))],
            ]
        )

    # answers

    def replied(self, request: RequestId, value: Any) -> None:
        """A peer has answered."""
        found = self._open.pop(request, None)
        if found is None:
            return
        client, host, _, action, wished = found
        client.asked = None
        if action == "submit":
            self._submitted(client, host, value)
        elif isinstance(value, JobView):
            self._world.trace.count(f"controls: {action}")
            client.cancelled = client.cancelled or action == "cancel"
            client.wishes = [wish for wish in client.wishes if wish != (action, wished)]
        elif isinstance(value, Conflict | Invalid):
            client.wishes = [wish for wish in client.wishes if wish != (action, wished)]
        elif not isinstance(value, Unavailable | NotFound):
            raise Unsafe(f"{action} was answered with {value!r}")

    def _submitted(self, client: Client, host: Host, value: Any) -> None:
        if isinstance(value, Submitted):
            if value.job.id != client.job:
                raise Unsafe(f"{host.name} answered for another job: {value.job.id}")
            self._world.trace.count("jobs accepted" if not client.accepted else "jobs accepted again")
            if client.tries > 1:
                self._world.trace.count("submissions retried")
            client.accepted = True
            self._plan(client)
            self._world.later(self._random.uniform(0.2, POLL_S), lambda: self.poll(client))
        elif isinstance(value, Unavailable):
            self._world.trace.count(f"submissions refused: {value.code}")
            self._again(client)
        else:
            raise Unsafe(f"{host.name} refused job {client.number}: {value!r} {value if isinstance(value, Refusal) else ''}")

    def crashed(self, host: Host) -> None:
        """Connections to that peer break: every client whose request was there tries again."""
        for request, (client, target, _, _, _) in list(self._open.items()):
            if target is host:
                self._give_up(request, client)

    def _impatient(self, request: RequestId) -> None:
        if request in self._open:
            self._world.trace.count("requests that nobody answered")
            client, host, _, action, _ = self._open[request]
            if self.all_well:
                raise Unsafe(f"{host.name} has not answered {action} of {client.job[:6]} for {PATIENCE_S} s")
            self._give_up(request, client)

    def _give_up(self, request: RequestId, client: Client) -> None:
        del self._open[request]
        client.asked = None
        if not client.accepted:
            self._again(client)
