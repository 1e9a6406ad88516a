from __future__ import annotations

import pytest

from peer.render.loadlog import with_findings
from protocol.jobs.results import Failure, Inspection, SceneWarning
from protocol.jobs.spec import RenderSettings

SEEN = Inspection(scene="Shot", engine="BLENDER_EEVEE")
NO_ENGINE = "Error: Engine 'LUXCORE' not available for scene 'Shot' (an add-on may need to be installed or enabled)\n"


def codes(log: str, seen: Inspection = SEEN, **settings: object) -> list[str]:
    return [warning.code for warning in with_findings(seen, log, RenderSettings(**settings)).warnings]


@pytest.mark.parametrize(
    "line",
    [
        'Color management: scene view "Filmix" not found, setting default "Standard".',
        '00:00.868  color_management | WARNING scene view "Filmix" not found, setting to "Standard".',
    ],
)
def test_a_view_that_this_blender_lacks_touches_the_picture_in_each_generations_words(line):
    found = with_findings(SEEN, f"Read blend: x\n{line}\nmore\n", RenderSettings()).warnings
    assert [(warning.code, warning.kind) for warning in found] == [("color_management", "picture")]
    assert '"Filmix"' in found[0].text
    assert "WARNING" not in found[0].text


@pytest.mark.parametrize(
    "line",
    [
        'Color management: image colorspace "Studio Log" not found, will use default instead.',
        '00:00.270  color_management | WARNING image colorspace "Studio Log" not found, will use default instead.',
        'Color management: display "P3" used by scene not found, setting to default ("sRGB").',
        '00:00.275  color_management | WARNING Display "P3" used by scene not found, setting to "sRGB".',
    ],
)
def test_so_do_an_images_colour_space_and_a_display(line):
    assert codes(line + "\n") == ["color_management"]


def test_what_is_said_twice_is_one_finding():
    line = 'Color management: scene view "Filmix" not found, setting default "Standard".\n'
    assert codes(line * 3) == ["color_management"]


def test_a_missing_configuration_is_a_finding():
    assert codes("Color management: using fallback mode for management\n") == ["color_management"]


def test_an_engine_of_an_add_on_is_a_finding_unless_the_job_names_another_or_it_is_another_scenes():
    assert codes(NO_ENGINE) == ["unknown_engine"]
    assert codes("00:00.644  reports          | ERROR " + NO_ENGINE[7:]) == ["unknown_engine"]
    assert codes(NO_ENGINE, engine="CYCLES") == []
    assert codes(NO_ENGINE, Inspection(scene="Other")) == []


def test_findings_of_the_log_come_first_and_the_rest_stays():
    rest = SceneWarning("refused_script", "info", "it did not run", "nothing")
    assert codes(NO_ENGINE, Inspection(scene="Shot", warnings=(rest,))) == ["unknown_engine", "refused_script"]


def test_an_ordinary_log_and_a_broken_scene_add_nothing():
    assert codes("Read blend: /x/scene.blend\nFra:1 Mem:3M\nsaid by a scene: color not found, setting\n") == []
    broken = Inspection(error=Failure("scene", "no camera"))
    assert with_findings(broken, NO_ENGINE, RenderSettings()) is broken
