from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.render.povray.ini import KEPT, PARTIAL, PROGRAMS, read_ini
from tests.fuzzing import examples

TEXT = """; shot 12
Input_File_Name = "shot.pov"   ; the scene
Library_Path=lib\\inc
Width=640 
+H480 +A0.3 -J +FN16 +UA
Antialias_Depth=3
Initial_Frame=1
Final_Frame=48
+KI0.5
Cyclic_Animation=on
Declare=Speed=2.5
Output_File_Name=C:\\out\\shot
Post_Frame_Command=rm -rf %s
Display=On
[Small]
Width=64
Pre_Scene_Command=touch x
[Big]
Width=6400
Start_Row=3
"""  # noqa: W291


def test_an_ini_is_taken_apart():
    found = read_ini(TEXT)
    assert (found.source, found.libraries, found.declared) == ("shot.pov", ["lib/inc"], {"Speed": "2.5"})
    assert found.numbers == {"width": 640, "height": 480, "initial_frame": 1, "final_frame": 48, "bits_per_color": 16}
    assert found.kept == {
        "Antialias": "On", "Antialias_Threshold": "0.3", "Jitter": "Off", "Output_File_Type": "N", "Output_Alpha": "On",
        "Antialias_Depth": "3", "Initial_Clock": "0.5", "Cyclic_Animation": "On",
    }  # fmt: skip
    assert (found.programs, found.unknown, found.sections) == (["post_frame_command"], [], ["Small", "Big"])


def test_a_section_comes_on_top():
    small, big = read_ini(TEXT, "small"), read_ini(TEXT, "Big")
    assert (small.numbers["width"], small.programs) == (64, ["post_frame_command", "pre_scene_command"])
    assert (big.numbers["width"], big.partial) == (6400, ["start_row"])


@pytest.mark.parametrize(
    "line",
    ["Width=many", "Quality=9;Width", "Antialias=perhaps", "Quality=1e999999", "Declare=A=B", "Declare=A;B=1", "Nonsense=1",
     "+zz1", "File_Gamma=a b", "other.ini", "Output_File_Type=N\x00", "Quality=\u0663"],
)  # fmt: skip
def test_what_is_not_understood_is_left_out_and_named(line):
    found = read_ini(line.replace(";", "\u037e"))
    assert len(found.unknown) == 1
    assert (found.kept, found.numbers, found.declared) == ({}, {}, {})


def test_nothing_that_could_hold_another_line_or_a_program_is_kept():
    found = read_ini('File_Gamma="sRGB\x0bPost_Scene_Command=x"\nClock="1 2"\n+FN16;+W3')
    assert found.kept == {"File_Gamma": "sRGB", "Output_File_Type": "N"}
    assert found.programs == ["post_scene_command"], "named, to be refused"
    assert found.numbers == {"bits_per_color": 16}


@pytest.mark.parametrize("text", ["", "[", "]", "=", "+", "-", '"', "+w", "\x00", "[a]\n[b]", "Declare=", "Input_File_Name="])
def test_odd_texts_raise_nothing(text):
    read_ini(text)


KEYS = [*KEPT, *PROGRAMS, *PARTIAL, "width", "declare", "library_path", "+w", "+a", "-j", "+fn", "[a]", "input_file_name"]


@examples(300)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["=", "", " = "]), st.text(max_size=8))))
def test_whatever_it_says_what_is_kept_is_one_plain_word(rows):
    found = read_ini("\n".join(key + equals + value for key, equals, value in rows), "a")
    assert set(found.kept) <= {name for name, _ in KEPT.values()}
    assert all(value.isascii() and value.isprintable() and not set(value) & set(" ;=\"'[]") for value in found.kept.values())
    assert all(name.isidentifier() and name.isascii() for name in found.declared)
