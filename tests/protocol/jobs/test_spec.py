"""A specification is validated once, frozen, and says which part decides the pixels."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.spec import JobSpec, RenderSettings, render_settings


def test_everything_may_be_left_to_the_scene():
    spec = JobSpec()
    assert (spec.renderer, spec.frames, spec.priority, spec.on_warning, spec.durability) == ("blender", None, 50, "hold", "two")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "CYCLE"),
        ("renderer", "povray"),
        ("priority", 101),
        ("priority", -1),
        ("samples", 0),
        ("destination", "x" * 2000),
        ("resolution", "1920"),
        ("resolution", "3x1080"),
        ("resolution", "99999x1080"),
        ("blender", "4"),
        ("quality", 101),
        ("max_attempts", 0),
        ("max_attempts", limits.ATTEMPTS_PER_FRAME_MAX + 1),
        ("frame_timeout_s", 0),
        ("frame_timeout_s", float("nan")),
        ("threads", 0),
        ("on_warning", "ignore"),
        ("label", ["nokey"]),
        ("label", ["a=b\n"]),
        ("label", ["a=b"] * (limits.LABELS_PER_JOB_MAX + 1)),
        ("name", "x" * (limits.JOB_NAME_CHARS_MAX + 1)),
        ("name", "a\nb"),
        ("farmes", "1-48"),
    ],
)
def test_a_wrong_or_unknown_field_is_refused_by_name(field: str, value: object):
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({field: value})
    assert {fault["loc"][0] for fault in caught.value.errors()} == {field}


@pytest.mark.parametrize(("text", "hint"), [("48-1", "write 1-48"), ("abc", "write for example")])
def test_wrong_frames_are_refused_with_their_own_code_and_words(text: str, hint: str):
    with pytest.raises(Invalid, match=hint) as caught:
        JobSpec(frames=text)
    assert caught.value.code == "bad_frames"


def test_a_specification_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        JobSpec().__setattr__("priority", 1)


def test_the_part_that_decides_pixels_leaves_out_who_and_when():
    one = JobSpec(samples=4, resolution="320x180", name="a", priority=1, frames="1-5")
    two = JobSpec(samples=4, resolution="320x180", name="b", priority=99, frames="6-9", label=("x=1",))
    assert render_settings(one) == render_settings(two) == RenderSettings(samples=4, resolution="320x180")
    assert render_settings(one) != render_settings(JobSpec(samples=5, resolution="320x180"))


def test_every_pixel_field_is_a_field_of_the_specification():
    assert set(RenderSettings.model_fields) <= set(JobSpec.model_fields)
