"""Runs cases of the table through a real mesh of three peers, and compares what comes out with a single Blender's pictures."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import urllib3
from PIL import Image

from peer.ports import RenderFailed, ReportedFile
from peer.render.verify import ChildVerifier
from tests.e2e.mesh import Mesh, PeerProcess
from tests.scenes.build import Home, run_blender
from tests.scenes.cases import Case

MAKE: Final = Path(__file__).with_name("make_cases.py")
REFERENCE: Final = Path(__file__).with_name("reference.py")
PEERS: Final = ("one", "two", "three")
CASE_S: Final = 300.0
_END: Final = r"(?:_[^/.\d]*)?\.\w+\Z"  # a stereo view's suffix, and the format's


@dataclass(frozen=True)
class Row:
    """One line of the table. `verdict` is ok, or what is different."""

    scene: str
    home: Home
    expected: str
    seen: str
    verdict: str

    @property
    def holds(self) -> bool:
        return self.verdict == "ok"

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Trial:
    """One home's scenes in one mesh. `scenes` holds a folder for each case; `work` takes what is rendered."""

    def __init__(self, home: Home, scenes: Path, work: Path, peers: Sequence[PeerProcess], verifier: ChildVerifier) -> None:
        self.home: Home = home
        self._scenes = scenes
        self._work = work
        self._peers = peers
        self._verifier = verifier

    def submit(self, case: Case) -> str:
        """The job of a case, at the first peer, with all that lies beside the scene."""
        folder = self._scenes / case.name
        spec = {"name": case.name, "max_attempts": 2, **case.spec}
        fields: list[tuple[str, Any]] = [(name, str(value)) for name, value in spec.items()]
        fields.append(("scene", ("scene.blend", (folder / "scene.blend").read_bytes())))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("scene.blend"):
                fields.append(("asset", (path.relative_to(folder).as_posix(), path.read_bytes())))
        answer = self._peers[0].ask("POST", "/api/v1/jobs", fields=fields)
        assert answer.status == 202, f"{case.name}: {answer.status} {answer.text}"
        return str(answer.json["id"])

    async def judge(self, case: Case, job: str) -> Row:
        """Wait for the job and compare; a job that is held as expected is accepted and waited for once more."""
        try:
            seen, faults = await self._look(case, job)
        except (AssertionError, RenderFailed, urllib3.exceptions.HTTPError) as error:
            seen, faults = "no answer", [" ".join(str(error).split())[:300]]
        return Row(case.name, self.home, expectation(case), seen, "; ".join(faults) or "ok")

    async def _look(self, case: Case, job: str) -> tuple[str, list[str]]:
        view = await self._peers[0].until_ended(job, CASE_S)
        found = self._peers[1].ask("GET", f"/api/v1/jobs/{job}/inspection").json
        codes = tuple(sorted({warning["code"] for warning in found.get("warnings", ())}))
        faults = [] if view["state"] == case.state else [f"{view['state']}: {text_of(view)}"]
        faults += [] if codes == tuple(sorted(case.codes)) else [f"findings: {', '.join(codes) or 'none'}"]
        seen = " ".join([view["state"], *codes])
        if view["state"] == "held" and case.accept and not faults:
            for code in codes:
                self._peers[1].ask("PATCH", f"/api/v1/jobs/{job}", json_body={"accept": code})
            view = await self._peers[0].until_ended(job, CASE_S, among=("completed", "failed"))
            seen += f", accepted: {view['state']}"
            faults += [] if view["state"] == "completed" else [text_of(view)]
        if not faults and case.state == "failed":
            faults += self._reasons(case, view, job)
        if not faults and (view["state"] == "completed" or case.lost):
            words, faults = await self._pictures(case, job)
            seen += f", {words}"
        return seen, faults

    def _reasons(self, case: Case, view: Any, job: str) -> list[str]:
        """What a failed job must say, and which frames it must have lost; without any the scene itself failed, unrendered."""
        rows = self._peers[1].frames(job)
        lost = tuple(row["frame"] for row in rows if row["state"] == "failed")
        said = [str(row["error"]) for row in rows if row["state"] == "failed"] if case.lost else [str(view["error"])]
        faults = [] if lost == case.lost else [f"frames lost: {lost}"]
        return faults + [f"says: {text[:200]}" for text in said if case.reason not in text]

    async def _pictures(self, case: Case, job: str) -> tuple[str, list[str]]:
        """Every file of every frame, fetched as one archive from a peer that did not take the job in."""
        kept = tuple(frame for frame in case.frames if frame not in case.lost)
        got = await self._fetched(case, job, kept)
        wanted = await self._reference(case, kept)
        faults = []
        for frame in kept:
            if got[frame].total() != case.files:
                faults.append(f"frame {frame}: {got[frame].total()} files, expected {case.files}")
            elif got[frame] != wanted[frame]:
                faults.append(f"frame {frame}: {sum((got[frame] - wanted[frame]).values())} of {case.files} files differ")
        total = sum(sum(hashes.values()) for hashes in got.values())
        return f"{total} files {'of the right size' if case.pictures == 'sized' else 'equal'}", faults

    async def _fetched(self, case: Case, job: str, frames: Sequence[int]) -> dict[int, Counter[str]]:
        peer = self._peers[2]
        await peer.until_ended(job, CASE_S)  # what the others know arrives there a little later
        answer = peer.ask("GET", f"/api/v1/jobs/{job}/archive")
        assert answer.status == 200, f"archive: {answer.status} {answer.text[:200]}"
        folder = self._work / case.name / "mesh"
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            names = archive.namelist()
            archive.extractall(folder)
        assert len(set(map(str.lower, names))) == len(names), f"names collide: {names}"
        found: dict[int, Counter[str]] = {}
        listed: list[str] = []
        for frame in frames:
            rows = peer.get(f"/jobs/{job}/frames/{frame}/outputs")["outputs"]
            listed += [row["name"] for row in rows]
            found[frame] = await self._marks(case, [folder / row["name"] for row in rows])
        assert sorted(listed) == sorted(names), f"the archive has {names}, the frames' lists have {listed}"
        return found

    async def _reference(self, case: Case, frames: Sequence[int]) -> dict[int, Counter[str]]:
        folder = self._work / case.name / "alone"
        home = folder.with_name("scene")
        shutil.copytree(self._scenes / case.name, home)
        twin = home / "scene.blend.twin"  # where the scene itself has paths that only a map can follow
        scene = twin if twin.exists() else home / "scene.blend"
        variables = {"OCIO": str(home / case.reference["ocio"])} if "ocio" in case.reference else {}
        for first, last in ranges(frames):
            numbers = (str(first), str(last))
            run_blender(self.home, REFERENCE, str(scene), str(folder), *numbers, json.dumps(case.reference), **variables)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        found: dict[int, Counter[str]] = {}
        for frame in frames:
            end = re.compile(r"(?<!-)" + numbered(frame) + _END)
            found[frame] = await self._marks(case, [path for path in paths if end.search(path.name)])
        return found

    async def _marks(self, case: Case, paths: list[Path]) -> Counter[str]:
        """How often each picture is there: by its pixels, or by its kind and size alone where pixels cannot be equal."""
        files = [ReportedFile("main", path.name, path, 0, 0, 0, "") for path in paths]
        if case.pictures == "sized":
            return Counter(map(sized, paths))
        return Counter(one.pixel_hash for one in await self._verifier.verify(files)) if files else Counter()


def sized(path: Path) -> str:
    """A picture's format and its size in pixels."""
    with Image.open(path) as image:
        return f"{image.format} {image.width}x{image.height}"


def expectation(case: Case) -> str:
    """The third column."""
    words = [case.state, *sorted(case.codes)]
    if case.lost:
        words.append(f"without frame {', '.join(map(str, case.lost))}")
    if case.reason:
        words.append(f'"{case.reason}"')
    return " ".join(words)


def numbered(frame: int) -> str:
    """A frame's number as Blender writes it into names."""
    return f"{'-' if frame < 0 else ''}{abs(frame):04}"


def text_of(view: Any) -> str:
    """Why a job is where it is."""
    return str(view["error"] or [reason["text"] for reason in view["held_because"]])[:300]


def ranges(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive frames, as first and last."""
    cuts = [index for index, (one, other) in enumerate(pairwise(frames), 1) if other != one + 1]
    return [(frames[start], frames[end - 1]) for start, end in zip([0, *cuts], [*cuts, len(frames)], strict=True)]


def make(home: Home, folder: Path, cases: Sequence[Case]) -> None:
    """Make the scenes of `cases`, each in a folder of its own below `folder`."""
    run_blender(home, MAKE, str(folder), *(case.name for case in cases))


async def gather(mesh: Mesh, home: Home) -> list[PeerProcess]:
    """Three peers with the Blender of that home."""
    program = ("--blender", str(shutil.which("blender"))) if home == "program" else ()
    return await mesh.start_many(*PEERS, renderer="blender" if home == "program" else "bpy", arguments=program)


async def run(
    home: Home, cases: Sequence[Case], mesh: Mesh, folder: Path, tell: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """All of `cases` that exist in that home, as rows; each is also told as soon as it is known."""
    chosen = [case.at(home) for case in cases if home in case.homes]
    make(home, folder / "scenes", chosen)
    peers = await gather(mesh, home)
    verifier = ChildVerifier()
    try:
        trial = Trial(home, folder / "scenes", folder / "work", peers, verifier)
        rows: list[Row] = []
        for together in ([case for case in chosen if not case.dangerous], *([case] for case in chosen if case.dangerous)):
            jobs = [trial.submit(case) for case in together]
            for case, job in zip(together, jobs, strict=True):
                rows.append(await trial.judge(case, job))
                tell(rows[-1])
        return rows
    finally:
        await verifier.close()
