from __future__ import annotations

from dataclasses import replace

from protocol.jobs.results import Inspection
from protocol.jobs.steps import FrameStep
from protocol.ledger.facts import Control, Retried
from protocol.ledger.offers import job_version, work_opened
from protocol.views import Counts, Reason
from tests.protocol.making import ME, accepted, attempt, begun, ended, failed, fence, folded, inspected, job_view, spec


def test_frames_are_laid_out_as_they_stand():
    fold = folded(
        *begun(spec(max_attempts=1)), ended(1, 1), ended(2, 2, result=failed()), Retried("2", 1, 1), ended(4, 3, result=failed())
    )
    opened = work_opened(fold, (ME,))
    assert [FrameStep(step).name for step in opened.steps] == ["DONE", "PENDING", "PENDING", "FAILED"]
    assert opened.generations == ((2, 1),)
    assert opened.failures == ((4, ((ME, attempt(3)),)),), "what failed before the retry does not count any more"
    assert opened.open_


def test_a_scene_that_nobody_has_looked_at_is_open_for_that_unless_paused():
    assert work_opened(folded(accepted(spec(renderer="blender"))), (ME,)).open_
    paused = folded(accepted(spec(renderer="blender")), Control("paused", "1", fence(), 1, 1))
    assert not work_opened(paused, (ME,)).open_


def test_one_blender_renders_the_whole_job():
    seen = Inspection(blender="4.2.3")
    assert work_opened(folded(accepted(spec(renderer="blender")), inspected(seen)), ()).blender == "4.2"
    assert work_opened(folded(accepted(spec(renderer="blender", blender="3.6")), inspected(seen)), ()).blender == "3.6"


def test_only_what_others_must_know_at_once_makes_a_new_version():
    view = job_view()
    assert job_version(replace(view, progress=0.5, eta_s=3.0)) == job_version(view)
    assert job_version(replace(view, state="paused")) != job_version(view)
    assert job_version(replace(view, frames=Counts(total=4, pending=0))) != job_version(view)
    assert job_version(replace(view, waiting_because=(Reason("peers_busy", "x"),))) != job_version(view)
