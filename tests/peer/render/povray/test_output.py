from __future__ import annotations

import pytest

from peer.render.povray.output import WORDS_BYTES_MAX, Console, kind, lost, reason
from peer.render.povray.references import Use

SAID = b"""Persistence of Vision(tm) Ray Tracer Version 3.7.0
Parser Options
  Input file: a.pov
==== [Parsing...] ==========================================================
==== [Rendering...] ========================================================
Rendered 10 of 40 pixels (25%)\rRendered 40 of 40 pixels (100%)\r
POV-Ray finished
"""


def console() -> tuple[Console, list[str], list[tuple[int, int]]]:
    lines: list[str] = []
    progress: list[tuple[int, int]] = []
    return Console(lines.append, lambda done, of: progress.append((done, of))), lines, progress


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_phases_and_progress_are_read_from_pieces_of_any_size(step):
    heard, lines, progress = console()
    for at in range(0, len(SAID), step):
        heard.feed(SAID[at : at + step])
    heard.end()
    assert (heard.phase, progress) == ("Rendering", [(10, 40), (40, 40)])
    assert (lines[0], lines[-1]) == ("Parser Options", "POV-Ray finished"), "without the banner and the progress"


def test_words_before_the_banner_ends_are_not_lost():
    heard, lines, _ = console()
    heard.feed(b"povray: cannot start")
    heard.end()
    assert lines == ["povray: cannot start"]


def test_a_flood_is_bounded():
    heard, _, _ = console()
    for _ in range(40):
        heard.feed(b"x" * 10_000 + b"\n")
    heard.end()
    assert len(heard.text) <= WORDS_BYTES_MAX + 100


BROKEN = "File '/tree/a.pov' line 2: Parse Warning: Pigment type unspecified or\n not 1st item.\n\
File '/tree/a.pov' line 2: Parse Error: No matching } in 'pigment',\n undeclared identifier 'Redd' found instead\n\
Fatal error in parser: Cannot parse input.\nRender failed\n"


def test_the_reason_is_the_error_and_says_no_place_of_ours():
    heard, _, _ = console()
    heard.feed(BROKEN.encode())
    assert reason(heard.text, "/tree") == (
        "File 'a.pov' line 2: Parse Error: No matching } in 'pigment', undeclared identifier 'Redd' found instead"
    )
    assert reason("", "/tree") == "it said nothing"


def test_a_long_path_is_broken_anywhere_and_made_whole():
    heard, _, _ = console()
    tree = "/" + "/".join(["folder"] * 12)
    whole = f"File '{tree}/a.pov' line 6: Parse Error: no"
    heard.feed(f"{whole[:80]}\n{whole[80:]}\nRender failed\n".encode())
    assert reason(heard.text, tree) == "File 'a.pov' line 6: Parse Error: no"


def test_files_that_were_not_found_are_named():
    said = "Cannot find file 'tex/x.png', even after trying\n to append file type extension.\nCannot open include file n.inc."
    heard, _, _ = console()
    heard.feed(said.encode() + b"\n")
    assert lost(heard.text) == [Use("file", "tex/x.png"), Use("include", "n.inc")]


@pytest.mark.parametrize(
    ("text", "found"), [("std::bad_alloc", "memory"), ("No space left on device", "infrastructure"), ("Parse Error", "scene")]
)
def test_failures_have_their_class(text, found):
    assert kind(text) == found
