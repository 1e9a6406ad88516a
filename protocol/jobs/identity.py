"""A job's id: the same submission has the same id on every peer and after every restart."""

from __future__ import annotations

import blake3

from protocol.ids import Digest, JobId
from protocol.jobs.spec import canonical

__all__ = ["canonical", "job_id", "key_hash"]


def job_id(*, submitter: str, key: str, spec_json: str, scene: Digest) -> JobId:
    """BLAKE3 over length-prefixed parts, 128 bits as hex."""
    hasher = blake3.blake3()
    for part in (submitter, key, spec_json, scene):
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "big") + data)
    return JobId(hasher.hexdigest(16))


def key_hash(submitter: str, key: str) -> str:
    """What a job's summary says of its Idempotency-Key: 64 bits as hex."""
    data = submitter.encode()
    return blake3.blake3(len(data).to_bytes(8, "big") + data + key.encode()).hexdigest(8)
