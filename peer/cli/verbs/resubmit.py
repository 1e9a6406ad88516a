"""peerctl resubmit: the same specification and scene as a job that the mesh knows, as a new job."""

from __future__ import annotations

import click

from peer.cli.acceptance import After, accept, staying
from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_path
from peer.cli.options import common, examples, job_argument


@click.command(epilog=examples("peerctl resubmit castle --wait --fetch frames", "peerctl resubmit @last"))
@job_argument
@common
@staying
def resubmit(invocation: Invocation, /, job: str, idempotency_key: str | None, after: After) -> None:
    """Submit what JOB was once more, as a new job: the same specification, and the scene as the mesh has it.

    Nothing is uploaded. For frames of JOB itself that failed, or shall be rendered again, see peerctl retry."""
    from peer.cli.upload import send_again

    path = job_path(find_job(invocation, job), "resubmit")
    accept(invocation, lambda key: send_again(invocation, path, key=key), idempotency_key, after)
