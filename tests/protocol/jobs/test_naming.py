"""The names of a frame's outputs differ, and stay below their folder; more about templates in tests/peer/web/test_names.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Invalid
from protocol.ids import JobId
from protocol.jobs.naming import check_template, output_names
from tests.protocol.making import output

JOB = JobId("0123456789abcdef0123456789abcdef")


def test_outputs_of_one_frame_have_names_of_their_own():
    made = output_names("{job}/{frame:03d}", job=JOB, name="my shot", frame=7, outputs=(output(7), output(7), output(7)))
    assert made[0] == "my_shot/007.png"
    assert len(set(made)) == 3


def test_names_differ_also_where_case_is_ignored_and_where_one_is_called_like_anothers_number():
    named = ("main.png", "Extra/A.png", "Extra_2/a.png", "Other/a.2.png", "Third/A.2.png")
    outputs = tuple(replace(output(7), role="main" if index == 0 else "node", name=name) for index, name in enumerate(named))
    made = output_names("{frame}", job=JOB, name="x", frame=7, outputs=outputs)
    assert made[:2] == ["7.png", "7.node.A.png"]
    assert len({one.casefold() for one in made}) == len(named), made


@pytest.mark.parametrize("template", ["../{frame}", "/{frame}", "{job}", "{frame.real}", "{frame"])
def test_templates_that_leave_their_folder_or_are_none_are_refused(template: str):
    with pytest.raises(Invalid):
        check_template(template)
