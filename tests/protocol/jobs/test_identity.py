from __future__ import annotations

import json

from protocol.jobs.identity import canonical, job_id, key_hash
from protocol.jobs.spec import JobSpec
from tests.protocol.making import digest


def make(submitter: str = "client", key: str = "key", spec: JobSpec | None = None, scene: str = "scene") -> str:
    return job_id(submitter=submitter, key=key, spec_json=canonical(spec or JobSpec(frames="1-4")), scene=digest(scene))


def test_the_same_submission_has_the_same_id_everywhere():
    assert make() == make()
    assert len(make()) == 32


def test_anything_else_is_another_job():
    assert len({make(), make("other"), make(key="other"), make(spec=JobSpec(frames="1-5")), make(scene="other")}) == 5


def test_parts_do_not_run_into_each_other():
    assert make("ab", "c") != make("a", "bc")


def test_only_what_was_sent_is_written_in_one_order():
    assert json.loads(canonical(JobSpec(samples=4, frames="1-4"))) == {"frames": "1-4", "samples": 4}
    assert canonical(JobSpec(samples=4, frames="1-4")) == canonical(JobSpec(frames="1-4", samples=4))
    assert canonical(JobSpec(frames="1-4", priority=50)) != canonical(JobSpec(frames="1-4")), "said is not unsaid"


def test_a_key_is_told_by_a_hash_of_its_own_submitter_and_text():
    assert len({key_hash("a", "bc"), key_hash("ab", "c"), key_hash("a", "b"), key_hash("a", "bc ")}) == 4
    assert len(key_hash("a", "b")) == 16
