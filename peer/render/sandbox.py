"""The sandbox of a renderer: bwrap where it works, else Landlock with a filter of system calls, else none.

Decides what a confined process can reach, and finds the strongest level by trying it once. Refuses to know what runs inside.
Levels: bwrap gives file system, network, processes and users of its own, and no socket, since a namespace does not hide
socket files; landlock shares them all, but opens only what is listed here, makes no socket, and touches no other process.
Run as `python -m peer.render.sandbox FOLDER` it tries every level below FOLDER and prints what it found as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from peer.render import landlock, seccomp
from protocol import limits
from protocol.jobs.sandboxes import Level

Choice = Literal["auto", "bwrap", "landlock", "none"]

GET_BWRAP: Final = "as root: apt-get install -y bubblewrap"
GET_NAMESPACES: Final = (
    "let this account make user namespaces (sysctl kernel.unprivileged_userns_clone=1, or "
    "kernel.apparmor_restrict_unprivileged_userns=0), or a container's own (--security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined)"
)
GET_LANDLOCK: Final = "use Linux 5.13 or later with landlock in its lsm= list, on x86_64 or aarch64"

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_SETTINGS: Final = tuple(
    f"/etc/{name}"
    for name in (
        "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "timezone", "passwd", "group",
        "nsswitch.conf", "glvnd", "vulkan", "OpenCL", "egl", "drirc", "mime.types",
    )
)  # fmt: skip
_MACHINE: Final = ("/sys/devices", "/sys/bus", "/sys/class", "/sys/dev")
_OWN_PROC: Final = tuple(
    f"/proc/{name}"
    for name in (
        "self", "cpuinfo", "meminfo", "stat", "version", "filesystems", "loadavg", "devices", "driver",
        "sys/vm/overcommit_memory", "sys/kernel",
    )
)  # fmt: skip
_PLAIN_DEVICES: Final = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_GRAPHICS: Final = ("dri", "kfd", "nvidia*")
_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_TRIAL: Final = Path(__file__).with_name("trial.py")
_SIGNALLED: Final = 128


@dataclass(frozen=True, slots=True)
class Reach:
    """What one process needs: programs and libraries to `run`, folders to `read`, to `write` and to `list` (names alone), the
    graphics devices.

    `write` must exist; its first folder is where it begins. `read` may hold the root: all but the data folder, which only
    bwrap can hide then."""

    run: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    list: tuple[Path, ...] = ()
    graphics: bool = False


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One level, as it works on this machine. `hides` is the data folder; `why` says why the stronger levels do not work."""

    level: Level = "none"
    bwrap: str = ""
    locked: bool = False  # whether nobody inside can make namespaces either
    sealed: bool = False  # whether bwrap gets the filter of system calls too
    hides: Path | None = None
    why: tuple[tuple[str, str], ...] = field(default=())  # (what is missing, what mends it)

    def prefix(self, reach: Reach) -> tuple[str, ...]:
        """What stands before the command. The launcher becomes it: process id, group and limits stay."""
        return tuple(self._walls(reach)) if self.level == "bwrap" else ()

    def wishes(self, reach: Reach) -> dict[str, Any]:
        """What the launcher does to itself before it becomes the command."""
        if self.level != "landlock":
            return {"seal": True} if self.sealed else {}
        run = [*_SYSTEM, *map(str, reach.run)]
        read = [*_SETTINGS, *_MACHINE, *_OWN_PROC, *map(str, reach.read)]
        devices = [*_PLAIN_DEVICES, *(_graphics() if reach.graphics else ())]
        return {
            "confine": {
                "run": run,
                "read": read,
                "write": [*map(str, reach.write)],
                "list": [*map(str, reach.list)],
                "use": devices,
            }
        }

    def variables(self) -> dict[str, str]:
        """Variables that must be others inside. A program that looks along PATH finds what it may run there."""
        return {} if self.level == "none" else {"PATH": "/usr/local/bin:/usr/bin:/bin"}

    def objection(self, reach: Reach) -> str:
        """Why a process with that reach would not be contained, or an empty text: what it runs lies around what is hidden."""
        if self.level == "none" or self.hides is None:
            return ""
        hidden = [self.hides]
        with contextlib.suppress(RuntimeError):  # an account may have none
            hidden.append(Path.home())
        for path in reach.run:
            if any(_holds(path, each) for each in hidden):
                return f"its program lies in {path}, which holds more than programs: move it to a folder of its own"
        return ""

    def returncode(self, code: int) -> int:
        """How the process itself ended: bwrap hands a signal's number on as other programs do."""
        return _SIGNALLED - code if self.level == "bwrap" and code > _SIGNALLED else code

    def _walls(self, reach: Reach) -> Iterator[str]:
        yield from (self.bwrap, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL")
        if self.locked:
            yield from ("--unshare-user", "--disable-userns")
        everything = Path("/") in reach.read
        if everything:
            yield from ("--ro-bind", "/", "/")
        else:
            yield from ("--tmpfs", "/tmp")
            yield from _shown(_SYSTEM)
            yield from _shown((*_SETTINGS, *_MACHINE))
            yield from _shown(map(str, reach.run))
        yield from ("--proc", "/proc", "--dev", "/dev")
        for device in _graphics() if reach.graphics else ():
            yield from ("--dev-bind-try", device, device)
        if everything and self.hides is not None:
            yield from ("--tmpfs", os.path.realpath(self.hides))
        for path in reach.read:
            if path != Path("/"):
                yield from ("--ro-bind-try", str(path), os.path.realpath(path) if everything else str(path))
        for path in reach.write:
            yield from ("--bind", str(path), str(path))
        yield from ("--chdir", str(reach.write[0]) if reach.write else "/", "--")


OPEN: Final = Sandbox()
"""No confinement."""


def _shown(paths: Iterable[str]) -> Iterator[str]:
    """Read-only, under the same name; a link of the system's stays a link."""
    for path in paths:
        place = Path(path)
        if place.is_symlink() and place.parent == Path("/"):
            yield from ("--symlink", str(place.readlink()), path)
        else:
            yield from ("--ro-bind-try", path, path)


def _holds(place: Path, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(place))


def _graphics() -> list[str]:
    return [str(path) for pattern in _GRAPHICS for path in sorted(Path("/dev").glob(pattern))]


def start(sandbox: Sandbox, reach: Reach, command: Iterable[str], **wishes: Any) -> tuple[str, ...]:
    """The whole command line: the launcher with its wishes, the walls, the command."""
    asked = json.dumps({"parent": os.getpid(), "niceness": 0, "memory_bytes": None, **wishes, **sandbox.wishes(reach)})
    return (sys.executable, "-I", "-S", str(_LAUNCHER), asked, *sandbox.prefix(reach), *command)


def interpreter() -> tuple[Path, ...]:
    """The folders that this Python runs from."""
    return tuple(Path(path) for path in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix)))


async def find_sandbox(choice: Choice, folder: Path, path: str | None, *, room: Path | None = None) -> Sandbox:
    """The strongest level that holds in a trial below `folder`, or the chosen one; else none, with the reasons in `why`.

    `path` is where programs are looked for (PATH); `room` is a folder below for what the trial needs, which a killed process
    leaves behind. Raises `OSError` when that cannot be written to."""
    why: list[tuple[str, str]] = []
    for sandbox in _candidates(choice, folder, path):
        if isinstance(sandbox, tuple):
            why.append(sandbox)
            continue
        fault = await _try(sandbox, room or folder)
        if not fault:
            return replace(sandbox, why=tuple(why))
        remedy = GET_NAMESPACES if sandbox.level == "bwrap" else GET_LANDLOCK
        if (sandbox.level, remedy) not in [(text.partition(":")[0], mends) for text, mends in why]:
            why.append((f"{sandbox.level}: {fault}", remedy))
    return Sandbox(why=tuple(why))


def _candidates(choice: Choice, folder: Path, path: str | None) -> Iterator[Sandbox | tuple[str, str]]:
    if not sys.platform.startswith("linux"):
        yield ("this platform has no sandbox of ours", "run the peer on Linux")
        return
    if choice in ("auto", "bwrap"):
        program = shutil.which("bwrap", path=path)
        if program is None:
            yield ("bwrap: it is not installed", GET_BWRAP)
        else:
            for locked, sealed in ((True, True), (False, True), (False, False)):
                yield Sandbox("bwrap", program, locked, sealed and seccomp.is_known(), hides=folder)
    if choice in ("auto", "landlock"):
        if landlock.version() == 0:
            yield ("landlock: the kernel has none, or it is switched off", GET_LANDLOCK)
        else:
            yield Sandbox("landlock", hides=folder)


async def _try(sandbox: Sandbox, folder: Path) -> str:
    """Start a process that tries to do what it must not; empty when it could do nothing of it and its own work besides."""
    with tempfile.TemporaryDirectory(prefix="trial-", dir=folder) as place, socket.create_server(("127.0.0.1", 0)) as door:
        inside, outside = Path(place, "inside"), Path(place, "outside")
        for each in (inside, outside):
            each.mkdir()
        (outside / "secret").write_text("secret", "ascii")
        job = {"inside": str(inside), "outside": str(outside), "port": door.getsockname()[1]}
        reach = Reach(run=(*interpreter(), _TRIAL), write=(inside,))
        command = start(sandbox, reach, (sys.executable, "-I", "-S", str(_TRIAL), json.dumps(job)))
        try:
            code, said = await _run(command)
        except TimeoutError:
            return f"a trial had not ended after {limits.SANDBOX_TRIAL_S_MAX:.0f} s"
    return _judged(code, said)


def _judged(code: int, said: bytes) -> str:
    text = said.decode("utf-8", "replace").strip().splitlines()
    try:
        seen = json.loads(text[-1]) if code == 0 and text else None
    except ValueError:
        seen = None
    if not isinstance(seen, dict):
        return f"a trial ended with {code}: {text[-1][:200] if text else 'no word'}"
    if not seen["works"]:
        return f"a trial cannot do its own work: {seen['why']}"
    leaks = [name for name in ("reads", "writes", "connects") if seen[name]]
    return f"a trial {' and '.join(leaks)} outside" if leaks else ""


async def _run(command: tuple[str, ...]) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"LANG": "C.UTF-8"}, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(limits.SANDBOX_TRIAL_S_MAX):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None, "it was waited for"
    return process.returncode, said


def report(sandbox: Sandbox) -> Mapping[str, Any]:
    """What `peerctl doctor` reads."""
    return {"level": sandbox.level, "why": [list(pair) for pair in sandbox.why]}


if __name__ == "__main__":
    print(json.dumps(report(asyncio.run(find_sandbox("auto", Path(sys.argv[1]), None)))))
