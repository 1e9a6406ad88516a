"""A job's id: the same submission has the same id on every peer and after every restart."""

from __future__ import annotations

import json

import blake3

from protocol.ids import Digest, JobId
from protocol.jobs.spec import JobSpec


def canonical(spec: JobSpec) -> str:
    """The fields as sent, as JSON with sorted keys and no white space."""
    return json.dumps(spec.model_dump(mode="json", exclude_unset=True), sort_keys=True, separators=(",", ":"))


def job_id(*, submitter: str, key: str, spec_json: str, scene: Digest) -> JobId:
    """BLAKE3 over length-prefixed parts, 128 bits as hex."""
    hasher = blake3.blake3()
    for part in (submitter, key, spec_json, scene):
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "big") + data)
    return JobId(hasher.hexdigest(16))
