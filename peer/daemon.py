"""The composition root: builds every part of a peer from its settings, in order, and takes it apart again. No logic."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as distribution_version

import platformdirs
import structlog
from aiohttp import web

from peer import failpoints
from peer.adminkey import ensure_admin_key
from peer.bell import Bell
from peer.checks import Probes
from peer.checktargets import CheckTargets
from peer.comparing import Comparer
from peer.config import describe, inherited_environment
from peer.confinement import confine
from peer.delivery import Delivery
from peer.discovery.advert import Advert, mesh_prefix
from peer.discovery.providers import Discovery, World, make_providers
from peer.engine import Engine, clock
from peer.entrance import make_logins, names_of, own_address, patience_s, situation, warn_while_open, write_client_files
from peer.eventlog import EventLog
from peer.forwarding import Forwarding
from peer.hands import PeerHands
from peer.keyturn import KeyTurner, stored_ring
from peer.meshview import EngineMesh
from peer.net.certificates import Authority
from peer.net.datagrams import DatagramEndpoint
from peer.net.fetch import BlobFetcher
from peer.net.identity import Identity, load_or_make_identity
from peer.net.meshclient import MeshClient
from peer.net.meshkey import LOOPBACK_FILE, choose_mesh_key
from peer.net.meshserver import MeshServer
from peer.net.resolve import SeedResolver
from peer.net.sockets import bind_stream
from peer.outputs.opening import open_roots
from peer.registry import EngineRegistry
from peer.render.find import find_renderers
from peer.render.kernel import cpu_kernel
from peer.render.plugins import Surroundings, load_plugins
from peer.renderers import RendererWatch
from peer.scene import DefaultScene
from peer.scenes import Scenes
from peer.selfchecks import SelfChecks
from peer.settings import Settings
from peer.store.blobs import BlobOptions, FolderBlobs
from peer.store.folder import Store, open_store
from peer.store.scrub import Scrubber
from peer.tape import Tape
from peer.telemetry.looplag import watch_loop_lag
from peer.telemetry.metrics import Metrics
from peer.telemetry.notices import NoticeMetrics
from peer.vitals import Vitals
from peer.web.app import make_app, make_forwarded_handler, serving
from peer.web.site import WebOptions
from peer.workshop import Workshop
from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Notice
from protocol.errors import Conflict
from protocol.events import (
    BlobLost,
    Booted,
    DatagramReceived,
    DatagramUnsent,
    DrainAsked,
    GraceEnded,
    LoopLagged,
    SeedsFound,
    StreamBroken,
    StreamFailed,
    StreamReceived,
)
from protocol.ids import Address, PeerId
from protocol.membership.options import PRESETS
from protocol.node import Node, NodeOptions
from protocol.wire.gossip import GossipMessage
from protocol.wire.seal import KeyRing
from protocol.wire.work import WorkMessage

LEAVE_S = 4.0
STOP_S = 3.0
FIRST_KEY_S = 5.0
_log = structlog.get_logger("rendermesh")


@dataclass(slots=True)
class Door:
    """The user port's socket, bound before anything is announced. `url` is what others are told."""

    sock: socket.socket
    address: Address
    url: str


class Daemon:
    """One peer. `run` returns when it has left the mesh; everything that it started has ended by then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._plugins = load_plugins()
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._for_good = False
        self._twin: Conflict | None = None

    async def run(self) -> None:
        """Start, say `ready URL ID` on stdout, serve until a signal. Raises what keeps it from starting, or from going on:
        `Conflict` (`duplicate_id`) when an older process with the same id is in the mesh."""
        settings = self._settings
        failpoints.arm(settings.failpoint)
        for word, text in self._plugins.faults.items():
            _log.warning("renderer_plugin_skipped", renderer=word, text=text)
        async with contextlib.AsyncExitStack() as stack:
            options = BlobOptions(cache_bytes_max=settings.cache_bytes)
            store = await asyncio.to_thread(open_store, settings.data_dir, options)
            stack.push_async_callback(store.close)
            self._confined = await confine(settings, store.work_dir, inherited_environment())
            stack.push_async_callback(self._confined.judge.close)
            identity = load_or_make_identity(settings.data_dir)
            key = choose_mesh_key(
                configured=settings.mesh_key.get_secret_value() if settings.mesh_key else None,
                insecure=settings.insecure,
                loopback_file=platformdirs.user_data_path("rendermesh") / LOOPBACK_FILE,
                mesh_name=settings.mesh,
            )
            host = settings.advertise or own_address(settings.bind)
            state = stored_ring(await store.journal.values(), key, settings.data_dir)
            keys = KeyTurner(state, identity, names_of(settings, host))
            door = self._open_door(host)
            stack.callback(door.sock.close)
            await self._assemble(stack, store, identity, keys, door, host)
        if self._twin is not None:
            raise self._twin

    def _open_door(self, host: str) -> Door:
        sock = bind_stream(self._settings.bind, self._settings.port)
        port = int(sock.getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if self._settings.http_tls else "http"
        return Door(sock, Address(host, port), f"{scheme}://{shown}:{port}")

    async def _assemble(
        self, stack: contextlib.AsyncExitStack, store: Store, identity: Identity, keys: KeyTurner, door: Door, host: str,
    ) -> None:  # fmt: skip
        me, settings = identity.peer_id, self._settings
        inbox = _Inbox()
        drop = _DropCounter(self._metrics)
        datagrams = DatagramEndpoint(
            keys.ring, me, on_datagram=inbox.datagram, on_drop=drop.datagrams, on_unsent=lambda at: inbox.unsent(at)
        )
        stack.push_async_callback(datagrams.close)
        await datagrams.listen(settings.bind, door.address.port)
        client = await stack.enter_async_context(MeshClient(keys.certificates, on_failed=inbox.failed, on_broken=inbox.broken))
        api = _LateHandler()
        server = MeshServer(
            keys.certificates, store.blobs, inbox.message, on_drop=drop.streams, on_broken=inbox.broken, api=api
        )  # fmt: skip
        stack.push_async_callback(server.close)
        wanted = settings.mesh_port or (door.address.port + 1 if door.address.port < 65_535 else 0)
        mesh_address = await server.listen(settings.bind, wanted, or_any=settings.mesh_port is None)
        tape = Tape(lambda: secrets.randbits(64))
        node = self._node(store, me, keys, door, mesh_address.port, host, tape)
        log = EventLog(store.run_epoch)
        bell, targets = Bell(), CheckTargets(settings.check_networks)
        engine = Engine(
            node=node, journal=store.journal, blobs=store.blobs, log=log, trace_dir=settings.data_dir,
            after_step=lambda: bell.ring(node.directory.index), tape=tape,
        )  # fmt: skip
        inbox.engine = engine
        fetcher = BlobFetcher(client, store.blobs, node.roster.stream_address)
        stack.push_async_callback(fetcher.close)
        workshop = self._workshop(store, engine)
        vitals = Vitals(settings.data_dir, last_turn_s=lambda: engine.last_step_at, gpus=lambda: _gpus(node.roster.card))
        checks = SelfChecks(folder=settings.data_dir, tell=engine.tell, vitals=vitals)
        probes = Probes(targets, engine.tell)
        stack.push_async_callback(probes.close)
        delivery = Delivery(open_roots(settings.output_roots, store.blobs, self._confined.judge, store.work_dir), engine.tell)
        hands = PeerHands(
            datagrams=datagrams, streams=client, fetcher=fetcher, blobs=store.blobs, workshop=workshop, probes=probes,
            comparer=Comparer(judge=self._confined.verifier, blobs=store.blobs, folder=store.work_dir, tell=engine.tell),
            keys=keys, delivery=delivery, log=log, metrics=NoticeMetrics(self._metrics), tell=engine.tell,
            store_changed=lambda error: _store_changed(checks, error), wall_ms=lambda: clock().wall_ms, noticed=self._noticed,
        )  # fmt: skip
        stack.push_async_callback(hands.close)
        stack.push_async_callback(delivery.close)
        shown = [(one.name, one.value, one.origin) for one in describe(settings)]
        shown.append(("authority_sha256", keys.certificates.authorities[0].fingerprint, "derived from the mesh key"))
        registry = EngineRegistry(
            engine=engine, bell=bell, targets=targets, datacenter=settings.mesh, leave=self._leave_for_good
        )  # fmt: skip
        mesh = EngineMesh(
            engine=engine, log=log, blobs=store.blobs, fetcher=fetcher, settings=lambda: shown, registry=registry
        )  # fmt: skip
        app = make_app(mesh, store.blobs, Forwarding(client, node), self._web_options(node, store, keys), self._metrics)
        api.handler = make_forwarded_handler(app)
        booted = Booted(await store.journal.recalled(), await store.journal.values())
        discovery = self._discovery(node, keys.ring, store.run_epoch, door, engine, hands)
        parts = _Parts(
            engine, hands, workshop, checks, client, server, log, app, keys, door, booted, discovery, mesh, store.blobs
        )
        await self._serve(parts, node)

    def _node(self, store: Store, me: PeerId, keys: KeyTurner, door: Door, mesh_port: int, host: str, tape: Tape) -> Node:
        settings = self._settings
        card = PeerCard(
            name=settings.name, url=door.url, version=distribution_version("rendermesh"), slots_total=settings.slots,
            slots_free=settings.slots, labels=tuple(sorted(settings.labels.items())),
            roots=settings.advertised_roots,
        )  # fmt: skip
        tape.options = NodeOptions(
            me=me, author=store.author_id, run_epoch=store.run_epoch, address=Address(host, door.address.port),
            mesh_port=mesh_port, nonce=secrets.token_bytes(8), token=tape.token, seed=secrets.randbits(64), card=card,
            swim=PRESETS[settings.preset], replicas=settings.replicas, audit_share=settings.audit_share,
            ring=keys.state if settings.mesh_key is not None else None,
        )  # fmt: skip
        return Node(tape.options, store.attic)

    def _workshop(self, store: Store, engine: Engine) -> Workshop:
        store.blobs.on_lost = lambda digest: engine.tell(BlobLost(digest))
        return Workshop(
            slots=self._settings.slots, renderers={}, verifier=self._confined.verifier, blobs=store.blobs, folder=store.work_dir,
            tell=engine.tell,
        )  # fmt: skip

    def _web_options(self, node: Node, store: Store, keys: KeyTurner) -> WebOptions:
        scenes = Scenes(self._plugins, lambda: map(node.roster.card_of, node.roster.live()))

        def null_only() -> bool:
            return [one.renderer for one in node.roster.card.capabilities] == ["null"] and self._settings.scene is None

        logins = make_logins(self._settings, node, self._metrics)
        authority = keys.authority if self._settings.http_tls else None
        return WebOptions(
            version=distribution_version("rendermesh"), check_scene=scenes.check, roles=logins.role,
            roles_now=logins.role_now, submitter=logins.submitter, authority=authority,
            default_scene=DefaultScene(self._settings.scene, store.blobs, scenes.check_default).manifest, null_only=null_only,
            shared_roots=self._settings.shared_roots, renderer_of=scenes.renderer_of, renderers=scenes.renderers,
        )  # fmt: skip

    # running

    async def _serve(self, parts: _Parts, node: Node) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        context = parts.keys.user_context() if self._settings.http_tls else None
        runner = web.AppRunner(parts.app, **serving())
        await runner.setup()
        site = web.SockSite(runner, parts.door.sock, ssl_context=context)
        try:
            async with asyncio.TaskGroup() as group:
                engine = group.create_task(parts.engine.run(parts.hands, parts.booted), name="engine")
                others = [
                    group.create_task(parts.workshop.run(), name="workshop"),
                    group.create_task(parts.checks.run(), name="checks"),
                    group.create_task(Scrubber(parts.blobs).run(), name="scrubber"),
                    group.create_task(watch_loop_lag(lambda lag: self._lagged(parts.engine, lag)), name="loop lag"),
                    group.create_task(self._seeds(parts, node).run(), name="seeds"),
                    group.create_task(parts.discovery.run(), name="discovery"),
                    group.create_task(self._turn_keys(parts), name="keys"),
                    group.create_task(self._gauge(node), name="gauges"),
                    group.create_task(warn_while_open(self._settings, every_s=limits.INSECURE_WARNED_S), name="insecure"),
                ]
                await site.start()
                others.append(group.create_task(self._admin_key(parts, node), name="admin key"))
                await self._first_key(others[-1])
                self._announce(parts, node.me)
                others.append(group.create_task(self._watch_renderers(parts, node), name="renderers"))
                await self._until_stopped(parts, node)
                parts.log.close()
                await runner.cleanup()
                engine.cancel()
                await asyncio.wait([engine])  # nothing may be asked of the others any more
                for task in others:
                    task.cancel()
        finally:
            parts.log.close()
            await runner.cleanup()

    def _seeds(self, parts: _Parts, node: Node) -> SeedResolver:
        return SeedResolver(
            self._settings.join,
            on_found=lambda addresses: parts.engine.tell(SeedsFound(addresses, lasting=True)),
            on_notice=parts.hands.notice,
            is_alone=lambda: len(node.roster.live()) <= 1,
        )

    def _discovery(self, node: Node, ring: KeyRing, run_epoch: int, door: Door, engine: Engine, hands: PeerHands) -> Discovery:
        settings = self._settings
        advert = Advert(
            peer=node.me, name=settings.name, port=door.address.port, tls=settings.http_tls, run_epoch=run_epoch,
            meshes=lambda: tuple(mesh_prefix(key.subkey(b"discovery")) for key in ring.keys),
            version=distribution_version("rendermesh"), bind=settings.bind, advertise=settings.advertise,
        )  # fmt: skip
        token = settings.consul_token.get_secret_value() if settings.consul_token else None
        world = World(
            advert=advert, url=door.url, host=door.address.host, on_notice=hands.notice, consul_token=token,
            is_alone=lambda: len(node.roster.live()) <= 1,
        )  # fmt: skip
        return Discovery(
            lambda: make_providers(settings.ways, world),
            on_found=lambda addresses: engine.tell(SeedsFound(addresses)),
            on_notice=hands.notice,
        )

    async def _admin_key(self, parts: _Parts, node: Node) -> None:
        """The first peer of a mesh with a key of its own makes the first admin key."""
        if self._settings.mesh_key is not None:
            await ensure_admin_key(self._settings.data_dir, lambda: situation(self._settings, node), parts.mesh.register_key)

    async def _first_key(self, making: asyncio.Task[None]) -> None:
        """Where nobody else can be there, `ready` means that the key is there too; a full disk does not hold it up."""
        if patience_s(self._settings) <= 0:
            await asyncio.wait([making], timeout=FIRST_KEY_S)

    def _announce(self, parts: _Parts, me: PeerId) -> None:
        """Tell the account's own tools where this peer is, then whoever waits for the line."""
        self._show_authority(parts, parts.keys.certificates.authorities)
        print(f"ready {parts.door.url} {me}", flush=True)
        for line in self._settings.warnings:
            _log.warning("setting", text=line)

    def _show_authority(self, parts: _Parts, authorities: Sequence[Authority]) -> None:
        write_client_files(self._settings, parts.door.url, authorities)
        if self._settings.http_tls:
            _log.info("authority", sha256=authorities[0].fingerprint, path="/ca.pem")

    async def _turn_keys(self, parts: _Parts) -> None:
        await parts.keys.run(
            parts.client, parts.server, tell=parts.engine.tell, turned=lambda found: self._show_authority(parts, found)
        )

    async def _watch_renderers(self, parts: _Parts, node: Node) -> None:
        """Probe while serving already: a peer without a renderer joins, says so, and serves."""
        settings = self._settings
        options = self._confined.renderers
        watch = RendererWatch(
            find=lambda: find_renderers(settings.renderer, options, Surroundings(settings.blender), self._plugins),
            workshop=parts.workshop, checks=parts.checks, tell=parts.engine.tell, on_notice=parts.hands.notice,
            is_idle=lambda: node.thief.free_slots == settings.slots, soon_s=limits.RENDERERS_SOON_S,
            again_s=limits.RENDERERS_AGAIN_S, quiet_s=limits.ASK_TIMEOUT_S, kernel=cpu_kernel(),
        )  # fmt: skip
        parts.workshop.on_renderer_failed = watch.failed
        await watch.run()

    async def _gauge(self, node: Node) -> None:
        """Figures that are read rather than counted."""
        while True:
            states = Counter(member.state for member in node.swim.members())
            for state in ("alive", "suspect", "dead", "left"):
                self._metrics.members.labels(state=state).set(states[state])
            self._metrics.queue_depth.set(node.dispatcher.frames_waiting())
            await asyncio.sleep(limits.GAUGE_S)

    def _lagged(self, engine: Engine, lag_s: float) -> None:
        self._metrics.loop_lag_seconds.observe(lag_s)
        if lag_s > limits.LOOP_LAG_TOLD_S:
            engine.tell(LoopLagged(lag_s))

    # stopping

    def _noticed(self, notice: Notice) -> None:
        """Membership has met another process with our id; who came later goes."""
        if notice.event == "member_duplicate_id" and notice.fields["i_stop"]:
            folder, other = self._settings.data_dir, notice.fields["other"]
            self._twin = Conflict(
                "duplicate_id",
                f"another peer with this peer's id runs at {other}: {folder} is a copy of its data folder. "
                "Give this peer a folder of its own (--data-dir); it makes itself an id there.",
            )
            self._stop.set()
            self._stop_now.set()

    def _leave_for_good(self) -> None:
        """An operator's order, unlike a signal: this peer does not look for the mesh at its next start."""
        self._for_good = True
        self._stop.set()

    def _signalled(self) -> None:
        """The first signal drains, the second stops at once."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _until_stopped(self, parts: _Parts, node: Node) -> None:
        await self._stop.wait()
        if self._twin is not None:
            return  # a goodbye would be taken for the other one's
        _log.info("draining", grace_s=self._settings.drain_grace_s)
        parts.engine.tell(DrainAsked(leave=False))
        idle = await self._wait_for(lambda: node.thief.may_leave, self._settings.drain_grace_s)
        if not idle:
            parts.engine.tell(GraceEnded())
            await self._wait_for(lambda: node.thief.may_leave, STOP_S)
        await self._wait_for(lambda: not node.ledger.waits_for_heirs(), min(self._settings.drain_grace_s, limits.HANDOVER_S))
        parts.engine.tell(DrainAsked(leave=True, for_good=self._for_good))
        await self._wait_for(lambda: node.swim.departed, LEAVE_S)
        await parts.client.flush(1.0)

    async def _wait_for(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Poll a view of the node; False when time, or the operator's patience, has run out."""
        until = clock().monotonic_s + timeout_s
        while not is_so():
            left = until - clock().monotonic_s
            if left <= 0 or self._stop_now.is_set():
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, limits.DRAIN_POLL_S)):
                    await self._stop_now.wait()
        return True


@dataclass(slots=True)
class _Parts:
    engine: Engine
    hands: PeerHands
    workshop: Workshop
    checks: SelfChecks
    client: MeshClient
    server: MeshServer
    log: EventLog
    app: web.Application
    keys: KeyTurner
    door: Door
    booted: Booted
    discovery: Discovery
    mesh: EngineMesh
    blobs: FolderBlobs


class _Inbox:
    """Where the network hands in what it has heard; the engine is there before the first packet is read."""

    def __init__(self) -> None:
        self.engine: Engine | None = None

    def datagram(self, event: DatagramReceived) -> None:
        if self.engine is not None:
            self.engine.offer(event)

    def unsent(self, address: Address) -> None:
        if self.engine is not None:
            self.engine.offer(DatagramUnsent(address))

    def message(self, sender: PeerId, message: WorkMessage | GossipMessage) -> bool:
        return self.engine is not None and self.engine.offer(StreamReceived(sender, message))

    def failed(self, peer: PeerId, message: WorkMessage | GossipMessage, refused: bool) -> None:
        if self.engine is not None:
            self.engine.tell(StreamFailed(peer, message, refused))

    def broken(self, peer: PeerId) -> None:
        if self.engine is not None:
            self.engine.offer(StreamBroken(peer))


class _DropCounter:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def datagrams(self, reason: str, count: int) -> None:
        self._metrics.datagrams_dropped.labels(reason=reason).inc(count)

    def streams(self, reason: str, count: int) -> None:
        self._metrics.datagrams_dropped.labels(reason=f"stream_{reason}").inc(count)


class _LateHandler:
    """The mesh port listens before the user API exists."""

    def __init__(self) -> None:
        self.handler: Callable[[web.Request, PeerId], Awaitable[web.StreamResponse]] = _not_ready

    async def __call__(self, request: web.Request, peer: PeerId) -> web.StreamResponse:
        return await self.handler(request, peer)


async def _not_ready(_request: web.Request, _peer: PeerId) -> web.StreamResponse:
    return web.Response(status=503, headers={"Retry-After": "1"}, text="starting")


def _store_changed(checks: SelfChecks, error: Exception | None) -> None:
    checks.store_error = error
    checks.soon()


def _gpus(card: PeerCard) -> tuple[str, ...]:
    return tuple(device for one in card.capabilities for device in one.devices if device.lower() != "cpu")
