"""Every message that peers can say, drawn at random: for round trips and for the fuzzing of decoders."""

from __future__ import annotations

from hypothesis import strategies as st

from protocol import limits
from protocol.access.keys import KeyRecord
from protocol.access.roles import ROLES
from protocol.ids import Address, AttemptId, AuthorId, Digest, Fence, JobId, LeaseId, PeerId
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, make_manifest
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Capabilities, Failure, FrameResult, Inspection, Output, SceneWarning
from protocol.ledger.facts import Fact, FrameEnded, Owner, ReplicaSet
from protocol.wire import gossip as g
from protocol.wire import work as w
from protocol.wire.delivery import Carried, Carry
from protocol.wire.keys import KeyGiven, KeysHeld
from tests.protocol.specs import spec_texts


def hexes(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


def texts(most: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=min(most, 20))


peers = hexes(32).map(PeerId)
jobs = hexes(16).map(JobId)
leases = hexes(8).map(LeaseId)
digests = hexes(32).map(Digest)
uint64 = st.integers(0, 2**64 - 1)
epochs = st.integers(0, limits.EPOCH_MAX)
ports = st.integers(1, 65_535)
hosts = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
addresses = st.builds(Address, hosts, ports)
frames = st.integers(limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX)
generations = st.integers(0, limits.GENERATIONS_MAX)
seconds = st.floats(0, 1e9, allow_nan=False)
fences = st.builds(Fence, epochs, peers)
attempts = st.builds(AttemptId, epochs, peers, st.integers(0, limits.ATTEMPT_COUNTER_MAX))
states = st.sampled_from(["alive", "suspect", "dead", "left"])


def few(strategy: st.SearchStrategy, most: int = 3) -> st.SearchStrategy:
    return st.lists(strategy, max_size=most).map(tuple)


version_ranges = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (min(pair), max(pair)))
alives = st.builds(
    g.Alive,
    peer=peers,
    run_epoch=epochs,
    incarnation=epochs,
    nonce=st.binary(min_size=8, max_size=8),
    address=addresses,
    mesh_port=ports,
    meta=st.binary(max_size=limits.METADATA_BYTES_MAX),
    versions=version_ranges,
    extra=st.just(b""),
)
suspects = st.builds(g.Suspect, peers, epochs, epochs, peers, st.booleans())
datagram_messages = st.one_of(
    st.builds(g.Ping, uint64, st.none() | peers, st.none() | suspects),
    st.builds(g.Ack, uint64, ports),
    st.builds(g.Nack, uint64),
    st.builds(g.PingReq, uint64, peers, addresses),
    alives,
    suspects,
    st.builds(g.Dead, peers, epochs, epochs, peers),
    st.builds(g.Left, peers, epochs, epochs),
)
stream_gossip = st.one_of(
    st.builds(g.StreamPing, uint64, alives),
    st.builds(g.StreamAck, uint64),
    st.builds(g.PushPull, few(st.builds(g.MemberNews, alives, states)), few(peers), st.booleans()),
    st.builds(g.SyncDigest, st.binary(min_size=16, max_size=16)),
    st.builds(g.SyncVersions, few(st.tuples(peers, epochs, epochs, states))),
)

file_names = st.sampled_from(["shot.blend", "tex/wood.png", "tex/å.exr", "a b/c.usd"])
entries = st.builds(ManifestEntry, file_names, digests, st.integers(0, 2**30))
manifests: st.SearchStrategy[Manifest] = st.just(EMPTY) | st.lists(
    entries, min_size=1, max_size=3, unique_by=lambda entry: entry.name
).map(lambda files: make_manifest(files[0].name, files))
failures = st.builds(Failure, st.sampled_from(["scene", "crash", "timeout", "infrastructure"]), texts(100))
outputs = st.builds(
    Output,
    texts(9),
    file_names,
    digests,
    hexes(32),
    st.integers(0, limits.SCENE_BYTES_MAX),
    *[st.integers(0, 9_999)] * 3,
    texts(9),
)
results = st.builds(FrameResult, few(outputs, 2), st.none(), seconds, texts(9), st.none() | digests) | st.builds(
    FrameResult, st.just(()), failures, seconds, texts(9), st.none() | digests
)
inspections = st.builds(
    Inspection,
    blender=texts(9),
    scene=texts(9),
    frame_start=frames,
    frame_end=frames,
    fps=st.floats(0, 240),
    warnings=few(st.builds(SceneWarning, texts(9), st.sampled_from(["info", "picture"]), texts(9), texts(9))),
    error=st.none() | failures,
    notes=few(texts(9)),
)
words = texts(9)
capabilities = st.builds(Capabilities, words, words, words, words, few(words), few(words), st.booleans(), words, words)
bodies = st.one_of(
    st.builds(Owner, fences),
    st.builds(ReplicaSet, fences, epochs, st.lists(peers, max_size=3, unique=True).map(tuple)),
    st.builds(FrameEnded, frames, generations, attempts, peers, results, st.integers(0, limits.WALL_MS_MAX)),
)
facts = st.builds(Fact, jobs, hexes(8).map(AuthorId), st.integers(1, 2**63 - 1), bodies)
versions = few(st.tuples(hexes(8).map(AuthorId), epochs))


@st.composite
def work_leases(draw: st.DrawFn) -> w.Lease:
    inspect = draw(st.booleans())
    work = () if inspect else tuple(draw(st.lists(frames, max_size=3)))
    return w.Lease(
        lease=draw(leases),
        job=draw(jobs),
        fence=draw(fences),
        inspect=inspect,
        frames=work,
        generations=tuple(draw(generations) for _ in work),
        attempts=tuple(draw(attempts) for _ in (work or (0,) * inspect)),
        ttl_s=draw(seconds),
        spec=draw(spec_texts),
        manifest=draw(manifests),
        holders=draw(few(peers)),
        blender=draw(texts(9)),
        trace=draw(texts(9)),
    )


key_records = st.builds(
    KeyRecord,
    hexes(8),
    st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True),
    st.sampled_from(ROLES),
    st.binary(min_size=32, max_size=32),
    st.integers(0, limits.WALL_MS_MAX),
    st.booleans(),
)
work_messages = st.one_of(
    st.builds(w.Wake, jobs),
    st.builds(
        w.Steal,
        uint64,
        st.integers(0, limits.SLOTS_MAX),
        few(capabilities),
        few(st.tuples(texts(9), texts(9))),
        few(st.tuples(jobs, seconds)),
        few(digests),
    ),
    st.builds(w.Granted, uint64, few(work_leases())),
    st.builds(w.Nothing, uint64, st.none() | peers),
    st.builds(w.Renew, few(st.tuples(leases, jobs, fences, few(frames)))),
    st.builds(w.Revoke, leases, jobs, few(frames), texts(99)),
    st.builds(w.Release, leases, jobs, few(frames), texts(99)),
    st.builds(w.Report, leases, jobs, frames, generations, attempts, results),
    st.builds(w.InspectReport, leases, jobs, attempts, inspections),
    st.builds(w.Reported, jobs, attempts),
    st.builds(w.Progress, few(st.tuples(jobs, frames, seconds, st.floats(0, 1)))),
    st.builds(w.Facts, jobs, few(facts), versions, st.booleans()),
    st.builds(w.FactsHeld, jobs, versions, versions),
    st.builds(w.ForgetJob, jobs, fences),
    st.builds(w.CatalogRoot, st.binary(max_size=64)),
    st.builds(w.CatalogVersions, few(st.tuples(peers, epochs, epochs)), st.booleans()),
    st.builds(
        w.CatalogDelta,
        few(st.tuples(peers, epochs, epochs, epochs)),
        few(st.tuples(peers, epochs, texts(99), st.none() | st.binary(max_size=99))),
    ),
    st.builds(w.JobQuery, uint64, texts(99)),
    st.builds(w.JobAnswer, uint64, few(st.binary(max_size=99))),
    st.builds(w.SubmissionQuery, uint64, texts(99), texts(99), jobs),
    st.builds(
        w.SubmissionAnswer,
        uint64,
        st.sampled_from(["unknown", "same", "other", "deleted", "busy"]),
        st.none() | jobs,
        st.none() | st.binary(max_size=99),
    ),
    st.builds(w.Draining, st.sampled_from(["draining", "active"])),
    st.builds(w.AccessRoot, st.lists(st.binary(min_size=8, max_size=8), min_size=16, max_size=16).map(tuple), st.booleans()),
    st.builds(w.AccessRows, few(key_records)),
    st.builds(w.Audit, work_leases().filter(lambda lease: len(lease.frames) == 1)),
    st.builds(w.Audited, jobs, attempts, results),
)
fingerprints = hexes(8)
key_messages = st.one_of(
    st.builds(KeysHeld, few(fingerprints), st.tuples(epochs, fingerprints), few(fingerprints), st.booleans()),
    st.builds(KeyGiven, st.binary(min_size=32, max_size=32), st.none() | few(peers)),
)
plain_names = st.sampled_from(["0001.png", "film/0002.exr", "å/b c.tif", "a/b/c/d"])


@st.composite
def parcels(draw: st.DrawFn) -> Parcel:
    """A name for each output, all different."""
    names = tuple(draw(st.lists(plain_names, max_size=2, unique=True)))
    return Parcel(draw(frames), draw(generations), names, tuple(draw(outputs) for _ in names), tuple(draw(few(hexes(32)))))


placed = st.builds(Placed, frames, generations, few(plain_names))
delivery_messages = st.one_of(
    st.builds(Carry, jobs, uint64, texts(9), st.just("") | plain_names, st.booleans(), few(parcels()), few(peers)),
    st.builds(Carried, jobs, uint64, few(placed), texts(9), texts(9)),
)
messages = st.one_of(datagram_messages, stream_gossip, work_messages, key_messages, delivery_messages)
