"""The demo: three peers on this machine render one animation with real Blender, and every claim about it is checked.

`scripts/demo` sets up and calls this. Decides what is shown and what must hold; it speaks to the peers as any user does,
with `peerd`, `peerctl` and HTTP, and to Blender in child processes of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import psutil
from demo_mesh import (
    NAMES,
    RENDER_S,
    DemoFailed,
    Mesh,
    Peer,
    chapter,
    check,
    fail,
    paint,
    peerctl,
    plain_environment,
    shown,
    tell,
)

TOP: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = TOP / ".demo"
FRAMES: Final = 48
LEAST_EACH: Final = 4

ONE_BLENDER: Final = """
import sys, bpy
scene_file, folder = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.open_mainfile(filepath=scene_file, use_scripts=False, load_ui=False)
bpy.context.scene.render.filepath = folder + "/frame_####"
bpy.ops.render.render(animation=True)
"""


class Stopwatch:
    """Seconds per phase, in the order in which they came."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.phases.append((name, time.monotonic() - began))


# Blender, by itself


def blender_command(script: Path, *arguments: str) -> list[str]:
    """How to run a script in the Blender that the peers will find first: the module, else the program."""
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable, str(script), "--", *arguments]
    program = shutil.which("blender")
    if program is None:
        fail(
            "there is no Blender here, neither the module bpy (it needs Python 3.11; remove .venv and set PYTHON=python3.11) "
            "nor a program; as root: apt-get install -y blender"
        )
    flags = ["-b", "--factory-startup", "--disable-autoexec", "--python-exit-code", "17", "-P", str(script), "--"]
    return [program, *flags, *arguments]


def run_blender(script: Path, *arguments: str, what: str) -> None:
    """Run it quietly. Raises `DemoFailed` with the end of what it said."""
    done = subprocess.run(
        blender_command(script, *arguments),
        capture_output=True,
        text=True,
        timeout=RENDER_S,
        check=False,
        env=plain_environment(),
    )
    if done.returncode != 0:
        fail(f"{what}: Blender ended with {done.returncode}:\n{(done.stdout + done.stderr)[-1500:]}")


def make_scene() -> Path:
    """The animation as a .blend file; made anew only when its maker has changed."""
    maker = TOP / "scripts" / "demo_scene.py"
    path = FOLDER / f"carousel-{hashlib.sha256(maker.read_bytes()).hexdigest()[:12]}.blend"
    if path.exists():
        tell(f"the scene is there from last time: {shown(path)}")
        return path
    fresh = path.with_name("new.blend")
    run_blender(maker, str(fresh), what="making the scene")
    fresh.replace(path)
    tell(f"made {shown(path)}: {path.stat().st_size / 1024:.0f} KiB, {FRAMES} frames, Cycles")
    return path


def single_blender(scene: Path) -> dict[str, Any]:
    """`{"pixels": {frame: hash}, "seconds": s}` of one Blender process that renders all alone; kept by scene and Blender."""
    command = blender_command(Path("x"))
    key = hashlib.sha256(scene.read_bytes() + str(Path(command[0]).resolve()).encode()).hexdigest()[:16]
    kept = FOLDER / f"alone-{key}.json"
    if kept.exists():
        result: dict[str, Any] = json.loads(kept.read_text())
        tell(f"known from last time: one Blender by itself took {result['seconds']:.1f} s")
        return result
    folder = FOLDER / "alone"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    script = folder / "alone.py"
    script.write_text(ONE_BLENDER)
    tell("one Blender process renders everything by itself, so that there is something to compare with ...")
    began = time.monotonic()
    run_blender(script, str(scene), str(folder), what="rendering alone")
    seconds = time.monotonic() - began
    pixels = pixel_hashes(folder)
    check(len(pixels) == FRAMES, f"one Blender alone left {len(pixels)} frames in {folder}, not {FRAMES}")
    kept.write_text(json.dumps({"pixels": pixels, "seconds": seconds}))
    tell(f"it took {seconds:.1f} s for {FRAMES} frames")
    shutil.rmtree(folder)
    return {"pixels": pixels, "seconds": seconds}


def pixel_hashes(folder: Path) -> dict[str, str]:
    """The hash of the pixels of every PNG in a folder, by frame number. Raises `DemoFailed` for one that does not decode."""
    from peer.render.verify_child import Fault, pixel_hash

    found = {}
    for path in sorted(folder.glob("*.png")):
        try:
            found[str(int(path.stem.rpartition("_")[2]))] = pixel_hash(path)
        except Fault as error:
            fail(f"{path} does not decode: {error}")
    return found


# the story


def main(arguments: list[str]) -> int:
    """Tell it. 0: everything held; 1: something did not; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="see scripts/demo --help")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("scripts/demo: another demo runs in this checkout; wait for it, or use another clone", file=sys.stderr)
            return 1
        return guarded(keep=options.keep, began=options.began)


def interrupted(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def guarded(*, keep: bool, began: float) -> int:
    """Run the demo and end what it started; failures become one clear sentence."""
    sweep()
    run = FOLDER / f"run-{secrets.token_hex(3)}"
    run.mkdir()
    mesh, watch = Mesh(run), Stopwatch()
    watch.phases.append(("set up", max(0.0, time.time() - began)))
    code, kept = 1, False
    try:
        demo(mesh, watch)
        code, kept = 0, keep
    except DemoFailed as error:
        print(f"\n{paint('scripts/demo: FAILED:', '31;1')} {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        code = 130
        print("\nscripts/demo: interrupted; ending what it started ...", file=sys.stderr, flush=True)
    finally:
        if not kept:
            code = ended(mesh, watch, code)
    if code == 0:
        table(watch)
    if kept:
        say_kept(mesh)
    elif code != 1:
        shutil.rmtree(run, ignore_errors=True)
    return code


def demo(mesh: Mesh, watch: Stopwatch) -> None:
    """Everything from the scene to the checked frames. Raises `DemoFailed`."""
    chapter("1. A scene, and what one Blender makes of it")
    with watch.phase("make the scene"):
        scene = make_scene()
    with watch.phase("one Blender alone"):
        alone = single_blender(scene)
    chapter(f"2. Three peers; nobody leads (mesh {mesh.name})")
    with watch.phase("start three peers"):
        mesh.start()
        mesh.await_together()
    check(not any(peer.get("jobs")["jobs"] for peer in mesh.peers), "a peer had a job before any was submitted")
    first, last = mesh.peers[0], mesh.peers[-1]
    chapter(f"3. The job goes to {first.name}; whoever is idle takes frames")
    with watch.phase("submit and render"):  # with threads as Blender likes: one alone has a second one wait in a spin in 5.0
        peerctl(first, "submit", str(scene), "--name", "carousel", "--wait", "--timeout", f"{RENDER_S:.0f}")
    job = first.get("jobs")["jobs"][0]
    chapter(f"4. The frames come from {last.name}, which did not take the job")
    check(job["owner"] == first.id, f"the job's owner is {job['owner'][:12]}, not the peer that took it")
    frames = FOLDER / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    with watch.phase("fetch"):
        peerctl(last, "fetch", job["id"], "-d", str(frames))
    chapter("5. Is it true?")
    with watch.phase("check"):
        check_frames(last, job, frames, alone)
        check_sharing(mesh, job)
    chapter("6. The mesh, in one screen")
    peerctl(mesh.peers[1], "status")
    tell(f"the frames: {shown(frames)} ({FRAMES} PNG files, 320x180)")


def check_frames(peer: Peer, job: dict[str, Any], folder: Path, alone: dict[str, Any]) -> None:
    """All there, each decodes, and its pixels are what the mesh says and what one Blender alone renders."""
    check(job["state"] == "completed", f"the job is {job['state']}, not completed: {job['error']}")
    rows = peer.get(f"jobs/{job['id']}/frames?limit=1000")["frames"]
    said = {str(row["frame"]): row["pixel_hash"] for row in rows}
    fetched = pixel_hashes(folder)
    expected = {str(number) for number in range(1, FRAMES + 1)}
    check(set(fetched) == expected, f"the fetched frames are {sorted(map(int, fetched))}, not 1 to {FRAMES}")
    tell(f"{FRAMES} frames were fetched, and each decodes")
    check(fetched == said, f"fetched pixels differ from what was committed: frames {differing(fetched, said)}")
    check(fetched == alone["pixels"], f"pixels differ from a single Blender's: frames {differing(fetched, alone['pixels'])}")
    tell(f"the pixels of all {FRAMES} are equal to those of one Blender that rendered alone")


def differing(one: dict[str, str], other: dict[str, str]) -> str:
    return ", ".join(number for number in sorted(one, key=int) if one[number] != other.get(number))


def check_sharing(mesh: Mesh, job: dict[str, Any]) -> None:
    """Each peer committed its share, and the owner's event log shows that they came and asked for it."""
    owner = mesh.by_id(job["owner"])
    events = [event for event in owner.events() if event.get("job") == job["id"]]
    commits = [event for event in events if event["event"] == "frame_committed"]
    leases = [event for event in events if event["event"] == "frames_leased"]
    check(len(commits) == FRAMES, f"the event log shows {len(commits)} commits, not {FRAMES}")
    done, leased = Counter(event["by"] for event in commits), {peer.id: set[int]() for peer in mesh.peers}
    for event in leases:
        leased[mesh.by_id(event["to"]).id].update(event["frames"])
    for peer in mesh.peers:
        check(done[peer.id] >= LEAST_EACH, f"peer {peer.name} committed {done[peer.id]} frames, fewer than {LEAST_EACH}")
        bare = [event["frame"] for event in commits if event["by"] == peer.id and event["frame"] not in leased[peer.id]]
        check(not bare, f"peer {peer.name} committed frames {bare} without a lease")
        batches = sum(1 for event in leases if event["to"] == peer.id)
        role = "the owner" if peer is owner else "under leases that it asked for"
        tell(f"{peer.name:<7} committed {done[peer.id]:>2} frames in {batches:>2} batches ({role})")
    order = [event["event"] for event in events]
    check("job_accepted" in order[: order.index("frames_leased")], "frames were handed out before the job was accepted")
    first, most = len(leases[0]["frames"]), max(len(event["frames"]) for event in leases)
    check(first < FRAMES // len(NAMES), f"the very first lease held {first} frames: a share, handed out beforehand")
    check(most <= FRAMES // 2, f"one lease held {most} of the {FRAMES} frames")
    tell(f"nothing was assigned beforehand: {len(leases)} leases of {first} to {most} frames, each when a peer asked for work")


# the end


def ended(mesh: Mesh, watch: Stopwatch, code: int) -> int:
    """End the peers, deaf to further Ctrl-C; the exit code, which is 1 when they did not end as they should."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with watch.phase("stop the peers"):
        wrong = mesh.stop(at_once=code != 0)
    if code == 0:
        for text in wrong:
            print(f"{paint('scripts/demo: FAILED:', '31;1')} {text}", file=sys.stderr, flush=True)
    return 1 if code == 0 and wrong else code


def table(watch: Stopwatch) -> None:
    """Seconds per phase, and the sum."""
    chapter("seconds")
    total = 0.0
    for name, seconds in watch.phases:
        total += seconds
        print(f"  {name:<20}{seconds:>8.1f}")
    print(f"  {'all':<20}{total:>8.1f}")
    print(paint("\nEverything held.", "32;1"), flush=True)


def say_kept(mesh: Mesh) -> None:
    """How to use and how to end what was left running."""
    pids = " ".join(str(peer.process.pid) for peer in mesh.peers)
    (mesh.run / "pids").write_text(pids)
    host = mesh.peers[0].url.removeprefix("http://")
    chapter("The mesh goes on, as you asked. From the checkout:")
    tell(f".venv/bin/peerctl -H {host} status")
    tell(f".venv/bin/peerctl -H {host} submit YOUR.blend --wait --fetch frames")
    tell(f"end it: kill {pids}")
    tell(f"its data are in {shown(mesh.run)}; the next demo clears them away")


def sweep() -> None:
    """Remove what former runs have left, except a mesh that was kept and still runs."""
    for run in FOLDER.glob("run-*"):
        file = run / "pids"
        pids = [int(word) for word in file.read_text().split()] if file.exists() else []
        if not any(psutil.pid_exists(pid) for pid in pids):
            shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
