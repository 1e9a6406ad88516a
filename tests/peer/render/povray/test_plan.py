from __future__ import annotations

from pathlib import Path

import pytest

from peer.render.driver.refusal import Refused
from peer.render.povray.plan import Plan, lines, make_plan, quoted


def plan(tree: Path, main: str = "shot.pov", *, ini: str = "", **settings) -> Plan:
    (tree / "shot.pov").write_text("camera { }")
    if ini:
        (tree / "shot.ini").write_text(ini)
    return make_plan(tree, main, settings)


def refusal(tree: Path, main: str = "shot.pov", **more) -> str:
    with pytest.raises(Refused) as refused:
        plan(tree, main, **more)
    assert refused.value.kind == "scene"
    return str(refused.value)


def test_a_scene_alone_has_one_frame_and_says_what_is_assumed(tree):
    found = plan(tree)
    assert (found.width, found.height, found.begin, found.end, found.animated, found.format) == (800, 600, 1, 1, False, "PNG")
    assert "frame_end=48" in found.notes[1]
    text = lines(found, 1, "/out/a.png", 2, [tree])
    assert f'Input_File_Name="{tree}/shot.pov"\nLibrary_Path="{tree}"\nWidth=800\nHeight=600\n' in text
    assert "Final_Frame" not in text


def test_an_ini_tells_scene_size_frames_and_clock(tree):
    said = "Input_File_Name=shot.pov\nWidth=64\nHeight=48\nFinal_Frame=9\nSubset_Start_Frame=2\nSubset_End_Frame=5\n+A0.3"
    found = plan(tree, "shot.ini", ini=said)
    assert (found.width, found.height, found.first, found.last, found.begin, found.end) == (64, 48, 1, 9, 2, 5)
    text = lines(found, 3, "/out/a.png", 1, [])
    for line in ("Initial_Frame=1", "Final_Frame=9", "Subset_Start_Frame=3", "Subset_End_Frame=3", "Antialias=On"):
        assert f"{line}\n" in text


def test_the_job_has_the_last_word(tree):
    wishes = {"ini": "shot.ini", "frame_end": 4, "antialias": 0.1, "cyclic": False, "declare": {"Speed": 2.0}, "quality": 5}
    found = plan(
        tree, ini="Width=64\nHeight=48\nFinal_Frame=9\nCyclic_Animation=On\nDeclare=Speed=1\n+FJ", resolution="32x24",
        format="PNG", color_depth="16", color_mode="RGBA", settings=wishes,
    )  # fmt: skip
    assert (found.width, found.last, found.channels, found.format) == (32, 4, 4, "PNG")
    kept = {"Antialias_Threshold": "0.1", "Cyclic_Animation": "Off", "Quality": "5", "Bits_Per_Color": "16", "Output_Alpha": "On"}
    assert kept.items() <= found.options.items()
    assert "Declare=Speed=2\n" in lines(found, 1, "/out/a.png", 1, [])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"camera": "Cam"}, "no setting 'camera'"),
        ({"engine": "CYCLES"}, "no setting 'engine'"),
        ({"device": "gpu"}, "device=auto or cpu"),
        ({"format": "TIFF"}, "choose one of PNG, JPEG, OPEN_EXR"),
        ({"color_depth": "32"}, "PNG has 8 or 16"),
        ({"format": "JPEG", "color_mode": "RGBA"}, "choose PNG"),
        ({"settings": {"ini": "other.ini"}}, "--asset other.ini"),
        ({"settings": {"ini": "../../secret.ini"}}, "in or below that"),
        ({"settings": {"frame_start": 5, "frame_end": 2}}, "end (2) before they begin (5)"),
        ({"ini": "Width=8\n[A]", "settings": {"ini": "shot.ini", "section": "B"}}, "has no section 'B'; there are: A"),
        ({"ini": "Width=0\nHeight=5", "settings": {"ini": "shot.ini"}}, "0x5"),
    ],
)
def test_what_povray_does_not_have_is_refused_with_what_it_has(tree, settings, text):
    assert text in refusal(tree, **settings)


@pytest.mark.parametrize(
    ("ini", "text"),
    [
        ("Width=64", "names no scene"),
        ("Input_File_Name=/etc/passwd", "in or below that"),
        ("Input_File_Name=../../../etc/passwd", "in or below that"),
        ("Input_File_Name=C:\\x.pov", "in or below that"),
        ("Input_File_Name=gone.pov", "not among the files"),
    ],
)
def test_an_ini_leads_to_a_scene_of_the_job_and_nowhere_else(tree, ini, text):
    assert text in refusal(tree, "shot.ini", ini=ini)


def test_library_paths_out_of_the_job_are_left_out(tree):
    found = plan(
        tree, "shot.ini", ini="Input_File_Name=shot.pov\nLibrary_Path=lib\nLibrary_Path=/home/me/lib\nLibrary_Path=../.."
    )
    assert (found.folders, found.left_out) == ([tree, tree / "lib"], ["/home/me/lib", "../.."])


def test_a_frame_that_the_scene_does_not_have_is_refused_with_the_remedy(tree):
    with pytest.raises(Refused, match=r"frame 7 is none of the scene's frames 1 to 1; .*frame_end=7"):
        lines(plan(tree), 7, "/out/a.png", 1, [])


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\x7fb"])
def test_a_name_that_would_end_its_line_is_refused(name):
    with pytest.raises(Refused):
        quoted(name)


def test_formats_of_an_ini_that_cannot_be_verified_become_png(tree):
    found = plan(tree, "shot.ini", ini="Input_File_Name=shot.pov\nOutput_File_Type=P")
    assert (found.format, found.options["Output_File_Type"]) == ("PNG", "N")
    assert any("cannot be verified" in note for note in found.notes)
    grey = plan(tree, "shot.ini", ini="Input_File_Name=shot.pov\n+FJ\nOutput_Alpha=On")
    assert (grey.format, grey.channels, grey.options["Output_Alpha"]) == ("JPEG", 3, "Off")
