from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.cards import DISTRUST, Check, PeerCard
from protocol.ids import PeerId
from protocol.jobs.results import Capabilities
from protocol.jobs.spec import JobSpec
from protocol.scheduling.matching import fitting, unmet
from protocol.signals import WorkOpened
from tests.protocol.making import ANNA, BEN, BLENDER, CRITICAL, NULL, card, spec, work

SCENE_JOB = work(None, spec(renderer="blender", frames=None), blender="5.0")


def test_a_peer_with_the_right_renderer_fits():
    assert fitting(SCENE_JOB, (NULL, BLENDER)) == BLENDER
    assert unmet(SCENE_JOB, ANNA, card()) == []


@pytest.mark.parametrize(
    ("wanted", "peer", "has", "code"),
    [
        (SCENE_JOB, ANNA, card(capabilities=(NULL,), renderer_reasons=("no Blender found",)), "no_renderer"),
        (replace(SCENE_JOB, blender="4.2"), ANNA, card(), "blender_version"),
        (replace(SCENE_JOB, spec=spec(renderer="blender", engine="BLENDER_WORKBENCH")), ANNA, card(), "no_engine"),
        (replace(SCENE_JOB, spec=spec(renderer="blender", device="gpu")), ANNA, card(), "no_gpu"),
        (replace(SCENE_JOB, spec=spec(renderer="blender", sandbox="landlock")), ANNA, card(), "sandbox"),
        (replace(SCENE_JOB, only_on=BEN), ANNA, card(), "other_peer_asked"),
        (SCENE_JOB, ANNA, card(draining=True), "draining"),
        (SCENE_JOB, ANNA, card(checks=(CRITICAL,)), "critical"),
        (SCENE_JOB, ANNA, card(checks=(Check(DISTRUST, "critical", "wrong"),)), "distrusted"),
        (SCENE_JOB, ANNA, card(slots_total=0), "no_slots"),
    ],
)
def test_what_is_missing_is_named(wanted: WorkOpened, peer: PeerId, has: PeerCard, code: str):
    (reason,) = unmet(wanted, peer, has)
    assert reason.code == code
    assert reason.peer == peer


def test_the_reason_why_a_renderer_is_missing_is_passed_on():
    (reason,) = unmet(SCENE_JOB, ANNA, card(capabilities=(), renderer_reasons=("no Blender found",)))
    assert "no Blender found" in reason.text


def test_only_the_reason_of_that_renderer_is_passed_on_where_there_is_one():
    reasons = ("blender: no program", "povray: there is no povray")
    (reason,) = unmet(replace(SCENE_JOB, spec=JobSpec(renderer="povray")), ANNA, card(capabilities=(), renderer_reasons=reasons))
    assert reason.text.endswith("no renderer for 'povray' jobs: povray: there is no povray")


def test_a_job_stays_with_one_version_of_any_renderer():
    able = Capabilities("povray", "3.7.0", "built", "program")
    job = replace(SCENE_JOB, spec=JobSpec(renderer="povray"), blender="3.8")
    (reason,) = unmet(job, ANNA, card(capabilities=(able,)))
    assert (reason.code, reason.remedy) == ("blender_version", "install povray 3.8 there")
    assert unmet(replace(job, blender="3.7"), ANNA, card(capabilities=(able,))) == []


def test_eevee_has_two_names_and_is_one_engine():
    old = Capabilities("blender", "5.0.1", "", "program", ("BLENDER_EEVEE_NEXT",))
    assert fitting(replace(SCENE_JOB, spec=spec(renderer="blender", engine="BLENDER_EEVEE")), (old,)) == old


def test_a_gpu_is_any_device_but_the_processor():
    gpu = replace(BLENDER, devices=("cpu", "OPTIX: card"))
    assert fitting(replace(SCENE_JOB, spec=spec(renderer="blender", device="gpu")), (BLENDER, gpu)) == gpu


def test_a_sandbox_that_is_stronger_than_demanded_fits_and_the_reason_names_both_levels():
    landlock, bwrap = (replace(BLENDER, sandbox=level) for level in ("landlock", "bwrap"))
    wanted = replace(SCENE_JOB, spec=spec(renderer="blender", sandbox="bwrap"))
    assert fitting(wanted, (BLENDER, landlock, bwrap)) == bwrap
    (reason,) = unmet(wanted, ANNA, card(capabilities=(landlock,)))
    assert "demands the sandbox bwrap, it has landlock" in reason.text
    assert "peerctl doctor" in reason.remedy
