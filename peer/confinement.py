"""How this peer confines what reads foreign files: the level for its renderers and verifiers, and what each of them can reach.

Decides at the start, once. Refuses to know how a level works (`peer.render.sandbox`) and where a scene lies in its folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from peer.render.options import RendererOptions
from peer.render.sandbox import Sandbox, find_sandbox
from peer.render.verify import ChildVerifier, VerifierOptions
from peer.settings import Settings
from protocol.errors import Invalid

_log = structlog.get_logger("rendermesh")


@dataclass(frozen=True, slots=True)
class Confined:
    """`verifier` reads what this peer has rendered, `judge` also what lies in output roots; `renderers` is for these."""

    sandbox: Sandbox
    verifier: ChildVerifier
    judge: ChildVerifier
    renderers: RendererOptions


async def confine(settings: Settings, work_dir: Path, environ: Mapping[str, str]) -> Confined:
    """Try the levels in `work_dir`, which is in the data folder and empty at every start. Raises `Invalid`
    (`sandbox_unavailable`) when the one that was asked for does not work here."""
    folder = settings.data_dir
    sandbox = await find_sandbox(settings.sandbox, folder, environ.get("PATH"), room=work_dir)
    if settings.sandbox not in ("auto", sandbox.level):
        raise Invalid("sandbox_unavailable", f"--sandbox {settings.sandbox} does not work here: {_reasons(sandbox)}")
    if sandbox.level == "none":
        why = "it was asked for" if settings.sandbox == "none" else _reasons(sandbox)
        _log.warning("no_sandbox", text="scenes are rendered without a sandbox", why=why)
    options = RendererOptions(
        scratch_dir=folder / "scratch", registry_dir=folder / "renderers", environ=environ, slots=settings.slots,
        memory_bytes=settings.renderer_memory, cpus=settings.renderer_cpus, sandbox=sandbox,
        read=(folder / "trees", *where_links_lead(folder, work_dir)),
    )  # fmt: skip
    return Confined(
        sandbox,
        verifier=ChildVerifier(VerifierOptions(sandbox=sandbox, read=(work_dir,))),
        judge=ChildVerifier(VerifierOptions(sandbox=sandbox, read=(Path("/"), work_dir))),
        renderers=options,
    )


def where_links_lead(folder: Path, work_dir: Path) -> tuple[Path, ...]:
    """The folders beyond the laid-out scenes that these need: none where they consist of hard links; the blobs where the file
    system has none, or the blobs lie on another disk, so that the links are symbolic ones."""
    blobs = Path(os.path.realpath(folder / "blobs"))
    on_one_disk = blobs.stat().st_dev == (folder / "trees").stat().st_dev
    return () if on_one_disk and _has_links(work_dir) else (blobs,)


def _has_links(folder: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="links-", dir=folder) as place:
        first, second = Path(place, "first"), Path(place, "second")
        first.touch()
        try:
            os.link(first, second)
        except OSError:
            return False
        return True


def _reasons(sandbox: Sandbox) -> str:
    return "; ".join(f"{what} ({mends})" for what, mends in sandbox.why)
