"""peerctl keygen: a mesh key in a file of its own, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples

FORMAT: Final = "rendermesh-key-1"


@click.command(
    epilog=examples("peerctl keygen", "peerctl keygen --out /etc/rendermesh/mesh.key", "peerctl keygen --out - > mesh.key")
)
@click.option("--out", default="mesh.key", show_default=True, metavar="PATH", help="Where to; - prints it.")
@click.option("--force", is_flag=True, help="Replace a file that is there: peers with the old key are then another mesh.")
@click.option("--next", "before", metavar="FILE", help="The mesh's key of now: the new one is for the same mesh (peerctl keys).")
@common
def keygen(invocation: Invocation, out: str, force: bool, before: str | None) -> None:
    """Make a mesh key. Whoever has it is a peer of the mesh: carry it to the other machines over a way you trust."""
    mesh = secrets.token_hex(16) if before is None else _mesh_in(Path(before))
    key = f"{FORMAT}:{mesh}:{secrets.token_hex(32)}"
    if out == "-" or _is_stdout(Path(out)):
        invocation.screen.data(key)
    else:
        _write(Path(out), key, force=force)
        match invocation.format:
            case "json":
                invocation.screen.document("MeshKey", {"path": out, "mesh": key.split(":")[1]})
            case "name" | "table" | "wide":
                invocation.screen.data(out)
    shown = "FILE" if out == "-" else out
    if before is not None:
        invocation.screen.say(f"give it to the running peers: peerctl keys install {shown}")
        return
    invocation.screen.say(f"start every peer of this mesh with it: peerd --mesh-key-file {shown} --bind ADDRESS")


def _mesh_in(path: Path) -> str:
    """The mesh that a key is for."""
    try:
        parts = path.read_text(encoding="ascii", errors="replace").strip().split(":")
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {path}", why=error.strerror or str(error)) from None
    if len(parts) != 3 or parts[0] != FORMAT:
        raise CliError(Exit.USAGE, f"{path} holds no mesh key", remedy="name the file that the mesh's peers were started with")
    return parts[1]


def _is_stdout(path: Path) -> bool:
    """Whether the shell has opened this very file for us (`peerctl keygen > mesh.key`); it is then made private too."""
    try:
        ours, theirs = os.fstat(1), path.stat()
    except OSError:
        return False
    if not os.path.samestat(ours, theirs) or theirs.st_size != 0:
        return False
    path.chmod(0o600)
    return True


def _write(path: Path, key: str, *, force: bool) -> None:
    """The file appears whole, 0600 from its first moment; an existing one is replaced only by `force`."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        raise CliError(
            Exit.CONFLICT,
            f"{path} is there already; it was not touched",
            why="peers that use it would no longer find those that do not",
            remedy="name another file with --out, or replace it with --force",
        ) from None
    except OSError as error:
        raise CliError(
            Exit.ERROR,
            f"cannot write {path}",
            why=error.strerror or str(error),
            remedy="name a place that you can write: --out PATH",
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
