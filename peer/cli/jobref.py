"""Which job a person means: an id, a unique prefix, a name, or @last. Refuses to know what is then done with it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peer.cli.documents import parse_object, read_bounded
from peer.cli.failures import CliError, Exit

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

LAST: Final = "@last"
_FILE: Final = "last-job.json"


def find_job(invocation: Invocation, text: str) -> dict[str, Any]:
    """The job that `text` means, as the peer shows it. Raises `CliError` (not found, or the peer's own)."""
    from peer.cli.client import part

    reference = recall(invocation.settings.state_dir) if text == LAST else text
    if not reference.strip("."):  # a path of dots alone would be folded away on its way
        return _named(invocation, reference)
    return invocation.client.get(f"/api/v1/jobs/{part(reference)}")


def job_path(job: dict[str, Any], *parts: object) -> str:
    """`/api/v1/jobs/ID/...`. Raises `CliError` when the peer sent a job without an id."""
    from peer.cli.client import part

    return "/".join(["/api/v1/jobs", part(job_id(job)), *(part(str(piece)) for piece in parts)])


def job_id(job: dict[str, Any]) -> str:
    """The id. Raises `CliError` when the peer sent none."""
    identifier = job.get("id")
    if not isinstance(identifier, str) or not identifier.strip("."):
        raise CliError(
            Exit.ERROR, "the peer answered with a job that has no id", remedy="are peer and peerctl of the same version?"
        )
    return identifier


def _named(invocation: Invocation, name: str) -> dict[str, Any]:
    for job in invocation.client.pages("/api/v1/jobs", "jobs"):
        if job.get("name") == name:
            return job
    raise CliError(Exit.NOT_FOUND, f"no job is called {name!r}", remedy="see the jobs: peerctl jobs")


def remember(state_dir: Path, *, job: str, host: str) -> None:
    """Note the last job submitted by this account. A folder that cannot be written costs only @last."""
    with contextlib.suppress(OSError):
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=state_dir)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"job": job, "host": host}, file)
        Path(temporary).replace(state_dir / _FILE)


def recall(state_dir: Path) -> str:
    """The id of the last job submitted by this account. Raises `CliError` (not found)."""
    try:
        job = (parse_object(read_bounded(state_dir / _FILE)) or {}).get("job")
    except (OSError, ValueError):
        job = None
    if not isinstance(job, str) or not job:
        raise CliError(Exit.NOT_FOUND, "@last: no job was submitted from this account yet", remedy="see the jobs: peerctl jobs")
    return job
