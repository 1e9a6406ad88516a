from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.render.renderlog import BoundedText, LogReader, classify
from protocol import limits
from tests.fuzzing import changed


def reader():
    marks: list[tuple[int, str]] = []
    samples: list[tuple[int, int]] = []
    return LogReader("tok", lambda *mark: marks.append(mark), lambda *sample: samples.append(sample)), marks, samples


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_marks_cut_the_text_into_logs_however_the_bytes_come(piece):
    log, marks, _ = reader()
    data = b"one\n\n\x1etok 1\ntwo\nthree\n\n\x1etok 2\nrest"
    for at in range(0, len(data), piece):
        log.feed(data[at : at + piece])
    assert marks == [(1, "one\n"), (2, "two\nthree\n")]
    assert log.rest() == "rest"


def test_a_scene_cannot_forge_a_mark():
    log, marks, _ = reader()
    log.feed(b"\x1eother 1\n\x1etok2 1\n")
    assert marks == []


def test_status_lines_give_samples_and_are_not_kept():
    log, marks, samples = reader()
    log.feed(
        b"Fra:3 Mem:9M | Scene, ViewLayer | Sample 5/64\nFra:3 Mem:9M | Rendering 26 / 64 samples\nFra:3 | Finished\n\x1etok 1\n"
    )
    assert samples == [(5, 64), (26, 64)]
    assert marks == [(1, "")]


def test_a_long_line_is_cut_and_a_long_log_keeps_its_two_ends():
    log, marks, _ = reader()
    log.feed(b"x" * 3 * limits.RENDER_LOG_LINE_BYTES_MAX)
    log.feed(b"y\nfirst\n" + b"middle of it\n" * 60_000 + b"last\n\x1etok 1\n")
    ((_, text),) = marks
    lines = text.splitlines()
    assert max(len(line) for line in lines) == limits.RENDER_LOG_LINE_BYTES_MAX
    assert lines[1] == "first"
    assert lines[-1] == "last"
    assert len(text) < limits.FRAME_LOG_BYTES_MAX + 100
    assert "bytes left out" in text


def test_a_short_text_stays_whole():
    text = BoundedText()
    text.add(b"a\n")
    text.add("ü\n".encode())
    assert text.text() == "a\nü\n"


@pytest.mark.parametrize(
    ("words", "version", "kind"),
    [
        ("Calloc returns null: len=603979776 in CDMEdge", (3, 4), "memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", (5, 0), "memory"),
        ("Failed to allocate 2 GB", (5, 0), "memory"),
        ("Failed to allocate 2 GB", (3, 4), None),
        ("cannot save: No space left on device", (3, 4), "infrastructure"),
        ("Saved: 'x.png'", (5, 0), None),
    ],
)
def test_what_a_log_says_about_a_death(words, version, kind):
    assert classify(words, version) == kind


PRINTED = b"Fra:3 Mem:9M | Scene, ViewLayer | Sample 5/64\nSaved: x\n\x1etok 1\nFra:4 | Rendering 26 / 64 samples\n\x1etok 2\n"


@given(st.lists(changed(PRINTED) | st.binary(max_size=60), max_size=5), st.integers(1, 200))
def test_whatever_is_printed_is_read(printed: list[bytes], piece: int):
    log, marks, samples = reader()
    data = b"".join(printed)
    for at in range(0, len(data), piece):
        log.feed(data[at : at + piece])
    assert all(number >= 0 for number, _ in marks)
    assert all(number < 10**9 for pair in samples for number in pair)
    assert len(log.rest()) <= len(data)


@pytest.mark.parametrize("line", [b"\x1etok \n", b"\x1etok x\n", b"\x1etok -1\n", b"\x1etok " + b"9" * 4_000 + b"\n"])
def test_a_mark_without_a_number_is_a_line_like_any_other(line: bytes):
    log, marks, _ = reader()
    log.feed(line + b"\x1etok 1\r\n")
    assert [number for number, _ in marks] == [1]


def test_samples_that_nobody_can_count_are_left_out():
    log, _, samples = reader()
    log.feed(b"Fra:3 | Sample " + b"9" * 400 + b"/64\nFra:3 | Sample 1/" + b"9" * 400 + b"\n")
    assert samples == []
