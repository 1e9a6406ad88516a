"""An output root that several hosts have mounted: files under final names, temporary ones beside them, foreign ones among them.

It keeps the shell's publish rule step by step, so that a host may die between any two, and two hosts may be at it at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from protocol.effects import Deliver
from protocol.events import DeliverEnded
from protocol.ids import Digest, JobId
from protocol.jobs.naming import output_names
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output
from protocol.ledger.facts import FrameEnded
from protocol.ledger.fold import JobFold
from tests.sim.commits import Closing, Outcome
from tests.sim.losses import found_out
from tests.sim.world import Host, Unsafe, World

ROOT = "farm"
STEP_S = 0.002
Verdict = Literal["placed", "conflict", "absent"]
Finding = Literal["ours", "older", "foreign"]
Steps = Generator[float, None, None]  # seconds until the next one


class Hindered(Exception):
    """The batch ends here; the text is the code."""


@dataclass(frozen=True, slots=True)
class File:
    """What lies under a final name. `job` None: it is somebody else's."""

    pixels: str
    job: JobId | None
    frame: int = 0
    generation: int = 0


@dataclass(slots=True)
class _Queue:
    """The batches of one run of a host: one is performed at a time."""

    run: int
    waiting: deque[Deliver] = field(default_factory=deque)


class Root:
    """Invariant: nothing but a rename makes or changes a file under a final name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.files: dict[str, File] = {}
        self.temporaries: dict[int, JobId] = {}
        self.is_gone = False
        self.removed: dict[str, float] = {}  # when somebody took a file away
        self.written: dict[tuple[str, int], float] = {}  # when what this generation looks like was first there
        self.named: dict[str, float] = {}  # when the file that lies there got its name
        self.looked_at: dict[tuple[str, str, int], float] = {}  # when whose (`sweeper`) sweep last looked for which generation
        self.on_write: Callable[[Host, str, File | None, File], None] = lambda host, path, before, after: None
        self._queues: dict[int, _Queue] = {}
        self._next = count()
        world.deliver = self.deliver

    def deliver(self, host: Host, effect: Deliver) -> None:
        """Perform it, after those that came before."""
        queue = self._queues.get(host.index)
        if queue is None or queue.run != host.run:
            queue = self._queues[host.index] = _Queue(host.run)
        queue.waiting.append(effect)
        if len(queue.waiting) == 1:
            self._begin(host, queue)

    def remove(self, path: str) -> None:
        """Somebody takes a file away."""
        del self.files[path]
        self.removed[path] = self.world.at
        self.world.trace.count("files taken away")

    def _begin(self, host: Host, queue: _Queue) -> None:
        effect = queue.waiting[0]
        placed: list[Placed] = []
        steps = self._batch(host, effect, placed)

        def go() -> None:
            code = ""
            try:
                self.world.later(next(steps), go, host)
                return
            except StopIteration:
                pass
            except Hindered as fault:
                code = str(fault)
                self.world.trace.count(f"deliveries hindered: {code}")
            queue.waiting.popleft()
            if queue.waiting:
                self._begin(host, queue)
            self.world.tell(host, DeliverEnded(effect.ticket, tuple(placed), code, code))  # whose answer may be the next batch

        self.world.later(STEP_S, go, host)

    def _batch(self, host: Host, effect: Deliver, placed: list[Placed]) -> Steps:
        if effect.root != ROOT or self.is_gone:
            raise Hindered("output_root_gone")
        for leftover in [name for name, job in self.temporaries.items() if job == effect.job]:
            del self.temporaries[leftover]
        for parcel in effect.parcels:
            verdicts: list[Verdict] = []
            for name, output in zip(parcel.names, parcel.outputs, strict=True):
                path = f"{effect.folder}/{name}".lstrip("/")
                if effect.sweep:
                    yield from self._look(path, effect.ticket.rpartition("-")[0], parcel, output, verdicts)
                else:
                    yield from self._place(host, effect.job, path, parcel, output, verdicts)
            if "absent" not in verdicts:
                pairs = zip(parcel.names, verdicts, strict=True)
                conflicts = tuple(name for name, verdict in pairs if verdict == "conflict")
                placed.append(Placed(parcel.frame, parcel.generation, conflicts))

    def _look(self, path: str, whose: str, parcel: Parcel, output: Output, verdicts: list[Verdict]) -> Steps:
        yield STEP_S
        self.looked_at[path, whose, parcel.generation] = self.world.at
        found = self.files.get(path)
        is_there = found is not None and _find(found, parcel, output) != "older"
        if found is not None and not is_there:
            self.world.trace.count("files found older in a sweep")
        verdicts.append("placed" if is_there else "absent")

    def _place(self, host: Host, job: JobId, path: str, parcel: Parcel, output: Output, verdicts: list[Verdict]) -> Steps:
        """A file of that name is looked at; one that turns up in between, too."""
        if self.is_gone:
            raise Hindered("output_root_gone")
        file = File(output.pixel_hash, job, parcel.frame, parcel.generation)
        found = self.files.get(path)
        if found is None:
            temporary = yield from self._copy(host, job, output.digest)
            found = yield from self._rename(host, temporary, path, file, replaces=False)
            if found is None:
                verdicts.append("placed")
                return
        match _find(found, parcel, output):
            case "ours":
                self.world.trace.count("files in place already")
                self.written.setdefault((path, file.generation), self.world.at)
                verdicts.append("placed")
            case "older":
                temporary = yield from self._copy(host, job, output.digest)
                yield from self._rename(host, temporary, path, file, replaces=True)
                self.world.trace.count("files replaced")
                verdicts.append("placed")
            case "foreign":
                self.world.trace.count("files kept from others")
                verdicts.append("conflict")

    def _copy(self, host: Host, job: JobId, digest: Digest) -> Generator[float, None, int]:
        """Returns the temporary file."""
        if not host.disk.is_whole(digest):
            found_out(self.world, host, digest)
            raise Hindered("output_unreachable")
        temporary = next(self._next)
        self.temporaries[temporary] = job
        self.world.failpoint(host, "output temporary before")
        yield STEP_S
        self.world.failpoint(host, "output temporary after")
        yield STEP_S
        return temporary

    def _rename(
        self, host: Host, temporary: int, path: str, file: File, *, replaces: bool
    ) -> Generator[float, None, File | None]:  # fmt: skip
        """Returns what has the name already, where nothing is to be replaced: both are one step, as in a file system."""
        self.world.failpoint(host, "output rename before")
        yield 0.0001
        if temporary not in self.temporaries:
            raise Hindered("output_root_gone")  # another host has cleared it away
        del self.temporaries[temporary]
        if not replaces and path in self.files:
            return self.files[path]
        self.on_write(host, path, self.files.get(path), file)
        self.files[path] = file
        self.named[path] = self.world.at
        self.written.setdefault((path, file.generation), self.world.at)
        self.world.trace.count("files in place")
        self.world.failpoint(host, "output rename after")
        yield STEP_S
        return None


def _find(found: File, parcel: Parcel, output: Output) -> Finding:
    """What a file under a frame's name is."""
    if found.pixels == output.pixel_hash:
        return "ours"
    return "older" if found.pixels in parcel.replaces else "foreign"


def paths_of(fold: JobFold, ended: FrameEnded) -> list[str]:
    """Where the outputs of a frame are to lie, below the root."""
    spec, destination, outputs = fold.spec, fold.destination, ended.result.outputs
    assert spec is not None
    assert destination is not None
    names = output_names(spec.output, job=fold.job, name=spec.name, frame=ended.frame, outputs=outputs)
    return [f"{destination.folder}/{name}".lstrip("/") for name in names]


def sweeper(host: Host, job: JobId) -> str:
    """Whose look at a file it is: the tickets of the batches that this owner hands out for the job begin so."""
    return f"carry-{host.peer}-{job}"


class DeliveredIsInPlace(Closing):
    """C5: nothing gives way but a lower generation of the same frame, to what was committed; and when a job is closed, its owner
    has looked for each done frame, and it lies in the root, once, right, or is told to be in conflict with what was there.

    What was taken away or put back after that look is nobody's fault: an owner that knew less may have written meanwhile."""

    def __init__(self, world: World, root: Root) -> None:
        super().__init__(world)
        self._root = root
        self._closed: dict[str, tuple[int, float]] = {}  # by path: at how many retries its job was closed, after a look when
        root.on_write = self.written
        world.on_step.append(self.stepped)

    def written(self, host: Host, path: str, before: File | None, file: File) -> None:
        """A file gets its name now."""
        if before is not None:
            is_older = (before.job, before.frame) == (file.job, file.frame) and before.generation < file.generation
            if not is_older:
                raise Unsafe(f"{host.name} writes {path} of generation {file.generation} over {before}")
        if not any(self._speaks_of(other, file) for other in self.world.hosts):
            raise Unsafe(f"{host.name} writes {path}, which nobody has committed")

    def _speaks_of(self, host: Host, file: File) -> bool:
        assert file.job is not None
        for fact in host.disk.facts.get(file.job, {}).values():
            body = fact.body
            if not isinstance(body, FrameEnded) or (body.frame, body.generation) != (file.frame, file.generation):
                continue
            if any(output.pixel_hash == file.pixels for output in body.result.outputs):
                return True
        return False

    def closed(self, host: Host, fold: JobFold, state: str, outcome: Outcome) -> None:
        assert fold.frames is not None
        for frame in fold.frames if fold.destination is not None else ():
            winner = outcome.done(frame)
            if winner is not None:
                for path, output in zip(paths_of(fold, winner), winner.result.outputs, strict=True):
                    self._look(host, fold, winner, path, output)

    def _look(self, host: Host, fold: JobFold, winner: FrameEnded, path: str, output: Output) -> None:
        file = self._root.files.get(path)
        is_told = path.rpartition("/")[2] in fold.conflicts.get(winner.frame, ())
        is_rival = file is not None and file.job == fold.job and fold.has_rivals(winner.frame)  # a merge replaces no file
        looked_at = self._swept(host, fold, winner, path)
        is_older = file is not None and (file.job, file.frame) == (fold.job, winner.frame) and file.generation < winner.generation
        is_late = is_older and self._root.named[path] > looked_at
        is_right = file is None or file.pixels == output.pixel_hash or is_told or is_late
        if not is_right and not (is_rival and file is not None and file.generation == winner.generation):
            raise Unsafe(f"{host.name} closes {fold.job[:6]}, and at {path} is {file}, not generation {winner.generation}")

    def _swept(self, host: Host, fold: JobFold, winner: FrameEnded, path: str) -> float:
        """An heir passes on what its job was closed with; anybody else has looked for the file since it was written first.

        Returns when it was looked for."""
        looked_at = self._root.looked_at.get((path, sweeper(host, fold.job), winner.generation), -1.0)
        retries, before = self._closed.get(path, (-1, -1.0))
        if retries >= len(fold.retries):
            return max(before, looked_at)
        self._closed[path] = len(fold.retries), looked_at
        if looked_at < self._root.written.get((path, winner.generation), 0.0):
            raise Unsafe(f"{host.name} closes {fold.job[:6]}, and has not looked for {path}")
        if path not in self._root.files and self._root.removed.get(path, -1.0) <= looked_at:
            raise Unsafe(f"{host.name} closes {fold.job[:6]}, and {path} is not in the root")
        return looked_at
