from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.ports import RenderFailed
from peer.render import reports
from peer.render.requests import Answer
from protocol import limits
from protocol.cards import PeerCard, card_from_bytes, card_to_bytes
from protocol.ids import AttemptId, Digest, JobId, LeaseId, PeerId
from protocol.jobs.results import FrameResult, Output
from protocol.wire.codec import decode, encode
from protocol.wire.work import InspectReport, Report
from tests.fuzzing import examples, json_values, refused, spoilt

FILE = {"role": "main", "name": "main_0001.png", "width": 4, "height": 3, "channels": 4, "format": "PNG"}
LOOK = {
    "version": "5.0.1", "build": "x", "scene": "Scene", "camera": "Camera", "engine": "CYCLES", "frame_start": 1, "frame_end": 9,
    "frame_step": 0, "fps": 24, "width": 64, "height": 36, "format": "PNG", "warnings": [], "notes": [], "error": None,
}  # fmt: skip


def answer(**more) -> Answer:
    return Answer({"files": [FILE], "seconds": 0.5, "device": "cpu", **more}, "log")


def test_a_frame_becomes_rows(tmp_path):
    rendered = reports.rendered(answer(), tmp_path)
    assert rendered.files[0].path == tmp_path / "main_0001.png"
    assert (rendered.seconds, rendered.device, rendered.log) == (0.5, "cpu", "log")


@pytest.mark.parametrize(
    "broken",
    [
        {"files": []},
        {"files": [FILE] * (limits.FILES_REPORTED_PER_FRAME_MAX + 1)},
        {"files": [{**FILE, "name": "../x.png"}]},
        {"files": [{**FILE, "name": "/etc/passwd"}]},
        {"files": [{**FILE, "width": "wide"}]},
        {"files": [{**FILE, "width": float("inf")}]},
        {"files": [{**FILE, "width": -1}]},
        {"files": [{**FILE, "name": "a//b.png"}]},  # no other peer would read the fact in which it stands
        {"files": [{**FILE, "name": "a\ud800.png"}]},
        {"files": [{**FILE, "name": "a\0.png"}]},
        {"seconds": float("nan")},
        {"seconds": 10**400},
        {"files": [{"name": "x"}]},
        {"files": 7},
        {"seconds": None},
    ],
)
def test_a_report_that_is_none_is_the_renderers_failure(tmp_path, broken):
    with pytest.raises(RenderFailed) as caught:
        reports.rendered(answer(**broken), tmp_path)
    assert caught.value.failure.kind == "renderer"


def test_an_inspection_is_bounded_and_encodable():
    warning = {"code": "missing_image", "kind": "picture", "text": "x" * 9_999, "remedy": "\ud800 lone"}
    found = reports.inspection({**LOOK, "warnings": [warning] * 500, "scene": "\udc80"})
    assert len(found.warnings) == limits.WARNINGS_PER_SCENE_MAX
    assert len(found.warnings[0].text) == limits.REASON_CHARS_MAX
    found.warnings[0].remedy.encode()
    found.scene.encode()
    assert found.frame_step == 1


def test_a_scene_that_did_not_open_is_an_error_alone():
    found = reports.inspection({"version": "3.4.1", "build": "x", "error": {"kind": "scene", "reason": "no"}})
    assert found.error is not None
    assert (found.blender, found.error.kind, found.error.reason) == ("3.4.1", "scene", "no")


@pytest.mark.parametrize(
    "broken",
    [
        {"warnings": [{"code": "x", "kind": "loud", "text": "", "remedy": ""}]},
        {"fps": "many"},
        {"fps": float("inf")},
        {"frame_start": 10**7},
        {"width": 10**400},
    ],
)
def test_an_inspection_that_is_none_is_the_renderers_failure(broken):
    with pytest.raises(RenderFailed):
        reports.inspection({**LOOK, **broken})


def lie(whole: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A report in which something is not as a driver of ours says it."""
    return spoilt(whole) | st.dictionaries(st.sampled_from(sorted(whole)), json_values)


ATTEMPT = AttemptId(1, PeerId("ab" * 32), 1)
JOB, LEASE, DIGEST = JobId("cd" * 16), LeaseId("ef" * 8), Digest("01" * 32)


@examples(200)
@given(lie({"files": [FILE, {**FILE, "name": "a/b.exr"}], "seconds": 0.5, "device": "cpu"}))
def test_whatever_a_driver_says_of_a_frame_can_be_reported_or_is_its_failure(said: Any):
    answer, folder = Answer(said, "log"), Path("/frames/1")
    error = refused(reports.rendered, answer, folder, by=RenderFailed)
    if error is not None:
        failed = FrameResult((), error.failure, 0.0)
        assert decode(encode(Report(LEASE, JOB, 1, 0, ATTEMPT, failed))) == Report(LEASE, JOB, 1, 0, ATTEMPT, failed)
        return
    found = reports.rendered(answer, folder)
    assert all(file.path.is_relative_to(folder) for file in found.files)
    outputs = tuple(
        Output(file.role, file.name, DIGEST, DIGEST, 1, file.width, file.height, file.channels, file.format)
        for file in found.files
    )
    report = Report(LEASE, JOB, 1, 0, ATTEMPT, FrameResult(outputs, None, found.seconds, found.device))
    assert decode(encode(report)) == report


@examples(200)
@given(lie({**LOOK, "warnings": [{"code": "x", "kind": "info", "text": "t", "remedy": "r"}], "notes": ["n"],
            "error": {"kind": "scene", "reason": "no"}}))  # fmt: skip
def test_whatever_a_driver_says_of_a_scene_can_be_reported_or_is_its_failure(said: Any):
    error = refused(reports.inspection, said, by=RenderFailed)
    if error is None:
        report = InspectReport(LEASE, JOB, ATTEMPT, reports.inspection(said))
        assert decode(encode(report)) == report
    else:
        assert error.failure.kind == "renderer"
        error.failure.reason.encode()


@given(lie({"version": "5.0.1", "build": "b", "engines": ["CYCLES"], "devices": ["cpu"], "oidn": True}))
def test_whatever_a_driver_can_do_fits_on_a_card_or_is_its_failure(said: Any):
    error = refused(reports.capabilities, said, "blender", "bpy", by=RenderFailed)
    if error is None:
        card = PeerCard(capabilities=(reports.capabilities(said, "blender", "bpy"),))
        assert card_from_bytes(card_to_bytes(card)) == card
