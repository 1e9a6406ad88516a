"""Specifications of jobs, drawn at random: what clients may ask for."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocol import limits
from protocol.jobs.spec import JobSpec, canonical

_words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_fields: dict[str, st.SearchStrategy[Any]] = {
    "name": _words,
    "renderer": st.sampled_from(["blender", "null"]),
    "frames": st.none() | st.sampled_from(["1", "1-48", "-3--1", "1-9x2, 60", " 7 "]),
    "priority": st.integers(0, 100),
    "scene_name": st.none() | _words,
    "camera": st.none() | _words,
    "engine": st.none() | st.sampled_from(["CYCLES", "BLENDER_EEVEE"]),
    "blender": st.none() | st.sampled_from(["4.2", "5.0"]),
    "samples": st.none() | st.integers(1, 65_536),
    "resolution": st.none() | st.sampled_from(["4x4", "1920x1080", "65536x65536"]),
    "destination": st.none() | st.sampled_from(["farm:", "farm:shots/010"]),
    "max_attempts": st.integers(1, limits.ATTEMPTS_PER_FRAME_MAX),
    "frame_timeout_s": st.none() | st.floats(0.1, 7 * 86_400.0),
    "on_warning": st.sampled_from(["hold", "fail", "accept"]),
    "label": st.lists(st.sampled_from(["a=b", "x.y-z=", "k=ü 1"]), max_size=3).map(tuple),
    "settings": st.dictionaries(_words, _plain, max_size=3),
}
specs: st.SearchStrategy[JobSpec] = st.fixed_dictionaries({}, optional=_fields).map(lambda fields: JobSpec(**fields))
spec_texts: st.SearchStrategy[str] = specs.map(canonical)
