"""What a peer needs of its machine, looked at one thing at a time.

Decides what is ok, a warning (a peer runs without it) or a failure (it does not). Changes nothing that stays.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from peer.cli import programs
from peer.cli.client import Call
from peer.cli.failures import CliError, Unreachable
from peer.cli.peerview import checks_text
from peer.cli.settings import DEFAULT_PORT, child_environment
from peer.cli.tables import octets

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

FREE_BYTES_MIN: Final = 1 * 10**9
FREE_BYTES_GOOD: Final = 10 * 10**9
OPEN_FILES_MIN: Final = 256
OPEN_FILES_GOOD: Final = 4096
CLOCK_SKEW_S: Final = 5.0
EARLIEST_YEAR: Final = 2024
PROBE_TIMEOUT_S: Final = 60.0

# what Blender links against -> the Debian package that has it
PACKAGES: Final[Mapping[str, str]] = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgomp.so.1": "libgomp1",
}

# what a level of the sandbox gives a scene
LEVELS: Final[Mapping[str, str]] = {
    "bwrap": "files, network and processes of its own",
    "landlock": "listed files only, no sockets",
}

Result = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty when there is nothing to do."""

    name: str
    result: Result
    text: str
    remedy: str = ""


def examine(invocation: Invocation) -> Iterator[Finding]:
    """All findings, in the order in which a newcomer would mend them."""
    data_dir = invocation.settings.data_dir
    yield python_version(sys.version_info[:2])
    yield from renderers()
    yield sandbox(data_dir)
    yield data_folder(data_dir)
    yield free_space(data_dir)
    yield open_files()
    yield from peer_and_port(invocation)
    yield from authority(invocation)


def python_version(version: tuple[int, int]) -> Finding:
    """3.11 or later; the module bpy exists for 3.11 alone."""
    text = f"{version[0]}.{version[1]}"
    if version < (3, 11):
        return Finding("python", "fail", text, "install Python 3.11 or later")
    return Finding("python", "ok", text)


def renderers() -> Iterator[Finding]:
    """What is found by starting it. Without any renderer a peer serves, but renders nothing."""
    module, program, povray = _bpy(), _program(), _povray()
    yield module
    yield program
    yield povray
    if "ok" not in (module.result, program.result):
        rest = "nothing" if povray.result != "ok" else "nothing but scenes of POV-Ray"
        yield Finding(
            "renderer",
            "warn",
            f"no Blender runs here: a peer joins and serves, but renders {rest}",
            "pip install 'rendermesh[blender]', or install Blender",
        )


def _bpy() -> Finding:
    try:
        spec = importlib.util.find_spec("bpy")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return Finding(
            "bpy",
            "warn",
            "the module is not installed",
            "pip install 'rendermesh[blender]' (Python 3.11), unless a Blender program is used",
        )
    said = _run([sys.executable, "-c", "import bpy; print('version', bpy.app.version_string)"])
    found = re.search(r"^version (\S+)", said.out, re.MULTILINE)
    if found:
        return Finding("bpy", "ok", f"Blender {found[1]} as a module")
    missing = missing_libraries(said.err) or _unlinked(Path(spec.origin))
    return Finding(
        "bpy",
        "fail",
        _libraries_text(missing) or f"does not start: {_last_line(said.err)}",
        apt_line(missing) or "reinstall it: pip install --force-reinstall bpy",
    )


def _program() -> Finding:
    path = programs.blender()
    if path is None:
        return Finding("blender", "warn", "no program on the PATH", "install Blender, unless the module bpy is used")
    said = _run([path, "--background", "--version"])
    found = re.search(r"^Blender (\S+)", said.out, re.MULTILINE)
    if found:
        return Finding("blender", "ok", f"Blender {found[1]} at {path}")
    missing = missing_libraries(said.err)
    return Finding(
        "blender",
        "fail",
        _libraries_text(missing) or f"does not start: {_last_line(said.err)}",
        apt_line(missing) or f"see what it says: {path} --version",
    )


def _povray() -> Finding:
    path = programs.povray()
    if path is None:
        return Finding("povray", "warn", "no program on the PATH", "apt-get install -y povray, for scenes of POV-Ray alone")
    said = _run([path, "--version"])
    found = re.search(r"^POV-Ray (\S+)", said.out + said.err, re.MULTILINE)
    if found:
        return Finding("povray", "ok", f"POV-Ray {found[1]} at {path}")
    return Finding("povray", "fail", f"does not start: {_last_line(said.err)}", f"see what it says: {path} --version")


def _libraries_text(missing: list[str]) -> str:
    return f"missing libraries: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True, slots=True)
class _Said:
    out: str
    err: str


def _run(command: list[str]) -> _Said:
    """Output of a program that may hang or not start; its errors are findings, not ours."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Said("", f"no answer within {PROBE_TIMEOUT_S:g} s")
    except OSError as error:
        return _Said("", str(error))
    return _Said(done.stdout, done.stderr or f"it ended with {done.returncode}")


def missing_libraries(text: str) -> list[str]:
    """Shared objects that a loader's message or the output of ldd calls missing."""
    return sorted(set(re.findall(r"(lib[\w+.-]+\.so[\w.]*)(?:: cannot open shared object|\s+=>\s+not found)", text)))


def _unlinked(module: Path) -> list[str]:
    """What ldd misses below a module's folder: the loader names one library at a time."""
    ldd = shutil.which("ldd")
    objects = sorted(module.parent.glob("*.so")) if ldd else []
    return missing_libraries("\n".join(_run([ldd, str(file)]).out for file in objects[:4])) if ldd else []


def apt_line(missing: list[str]) -> str:
    """The exact command that installs them on Debian; "" when one of them is of no known package."""
    packages = [PACKAGES[name] for name in missing if name in PACKAGES]
    if not packages:
        return ""
    return f"apt-get install -y --no-install-recommends {' '.join(packages)}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def sandbox(folder: Path) -> Finding:
    """How a peer would confine scenes here, found by trying it; without one it renders all the same, and says so."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    said = _run([sys.executable, "-P", "-m", "peer.render.sandbox", str(existing)])
    try:
        found = json.loads(said.out)
        level, why = str(found["level"]), [(str(what), str(mends)) for what, mends in found["why"]]
    except (ValueError, KeyError, TypeError):
        return Finding("sandbox", "warn", f"it cannot be tried: {_last_line(said.err)}", "name a folder that you can write to")
    missing = "; ".join(what for what, _ in why)
    if level not in LEVELS:
        return Finding("sandbox", "warn", f"none: {missing}", "; or ".join(mends for _, mends in why))
    return Finding("sandbox", "ok", f"{level}: {LEVELS[level]}{f' ({missing})' if missing else ''}")


def data_folder(folder: Path) -> Finding:
    """Whether a file can be written and made durable there (or in the parent that a peer would make it in)."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return Finding(
            "data folder", "fail", f"{folder}: {error.strerror or error}", "name one that you can write: peerd --data-dir DIR"
        )
    return Finding("data folder", "ok", f"{folder}{'' if folder.exists() else ' (a peer will make it)'}")


def free_space(folder: Path, usage: Callable[[Path], Any] = shutil.disk_usage) -> Finding:
    """Scenes and frames need room."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    free = usage(existing).free
    result: Result = "fail" if free < FREE_BYTES_MIN else "warn" if free < FREE_BYTES_GOOD else "ok"
    return Finding(
        "disk",
        result,
        f"{octets(free)} free",
        "" if result == "ok" else f"free space on the disk of {existing}, or use another: peerd --data-dir DIR",
    )


def open_files() -> Finding:
    """The limit on open files; each neighbour and each transfer costs some."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return Finding("open files", "ok", "no limit on this platform")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", "ok", "no limit")
    result: Result = "fail" if soft < OPEN_FILES_MIN else "warn" if soft < OPEN_FILES_GOOD else "ok"
    return Finding(
        "open files",
        result,
        f"at most {soft}",
        "" if result == "ok" else f"raise it before peerd starts: ulimit -n {OPEN_FILES_GOOD}",
    )


def peer_and_port(invocation: Invocation) -> Iterator[Finding]:
    """The peer that we would ask; where none answers, whether its port is free; the clock against the peer's."""
    try:
        reply = invocation.client.request(Call("GET", "/health", any_status=True))
    except Unreachable as error:
        yield Finding("peer", "fail" if invocation.settings.named else "warn", f"none answers ({error.why})", error.remedy)
        yield port_free(DEFAULT_PORT)
        yield clock(None)
        return
    except CliError as error:
        yield Finding("peer", "fail", str(error), error.remedy)
        yield clock(None)
        return
    word: Result = "ok" if reply.status == 200 else "warn" if reply.status == 429 else "fail"
    yield Finding(
        "peer",
        word,
        f"{reply.url} answers {reply.status}{_ailments(invocation)}",
        "" if word == "ok" else "see what ails it: peerctl peers -o wide",
    )
    yield clock(reply.headers.get("Date"))


def authority(invocation: Invocation) -> Iterator[Finding]:
    """What verifies this machine's peer, as others must name it to `peerctl trust`."""
    host = invocation.settings.hosts[0]
    if host.ca is None or not host.mesh_ca:
        return
    from peer.cli.pinning import fingerprint_of

    try:
        yield Finding("authority", "ok", f"SHA-256 {fingerprint_of(Path(host.ca).read_text('ascii'))}")
    except (OSError, ValueError) as error:
        yield Finding("authority", "fail", f"{host.ca}: {error}", "restart peerd, which writes it anew")


def _ailments(invocation: Invocation) -> str:
    try:
        peers = invocation.client.get("/api/v1/peers").get("peers")
    except CliError as error:
        return f" (peers: {error})"
    rows = [peer for peer in peers if isinstance(peer, dict)] if isinstance(peers, list) else []
    bad = [f"{peer.get('name')}: {checks_text(peer)}" for peer in rows if checks_text(peer) not in ("", "passing")]
    return f"; {len(rows)} peers" + (f"; {'; '.join(bad[:5])}" if bad else "")


def port_free(port: int) -> Finding:
    """TCP and UDP on loopback, both of which a peer takes."""
    for kind, name in ((socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP")):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                return Finding(
                    "port", "fail", f"{name} port {port}: {error.strerror}", "use another: peerd --port 0, or end what holds it"
                )
    return Finding("port", "ok", f"{port} is free (TCP and UDP)")


def clock(date: str | None, now: Callable[[], float] = time.time) -> Finding:
    """Displays use the wall clock; nothing in the mesh is ordered by it."""
    here = now()
    if time.gmtime(here).tm_year < EARLIEST_YEAR:
        return Finding(
            "clock",
            "fail",
            f"it says {time.strftime('%Y-%m-%d', time.gmtime(here))}",
            "set it: certificates of https fail on a clock so wrong",
        )
    try:
        skew = abs(parsedate_to_datetime(date).timestamp() - here) if date else 0.0
    except (ValueError, OverflowError, TypeError, IndexError):  # see `failures.seconds`
        skew = 0.0
    if skew > CLOCK_SKEW_S:
        return Finding(
            "clock", "warn", f"{skew:.0f} s from the peer's", "switch on time synchronisation; times shown will differ until then"
        )
    return Finding(
        "clock",
        "ok",
        f"within {CLOCK_SKEW_S:g} s of the peer's" if date else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(here)),
    )
