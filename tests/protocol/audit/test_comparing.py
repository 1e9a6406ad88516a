from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.audit.comparing import OUTLIERS_ACROSS, OUTLIERS_WITHIN, RenderClass, class_of, outliers, same_pixels, same_shape
from protocol.jobs.results import Capabilities
from tests.protocol.making import ANNA, BEN, card, done, spec, work

AVX2 = RenderClass("blender", "5.0.1", "abc", "CYCLES", "cpu", "avx2", True)


def test_renders_of_one_class_are_compared_closely() -> None:
    assert outliers(AVX2, replace(AVX2)) == OUTLIERS_WITHIN
    assert outliers(replace(AVX2, engine="BLENDER_EEVEE"), replace(AVX2, engine="BLENDER_EEVEE")) == OUTLIERS_WITHIN


@pytest.mark.parametrize("other", [{"kernel": "sse42"}, {"build": "def"}, {"kernel": "neon", "build": "def"}])
def test_cycles_on_another_processor_or_of_another_build_is_compared_by_tolerance(other: dict[str, str]) -> None:
    assert outliers(AVX2, replace(AVX2, **other)) == OUTLIERS_ACROSS  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other", [{"version": "5.0.2"}, {"oidn": False}, {"device": "gpu"}, {"engine": "BLENDER_EEVEE"}, {"renderer": "povray"}]
)
def test_what_may_give_another_picture_is_no_evidence(other: dict[str, object]) -> None:
    assert outliers(AVX2, replace(AVX2, **other)) is None  # type: ignore[arg-type]


def test_only_cycles_gives_one_picture_on_every_processor() -> None:
    for engine in ("BLENDER_EEVEE", "BLENDER_WORKBENCH", "NULL", ""):
        one = replace(AVX2, engine=engine)
        assert outliers(one, replace(one, kernel="sse42")) is None


def test_a_class_comes_from_what_the_peer_can_do_and_the_job_asks_for() -> None:
    able = Capabilities("blender", "5.0.1", "abc", "program", ("CYCLES",), oidn=True, kernel="avx2", sandbox="landlock")
    job = work(wanted=spec(renderer="blender"), engine="CYCLES", blender="5.0")
    assert class_of(job, card(capabilities=(able,)), "cpu") == AVX2
    assert class_of(replace(job, blender="4.5"), card(capabilities=(able,)), "cpu") is None
    assert (
        class_of(work(wanted=spec(renderer="blender", sandbox="bwrap"), blender="5.0"), card(capabilities=(able,)), "cpu") is None
    )
    assert class_of(job, card(capabilities=()), "cpu") is None


def test_results_are_compared_file_by_file() -> None:
    one, other = done(1, ANNA), done(1, BEN)
    assert same_pixels(one, other)
    assert not same_pixels(one, done(2, BEN))
    changed = replace(one, outputs=(replace(one.outputs[0], pixel_hash="0" * 64),))
    assert same_shape(one, changed)
    assert not same_pixels(one, changed)
    assert not same_shape(one, replace(one, outputs=(replace(one.outputs[0], width=63),)))
    assert not same_shape(one, replace(one, outputs=one.outputs * 2))
