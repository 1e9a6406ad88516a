from __future__ import annotations

import pytest

from peer.render.driver.naming import pixels, unique


@pytest.mark.parametrize("text", ["../../etc/passwd", "C:\\x\\y", "{blend_name}", "####", "", "a\nb", "ü/ö", "x" * 500, "take 2"])
def test_a_name_stays_in_its_folder(text):
    name = unique(text, set())
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert len(name) <= 64
    assert not name[-1].isdigit()


def test_equal_names_are_told_apart_also_where_case_does_not_count():
    taken: set[str] = set()
    names = [unique(text, taken) for text in ("Image", "image", "Im/age", "Im age")]
    assert len({name.lower() for name in names}) == 4


@pytest.mark.parametrize(
    ("part", "side", "expected"), [(0.13, 64, 8), (0.77, 64, 49), (1.0, 1920, 1920), (0.1, 10, 1), (0.3, 10, 3)]
)
def test_pixels_are_cut_off_in_single_precision(part, side, expected):
    assert pixels(part, side) == expected
