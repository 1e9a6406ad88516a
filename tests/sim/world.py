"""A mesh in one thread, under one seed: a heap of (at, seq, host, run, action) and a dict of real nodes.

It replaces the engine, not the node, and keeps the engine's word: what promises something to others waits behind every
earlier `Persist`, membership and renders never wait, a crash loses everything that was not durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, islice
from random import Random
from typing import Any

from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import (
    BelieveSalt,
    Compare,
    Deliver,
    Effect,
    FetchBlobs,
    Inspect,
    Notice,
    Persist,
    PinBlobs,
    Render,
    Reply,
    SendDatagram,
    SendStream,
    StopTask,
    UnpinJob,
    Verify,
)
from protocol.events import (
    BlobsEnded,
    Compared,
    DatagramReceived,
    Event,
    RenderersFound,
    SeedsFound,
    StreamFailed,
    StreamReceived,
)
from protocol.ids import Address, AuthorId, Digest, JobId, PeerId, RequestId
from protocol.jobs.results import Capabilities
from protocol.ledger.attic import MemoryAttic
from protocol.membership.options import LAN
from protocol.node import Node, NodeOptions
from protocol.records import ForgetJob, PutFact, PutValue, Record
from protocol.scheduling.reports import OUTBOX
from protocol.wire.seal import Dropped, KeyRing, Opener, Sealer
from tests.sim.clocks import Clock
from tests.sim.disk import Disk
from tests.sim.farm import Farm, Truth, digest_of
from tests.sim.faults import CALM, Faults
from tests.sim.network import BREAK_S, KEY, Network, read_datagram, read_stream, wire_datagram, wire_stream
from tests.sim.trace import Trace

BYTES_PER_S = 50_000_000
FACTS_PER_PACK = 4  # few, so that facts leave memory in jobs of some frames
DEADLINES_PER_S_MAX = 2_000
SEEDS = 3


class Crashed(Exception):
    """A node raised, or went round in circles: our own mistake."""


class Unsafe(Exception):
    """Something has happened that must never happen."""


class Stuck(Exception):
    """After the faults have ended, something that must happen does not."""


@dataclass(slots=True, eq=False)
class Host:
    """One computer. What is left of it after a crash: its disk, its clocks, its name."""

    index: int
    peer: PeerId
    address: Address
    clock: Clock
    speed: float
    slots: int
    disk: Disk = field(default_factory=Disk)
    run: int = 0  # how often it was started; what others hear is counted on its disk
    node: Node | None = None
    gate: deque[Effect] = field(default_factory=deque)
    committing: list[Effect] = field(default_factory=list)
    armed: float | None = None
    spinning: tuple[int, int] = (0, 0)
    farm: Farm | None = None
    sealer: Sealer | None = None
    opener: Opener | None = None
    draining: bool = False
    snapshot: Disk | None = None  # its disk as it was some time ago
    original: Disk | None = None  # while it runs on a copy of it
    stores: int = 1  # disks that it has had
    started_at: float = 0.0  # world seconds at which its present run has begun
    slow_until: float = 0.0  # and until which its disk stalls
    renewed_run: int = 0  # whoever knows it in this run or a later one has heard of its present disk
    lost_facts: dict[JobId, dict[tuple[AuthorId, int], None]] = field(default_factory=dict)  # with earlier disks
    lost_blobs: dict[Digest, None] = field(default_factory=dict)
    kernel: str = ""  # its processor's level
    lies: bool = False  # whether its pictures are wrong
    forgot: dict[JobId, float] = field(default_factory=dict)  # when it last removed a job's facts
    dropped: dict[Digest, float] = field(default_factory=dict)  # when it last found a blob damaged

    @property
    def name(self) -> str:
        return f"p{self.index}"

    @property
    def is_up(self) -> bool:
        return self.node is not None

    def lost_unknown_to(self, runs: dict[PeerId, int]) -> bool:
        """Whether it has another disk since, and who knows only these runs cannot have heard of it."""
        return self.stores > 1 and runs.get(self.peer, 0) < self.renewed_run


def runs_known_to(host: Host) -> dict[PeerId, int]:
    """Everybody's run, as far as a host has heard of it."""
    assert host.node is not None
    return {peer: known.run_epoch for peer, known in host.node.roster._peers.items()}


class World:
    """Invariants: time never falls; an action of a host's earlier run is never performed; the seed decides everything."""

    def __init__(
        self, seed: int, *, peers: int = 10, faults: Faults = CALM, sealed: bool = True, trace: Trace | None = None
    ) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.sealed = sealed
        self.trace = trace or Trace()
        self.at = 0.0
        self.network = Network(self.random, faults)
        self.truths: dict[JobId, Truth] = {}
        self.pictures: dict[Digest, Digest] = {}  # what the blobs of pictures show, but for the last bits
        self.authors: dict[AuthorId, PeerId] = {}  # who wrote under which name, over all runs
        self.stores: dict[AuthorId, int] = {}  # and on which of its disks
        self.hosts = [self._host(index) for index in range(peers)]
        self.by_peer = {host.peer: host for host in self.hosts}
        self.by_address = {host.address: host for host in self.hosts}
        self.on_reply: Callable[[RequestId, Any], None] = lambda request, value: None
        self.perform_reply: Callable[[Host, Reply], None] = lambda host, reply: self.on_reply(reply.request, reply.value)
        self.on_crash: Callable[[Host], None] = lambda host: None
        self.on_step: list[Callable[[Host, Event | None, list[Effect]], None]] = []
        self.on_commit: list[Callable[[Host, list[Effect]], None]] = []
        self.on_leave: list[Callable[[Host, SendStream], None]] = []
        self.failpoint: Callable[[Host, str], None] = lambda host, name: None
        self.on_notice: Callable[[Host, Notice], None] = lambda host, notice: None
        self.roots: Callable[[Host], tuple[str, ...]] = lambda host: ()  # the output roots that a host has
        self.deliver: Callable[[Host, Deliver], None] = lambda host, effect: None
        self._heap: list[tuple[float, int, Host | None, int, Callable[[], None]]] = []
        self._seq = count()

    def _host(self, index: int) -> Host:
        drift = self.random.uniform(-self.faults.drift, self.faults.drift)
        clock = Clock(self.random.uniform(0, 1e6), 1.0 + drift, self.random.randint(-3_600_000, 3_600_000))
        peer = PeerId(digest_of("peer", index))
        speed = self.random.choice((0.5, 1.0, 1.0, 2.0))
        return Host(
            index, peer, Address(f"10.0.{index // 250}.{1 + index % 250}", 7400), clock, speed, self.random.choice((1, 1, 2))
        )

    # time

    def later(self, seconds: float, action: Callable[[], None], host: Host | None = None) -> None:
        """Do `action` after so many seconds, unless the host's run has ended by then."""
        run = 0 if host is None else host.run
        heappush(self._heap, (self.at + max(seconds, 0.0), next(self._seq), host, run, action))

    def run_until(self, at: float) -> None:
        """Let everything happen that is due before `at`."""
        while self._heap and self._heap[0][0] <= at:
            due, _, host, run, action = heappop(self._heap)
            self.at = max(self.at, due)
            if host is None or (host.run == run and host.is_up):
                action()
        self.at = max(self.at, at)

    # hosts

    def boot(self, host: Host) -> None:
        """A process starts on what the disk holds."""
        assert host.node is None
        host.run += 1
        host.disk.run += 1
        host.started_at = self.at
        host.gate, host.committing, host.armed, host.draining = deque(), [], None, False
        tokens = Random(self.random.getrandbits(64))
        if self.sealed:
            ring = KeyRing(KEY)
            host.sealer, host.opener = Sealer(ring, host.peer, tokens.randbytes(16)), Opener(ring)
        host.farm = self._farm(host)
        card = PeerCard(
            name=host.name,
            url=f"http://{host.address.host}:7480",
            version="0.1.0",
            slots_total=host.slots,
            slots_free=0,
            roots=self.roots(host),
        )
        author = AuthorId(tokens.randbytes(8).hex())
        host.node = Node(
            NodeOptions(
                me=host.peer, author=author, run_epoch=host.disk.run, address=host.address,
                mesh_port=7401, nonce=tokens.randbytes(8), token=lambda: tokens.getrandbits(64),
                seed=self.random.getrandbits(64), card=card, swim=LAN, audit_share=self.faults.audit_share,
            ),
            MemoryAttic(FACTS_PER_PACK),
        )  # fmt: skip
        self.authors[host.node.author], self.stores[host.node.author] = host.peer, host.stores
        booted = host.disk.booted()
        node, now = host.node, host.clock.now(self.at)
        self._take(host, booted, self._guarded(host, lambda: node.start(booted, now)))
        found = (
            Capabilities("null", "1.0.0", "", "null", kernel=host.kernel),
            Capabilities("blender", "5.0.1", "", "program", ("CYCLES",), kernel=host.kernel),
        )
        self.later(self.random.uniform(0.05, 1.0), lambda: self.tell(host, RenderersFound(found, ())), host)
        seeds = tuple(other.address for other in self.hosts[:SEEDS])
        self.later(0.01, lambda: self.tell(host, SeedsFound(seeds)), host)

    def _farm(self, host: Host) -> Farm:
        def has_scene(effect: Render | Inspect) -> bool:
            missing = [entry.digest for entry in effect.manifest.files if entry.digest not in host.disk.blobs]
            assert all(digest in host.dropped for digest in missing), "a render of a scene that is not here"
            return not missing

        return Farm(
            name=host.name, speed=host.speed, random=self.random, faults=lambda: self.faults, truths=self.truths,
            later=lambda seconds, action: self.later(seconds, action, host), tell=lambda event: self.tell(host, event),
            keep=host.disk.keep, has_scene=has_scene, kernel=host.kernel, lies=lambda: host.lies, pictures=self.pictures,
        )  # fmt: skip

    def crash(self, host: Host) -> None:
        """`kill -9`: what is durable stays. A commit under way may have reached the disk, or not; nobody was told."""
        if len(host.committing) > 1 and self.random.random() < self.faults.torn_tail:
            self._make_durable(host, host.committing[: self.random.randint(1, len(host.committing) - 1)])
            self.trace.count("torn tails")
        elif host.committing and self.random.random() < self.faults.torn_commit:
            self._make_durable(host, host.committing)
            self.trace.count("commits that nobody heard of")
        elif host.committing:
            self.trace.count("commits lost")
        host.node = host.farm = None
        self.network.forget(host.index)
        self.trace.count("crashes")
        self.trace.note(self.at, f"{host.name} is killed")
        self.on_crash(host)

    def up(self) -> list[Host]:
        """Hosts with a running process."""
        return [host for host in self.hosts if host.is_up]

    # steps

    def tell(self, host: Host, event: Event) -> None:
        """Hand one event to a node."""
        node = host.node
        if node is None:
            return
        now = host.clock.now(self.at)
        self._take(host, event, self._guarded(host, lambda: node.handle(event, now)))

    def _deadline(self, host: Host, armed: float) -> None:
        node = host.node
        if node is None or host.armed != armed:
            return
        host.armed = None
        second, times = host.spinning
        host.spinning = (int(self.at), times + 1 if second == int(self.at) else 1)
        if host.spinning[1] > DEADLINES_PER_S_MAX:
            raise Crashed(f"{host.name} has a deadline that never passes: {[m.next_deadline() for m in node._machines]}")
        now = host.clock.now(self.at)
        self._take(host, None, self._guarded(host, lambda: node.on_deadline(now)))

    def _guarded(self, host: Host, step: Callable[[], list[Effect]]) -> list[Effect]:
        try:
            return step()
        except Exception as error:
            raise Crashed(f"{host.name} raised {type(error).__name__} at {self.at:.6f}: {error}") from error

    def _take(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        self.trace.step(self.at, host.name, event, effects)
        for watch in self.on_step:
            watch(host, event, effects)
        for effect in effects:
            self._dispatch(host, effect)
        assert host.node is not None
        deadline = host.node.next_deadline()
        if deadline is not None and deadline != host.armed:
            host.armed = deadline
            wait_s = host.clock.when(deadline) - self.at + 1e-6
            self.later(wait_s, lambda: self._deadline(host, deadline), host)
        elif deadline is None:
            host.armed = None

    def _dispatch(self, host: Host, effect: Effect) -> None:
        promises = isinstance(effect, Reply | Deliver) or (isinstance(effect, SendStream) and not effect.urgent)
        if isinstance(effect, SendStream) and promises and len(host.gate) >= limits.GATE_EFFECTS_MAX:
            self.later(0.0, lambda: self.tell(host, StreamFailed(effect.peer, effect.message, refused=False)), host)
        elif isinstance(effect, Persist | PinBlobs | UnpinJob) or (host.gate and promises):
            host.gate.append(effect)
            if isinstance(effect, Persist):
                self.failpoint(host, "before " + "/".join(dict.fromkeys(_kind(record) for record in effect.records)))
            if not host.committing:
                self._commit(host)
        else:
            self._perform(host, effect)

    def _commit(self, host: Host) -> None:
        host.committing = list(islice(host.gate, limits.EFFECTS_PER_COMMIT_MAX))
        seconds = self.random.uniform(0.0005, 0.01)
        if self.random.random() < self.faults.disk_stall:
            seconds += self.faults.stall_s
            host.slow_until = self.at + seconds
            self.trace.count("disk stalls")
        self.later(seconds, lambda: self._committed(host), host)

    def _committed(self, host: Host) -> None:
        batch = host.committing
        self._make_durable(host, batch)
        for effect in batch:
            if isinstance(effect, Persist):
                self.failpoint(host, "after " + "/".join(dict.fromkeys(_kind(record) for record in effect.records)))
            host.gate.popleft()
            if not isinstance(effect, Persist | PinBlobs | UnpinJob):
                self._perform(host, effect)
        host.committing = []
        if host.gate:
            self._commit(host)

    def _make_durable(self, host: Host, batch: list[Effect]) -> None:
        records = [record for effect in batch if isinstance(effect, Persist) for record in effect.records]
        host.disk.commit(records)
        host.forgot.update((record.job, self.at) for record in records if isinstance(record, ForgetJob))
        for watch in self.on_commit:
            watch(host, batch)

    # effects

    def _perform(self, host: Host, effect: Effect) -> None:
        assert host.farm is not None
        if not isinstance(effect, SendDatagram | Notice | BelieveSalt):
            about = type(effect.message).__name__ if isinstance(effect, SendStream) else type(effect).__name__
            self.failpoint(host, f"at {about}")
        match effect:
            case SendDatagram():
                self._send_datagram(host, effect)
            case SendStream():
                self._send_stream(host, effect)
            case BelieveSalt(peer, salt):
                if host.opener is not None:
                    host.opener.believe(peer, salt)
            case FetchBlobs():
                self._fetch(host, effect, 0, 0)
            case Render() | Inspect():
                host.farm.start(effect)
            case Verify():
                host.farm.verify(effect)
            case StopTask():
                host.farm.stop(effect)
            case Compare():
                self._compare(host, effect)
            case Deliver():
                self.deliver(host, effect)
            case Notice():
                self.trace.count(effect.event)
                self.on_notice(host, effect)
            case Reply():
                self.perform_reply(host, effect)
            case Persist() | PinBlobs() | UnpinJob():
                raise AssertionError("durable effects go through the gate")
            case _:  # health checks, key rings: no part of this world
                self.trace.count(f"not simulated: {type(effect).__name__}")

    def _compare(self, host: Host, effect: Compare) -> None:
        """By the pictures that the blobs show, as far as they are here: renders of honest hosts show the same one."""
        lacking = [digest for pair in effect.pairs for digest in pair if not host.disk.is_whole(digest)]
        agree = None if lacking else all(self.pictures[one] == self.pictures[other] for one, other in effect.pairs)
        self.trace.count("pictures compared")
        self.later(0.02, lambda: self.tell(host, Compared(effect.ticket, agree, "")), host)

    def _send_datagram(self, host: Host, effect: SendDatagram) -> None:
        target = self.by_address.get(effect.address)
        data = wire_datagram(effect.messages) if self.sealed else b""
        sealed = host.sealer.seal(data) if host.sealer is not None and self.sealed else b""
        self.trace.bytes(sealed)
        if target is None:
            return
        arrivals, what = self.network.datagram(host.index, target.index, self.at)
        if what:
            self.trace.count(f"datagrams {what}")
        sender, source, messages = host.peer, host.address, effect.messages
        for at in arrivals:
            self.later(at - self.at, lambda: self._arrive(target, sender, source, sealed, messages))

    def _arrive(self, target: Host, sender: PeerId, source: Address, sealed: bytes, messages: tuple[Any, ...]) -> None:
        if not target.is_up:
            return
        if not self.sealed:
            self.tell(target, DatagramReceived(sender, source, True, messages))
            return
        assert target.opener is not None
        opened = target.opener.open(sealed)
        if isinstance(opened, Dropped):
            self.trace.count(f"datagrams dropped: {opened.value}")
            return
        self.tell(target, DatagramReceived(opened.sender, source, opened.trusted, read_datagram(opened.payload), opened.salt))

    def _send_stream(self, host: Host, effect: SendStream) -> None:
        target = self.by_peer[effect.peer]
        for watch in self.on_leave:
            watch(host, effect)
        data = wire_stream(effect.message)
        self.trace.bytes(data)
        run = target.run
        delivery = self.network.stream(host.index, target.index, self.at, is_up=target.is_up)
        message = effect.message

        def fail(refused: bool) -> None:
            self.trace.count("stream messages refused" if refused else "stream messages failed")
            self.network.trouble(host.index, target.index, self.at)
            self.tell(host, StreamFailed(effect.peer, message, refused))

        def arrive() -> None:
            if target.is_up and target.run == run:
                self.tell(target, StreamReceived(host.peer, read_stream(data) if self.sealed else message))
            elif delivery.fails_at is None:
                self.later(BREAK_S / 4, lambda: fail(False), host)

        if delivery.arrives_at is not None:
            self.later(delivery.arrives_at - self.at, arrive)
        if delivery.fails_at is not None:
            self.later(delivery.fails_at - self.at, lambda: fail(delivery.refused), host)

    def _fetch(self, host: Host, effect: FetchBlobs, item: int, holder: int) -> None:
        """Blob after blob, holder after holder; a holder must be reachable, and really have it, to the end."""
        while item < len(effect.items) and effect.items[item][0] in host.disk.blobs:
            item, holder = item + 1, 0
        if item == len(effect.items):
            self.later(0.001, lambda: self.tell(host, BlobsEnded(effect.ticket, "")), host)
            return
        digest = effect.items[item][0]
        if holder == len(effect.holders):
            self.trace.count("fetches failed")
            self.later(0.05, lambda: self.tell(host, BlobsEnded(effect.ticket, f"nobody has {digest[:8]}")), host)
            return
        source = self.by_peer[effect.holders[holder]]
        run, size = source.run, source.disk.blobs.get(digest, 0)
        is_open = self._reaches(host, source)
        seconds = 0.002 + size / BYTES_PER_S if is_open else BREAK_S / 2
        broken = self.random.random() < self.faults.fetch

        def ended() -> None:
            is_there = is_open and not broken and source.run == run and self._reaches(host, source)
            if is_there and digest in source.disk.damaged:
                self.trace.count("damaged copies refused")
            if is_there and source.disk.is_whole(digest):
                host.disk.keep(digest, size)
                self._fetch(host, effect, item + 1, 0)
            else:
                self._fetch(host, effect, item, holder + 1)

        self.later(seconds, ended, host)

    def _reaches(self, host: Host, source: Host) -> bool:
        there = self.network.is_open(host.index, source.index) and self.network.is_open(source.index, host.index)
        return there and source.is_up

    # what the whole world knows

    def calm_between(self, host: Host, other: Host, since: float) -> bool:
        """Whether two hosts have been up and able to talk since then, without a stalled disk."""
        up = all(one.is_up and max(one.started_at, one.slow_until) <= since for one in (host, other))
        return up and self.network.calm_since(host.index, other.index) <= since

    def holders(self, digest: Digest) -> list[Host]:
        """Hosts, up or down, whose disks hold a blob, whole."""
        return [host for host in self.hosts if host.disk.is_whole(digest)]


def _kind(record: Record) -> str:
    if isinstance(record, PutValue) and record.key.startswith(OUTBOX):
        return "Outbox"
    return type(record.fact.body).__name__ if isinstance(record, PutFact) else type(record).__name__
