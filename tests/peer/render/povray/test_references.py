from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.render.povray.references import Use, candidates, finder, scan, walk
from tests.fuzzing import examples

WORDS = [
    "#include",
    "#fopen",
    "#declare",
    "A",
    "=",
    '"a.png"',
    '"',
    "image_map",
    "{",
    "}",
    "png",
    "/*",
    "*/",
    "//",
    "read",
    "write",
    "\n",
]


def uses(text: str) -> list[tuple[str, str]]:
    return [(use.kind, use.name) for use in scan(text).uses]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('#include "a.inc"', [("include", "a.inc")]),
        ('# include "a.inc"', [("include", "a.inc")]),
        ('image_map { png "tex/a.png" once }', [("image", "tex/a.png")]),
        ('image_map { "a.jpg" }', [("image", "a.jpg")]),
        ('height_field { tga "hills.tga" smooth }', [("image", "hills.tga")]),
        ('bump_map { sys "b.bmp" }', [("image", "b.bmp")]),
        ('density_file df3 "smoke.df3"', [("volume", "smoke.df3")]),
        ('text { ttf "face.ttf" "words.png" 1, 0 }', [("font", "face.ttf")]),
        ('#fopen F "points.txt" read', [("file", "points.txt")]),
        ('photons { load_file "p.ph" }', [("file", "p.ph")]),
        ('#declare Skin = "skin.png"; image_map { png Skin }', [("image", "skin.png")]),
        ('// #include "a.inc"\n/* png "b.png" /* nested */ "c.png" */', []),
        ('#declare Words = "// no comment"; image_map { png "a.png" }', [("image", "a.png")]),
        ('#declare png = 3; sphere { 0, png }', []),
        ('#debug "include \\"a.inc\\" png"', []),
        ('image_map { png "a.png"', [("image", "a.png")]),
        ('/* without an end #include "a.inc"', []),
        ('#include', []),
        ('"', []),
    ],
)  # fmt: skip
def test_names_of_files_are_found_where_files_are_named(text, found):
    assert uses(text) == found


def test_names_that_are_put_together_are_counted():
    seen = scan('image_map { png concat("a", str(frame_number, 0, 0), ".png") }\n#include Name\n#fopen F concat("x", "y") read')
    assert (list(seen.uses), seen.computed) == ([], 3)


def test_what_is_written_is_known():
    seen = scan('#fopen A "a.txt" write\n#fopen B concat("b", ".txt") append\nphotons { save_file "p.ph" }')
    assert list(seen.writes) == ["a.txt", "(a computed name)", "p.ph"]


def test_a_large_mesh_costs_little_memory():
    import tracemalloc

    corner = "  <0.123456, -1.5e-3, 7>,\n"
    text = (
        "mesh2 { vertex_vectors { 200000,\n"
        + corner * 200_000
        + '} texture_list { 1, texture { image_map { png "skin.png" } } } }'
    )
    tracemalloc.start()
    found = uses(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [("image", "skin.png")]
    assert peak < 2 * len(text) + 1_000_000


@pytest.mark.parametrize(
    "text", ['\\"' * 300_000, '"' * 300_001, "/*" * 300_000, "/" * 300_000, "{" * 300_000, "#fopen " * 50_000]
)
def test_no_text_takes_longer_than_its_length_asks_for(text):
    assert uses(text) == []


@examples(200)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5)).map(" ".join))
def test_any_text_is_read(text):
    seen = scan(text)
    assert all(use.kind in ("include", "image", "font", "volume", "file") for use in seen.uses)


def test_words_whose_pixels_depend_on_threads_are_known():
    assert scan("radiosity { } // jitter\narea_light x, y, 2, 2 jitter camera { }").words == {"radiosity", "jitter"}


def test_a_walk_follows_includes_of_ours_and_names_what_is_nowhere(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.pov").write_text('#include "a"\n#include "std.inc"\n#include "gone.inc"\n#fopen F "made.txt" write')
    (tmp_path / "a.inc").write_text('image_map { png "a.png" }\n#include "main.pov"\n#fopen F "made.txt" read')
    (tmp_path / "lib" / "std.inc").write_text('#include "inside.inc"')
    (tmp_path / "a.png").touch()
    seen = walk(tmp_path / "main.pov", finder([tmp_path, tmp_path / "lib"]), lambda path: path.parent == tmp_path)
    assert {path.name for path in seen.found} == {"a.inc", "std.inc", "a.png"}
    assert list(seen.missing) == [Use("include", "gone.inc")], (
        "what it writes itself, and what POV-Ray's own includes need, is not"
    )


def test_names_are_looked_for_as_povray_does():
    assert list(candidates(Use("include", "colors"))) == ["colors", "colors.inc"]
    assert list(candidates(Use("image", "tex\\a.png"))) == ["tex\\a.png".replace("\\", "/")]
    assert finder([Path("/nowhere")])(Use("image", "a\x00b")) is None
