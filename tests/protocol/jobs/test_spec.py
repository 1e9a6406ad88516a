"""A specification is validated once, frozen, and says which part decides the pixels."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.jobs.spec import JobSpec, RenderSettings, canonical, read_spec, render_settings
from tests.fuzzing import changed, deep_json, examples, json_values, spoilt
from tests.protocol.specs import specs


def test_everything_may_be_left_to_the_scene():
    spec = JobSpec()
    assert (spec.renderer, spec.frames, spec.priority, spec.on_warning, spec.durability) == ("blender", None, 50, "hold", "two")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "CYCLE"),
        ("renderer", "POV-Ray"),
        ("renderer", ""),
        ("renderer", "x" * 33),
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
        ("blender", "٥.٠"),
        ("blender", "9" * 5_000 + ".0"),
        ("resolution", "١٢٣x٤٥٦"),
        ("settings", {"a": float("inf")}),
        ("settings", {"a": [{"b": float("nan")}]}),
        ("settings", {"a": "x" * limits.SETTINGS_BYTES_MAX}),
        ("settings", {"a": json.loads("[" * 250 + "]" * 250)}),  # readers of JSON differ in how deep they go
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


def test_all_fields_together_fit_into_a_fact():
    labels = [f"k={chr(0x1F3AC) * 120}"] * limits.LABELS_PER_JOB_MAX  # twelve characters each, once escaped
    with pytest.raises(ValidationError, match="all fields together"):
        JobSpec.model_validate({"label": labels, "frames": ",".join(["1" + "\v" * 9] * 5_900), "settings": {"a": "x" * 60_000}})


@given(specs)
def test_what_is_written_is_read_as_the_same(spec: JobSpec):
    assert read_spec(canonical(spec)) == spec
    assert canonical(read_spec(canonical(spec))) == canonical(spec)


FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(JobSpec.model_fields, json_values))


@examples(200)
@given(FIELDS | specs.flatmap(lambda spec: spoilt(json.loads(canonical(spec)))))
def test_whatever_is_taken_from_a_client_can_be_read_by_every_peer(fields: Any):
    try:
        spec = JobSpec(**fields) if isinstance(fields, dict) else None
    except (ValueError, Invalid, TypeError):  # TypeError: a name that is no word
        return
    assert spec is None or read_spec(canonical(spec)) == spec


@examples(200)
@given(
    specs.flatmap(lambda spec: changed(canonical(spec).encode()))
    | deep_json.map(lambda text: b'{"settings": {"a": %s}}' % text.encode())
)
def test_any_text_of_another_peer_is_a_specification_or_malformed(data: bytes):
    try:
        spec = read_spec(data.decode("utf-8", "replace"))
    except Malformed:
        return
    assert read_spec(canonical(spec)) == spec


def test_a_text_that_is_too_long_is_not_even_looked_at():
    with pytest.raises(Malformed, match="at most"):
        read_spec(" " * limits.SPEC_CHARS_MAX + "{}")
