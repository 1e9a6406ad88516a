from __future__ import annotations

from dataclasses import replace

from protocol.jobs.manifest import ManifestEntry, make_manifest
from protocol.jobs.spec import JobSpec
from protocol.ledger.facts import Closed, Retried
from protocol.ledger.overview import Activity, frame_files, frame_view, view
from protocol.views import Counts
from tests.protocol.making import ANNA, BEN, ME, begun, digest, done, ended, failed, fence, folded, spec


def test_a_view_counts_frames_by_what_became_of_them():
    fold = folded(*begun(spec(frames="1-5", max_attempts=1)), ended(1, 1), ended(2, 2, result=failed()))
    seen = view(fold, Activity(running=2, eta_s=9.0), copies=2)
    assert seen.frames == Counts(total=5, pending=1, running=2, done=1, failed=1)
    assert (seen.state, seen.progress, seen.eta_s, seen.copies) == ("running", 0.4, 9.0, 2)


def test_an_ended_job_runs_nothing_and_says_when_it_ended():
    fold = folded(*begun(spec(frames="1")), ended(1, 1), Closed("completed", fence(), 0, 5000))
    seen = view(fold, Activity(running=3), copies=1)
    assert (seen.state, seen.frames.running, seen.finished_ms, seen.started_ms) == ("completed", 0, 5000, 0)


def test_a_job_without_a_name_is_called_by_its_scene_s_file():
    manifest = make_manifest("show/a.blend", [ManifestEntry("show/a.blend", digest("scene"), 9)])
    unnamed = folded(*begun(JobSpec(renderer="null", frames="1"), manifest))
    assert view(unnamed, Activity(), copies=1).name == "a.blend"


def test_a_frame_is_pending_running_done_or_failed():
    fold = folded(*begun(spec(max_attempts=1)), ended(1, 1, by=ANNA), ended(2, 2, result=failed()))
    states = [frame_view(fold, frame, running_on=BEN if frame == 3 else None).state for frame in (1, 2, 3, 4)]
    assert states == ["done", "failed", "running", "pending"]
    assert frame_view(fold, 1, running_on=None).peer == ANNA
    assert frame_view(fold, 2, running_on=None).error == "it was crash"


def test_a_frame_that_is_wanted_again_is_not_done_though_its_picture_is_there():
    fold = folded(*begun(), ended(1, 1), Retried("1", 1, 1))
    row = frame_view(fold, 1, running_on=None)
    assert (row.state, row.generation) == ("pending", 1)
    assert row.digest is not None


def test_files_name_everybody_who_may_hold_them():
    fold = folded(*begun(owner=BEN), ended(1, 1, by=ANNA))
    files = frame_files(fold, 1, me=ME)
    assert files is not None
    assert files.holders == (ME, ANNA, BEN)
    assert frame_files(fold, 2, me=ME) is None


def test_a_failed_frame_shows_its_log():
    result = replace(failed(), log=digest("log"), log_size=9)
    files = frame_files(folded(*begun(), ended(1, 1, result=result)), 1, me=ME)
    assert files is not None
    assert (files.outputs, files.log) == ((), digest("log"))


def test_long_frame_lists_are_cut_for_people():
    frames = ",".join(str(number) for number in range(1, 900, 7)) + ",1000,1003,1010"
    seen = view(folded(*begun(spec(frames=frames))), Activity(), copies=1)
    assert len(seen.frame_ranges) <= 400
    assert done(1).outputs
