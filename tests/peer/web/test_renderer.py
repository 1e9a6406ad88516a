from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from peer.web.problems import Refused
from peer.web.renderer import with_renderer
from peer.web.site import WebOptions
from protocol.jobs.manifest import EMPTY, Manifest
from protocol.jobs.spec import JobSpec, canonical


def site(**options: Any) -> Any:
    return SimpleNamespace(options=WebOptions("1", lambda *_: None, **options))


SLATES = {"renderer_of": lambda name: "slate" if name.endswith(".slate") else None, "renderers": lambda: ("blender", "slate")}


def test_the_main_files_name_says_what_renders_it():
    found = with_renderer(site(**SLATES), JobSpec(frames="1"), Manifest("a.slate", ()))
    assert canonical(found) == '{"frames":"1","renderer":"slate"}'
    for manifest in (Manifest("a.blend", ()), EMPTY):
        assert canonical(with_renderer(site(**SLATES), JobSpec(frames="1"), manifest)) == '{"frames":"1"}'


def test_a_name_that_was_sent_wins():
    named = JobSpec(renderer="blender")
    assert with_renderer(site(**SLATES), named, Manifest("a.slate", ())) is named


def test_a_renderer_that_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(Refused) as refused:
        with_renderer(site(**SLATES), JobSpec(renderer="slat"), EMPTY)
    assert refused.value.status == 422
    assert "blender, slate" in str(refused.value.errors)
