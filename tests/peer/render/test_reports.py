from __future__ import annotations

import pytest

from peer.ports import RenderFailed
from peer.render import reports
from peer.render.requests import Answer
from protocol import limits

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


@pytest.mark.parametrize("broken", [{"warnings": [{"code": "x", "kind": "loud", "text": "", "remedy": ""}]}, {"fps": "many"}])
def test_an_inspection_that_is_none_is_the_renderers_failure(broken):
    with pytest.raises(RenderFailed):
        reports.inspection({**LOOK, **broken})
