from __future__ import annotations

import pytest

from peer.web import names
from protocol.errors import Invalid
from protocol.ids import JobId
from protocol.jobs.results import Output
from tests.peer.web.conftest import digest

JOB = JobId("0123456789abcdef0123456789abcdef")


def output(name: str = "f.png", format: str = "PNG", role: str = "main") -> Output:
    return Output(role, name, digest("a"), "0" * 64, 1, 4, 4, 3, format)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{job}_{frame:04d}", "shot_7_0012"),
        ("{frame}", "12"),
        ("{frame:d}-{name}", "12-shot_7"),
        ("shots/{name}/{frame:06d}", "shots/shot_7/000012"),
        ("{{x}}{frame:4}", "{x}  12"),
    ],
)
def test_templates(template: str, expected: str):
    names.check_template(template)
    assert names.expand(template, job="0" * 12, name="shot 7", frame=12) == expected


def test_a_job_without_a_name_is_called_by_its_id():
    assert names.expand("{job}_{frame}", job=JOB[:12], name="", frame=-3) == "0123456789ab_-3"


@pytest.mark.parametrize(
    "template",
    [
        "{frame",
        "still",
        "{frame!r}",
        "{frame.__class__}",
        "{frame[0]}",
        "{0}{frame}",
        "{}{frame}",
        "{frame:99999999d}",
        "{job:>10}{frame}",
        "{frame:{job}}",
        "{secret}{frame}",
        "/etc/{frame}",
        "../{frame}",
        "a/../../{frame}",
        "C:\\{frame}",
        "\n{frame}",
        "{frame:x}",
    ],
)
def test_templates_that_are_refused(template: str):
    with pytest.raises(Invalid) as caught:
        names.check_template(template)
    assert caught.value.code == "bad_output"
    assert names.EXAMPLE in caught.value.message


@pytest.mark.parametrize(
    ("made", "suffix", "kind"),
    [
        (output(), ".png", "image/png"),
        (output("F.EXR", "OPEN_EXR_MULTILAYER"), ".exr", "image/x-exr"),
        (output("noext", "JPEG"), ".jpg", "image/jpeg"),
        (output("noext", "HTML"), ".bin", "application/octet-stream"),
        (output("x.a/b", "TIFF"), ".tif", "image/tiff"),
    ],
)
def test_suffix_and_media_type(made: Output, suffix: str, kind: str):
    assert (names.extension(made), names.content_type(made)) == (suffix, kind)


def test_names_of_one_frame_differ():
    outputs = (
        output(),
        output("depth.exr", "OPEN_EXR", "layer"),
        output("depth.exr", "OPEN_EXR", "layer"),
        output("../x.png", role="../n"),
    )
    made = names.output_names("{job}_{frame:04d}", job=JOB, name="a", frame=1, outputs=outputs)
    assert made == ["a_0001.png", "a_0001.layer.depth.exr", "a_0001.layer.depth.2.exr", "a_0001.n.x.png"]


def test_disposition_of_a_name_that_is_not_ascii():
    assert names.disposition('shots/é"1.png') == "inline; filename=\"__1.png\"; filename*=UTF-8''%C3%A9%221.png"


def test_safe_names_are_never_hidden():
    assert names.safe("../..\\.x y\n") == "x_y"
