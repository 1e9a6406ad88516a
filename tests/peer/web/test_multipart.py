from __future__ import annotations

import pytest

from peer.web.multipart import parse_disposition
from peer.web.problems import Refused


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('form-data; name="scene"; filename="a.blend"', ("scene", "a.blend")),
        ("form-data; name=frames", ("frames", None)),
        ('form-data;name="asset";filename="textures/wood.png"', ("asset", "textures/wood.png")),
        ('form-data; filename="/etc/passwd"; name="asset"', ("asset", "/etc/passwd")),
        (r'form-data; name="asset"; filename="a \"b\" \\c.png"', ("asset", r'a "b" \c.png')),
        (r'form-data; name="asset"; filename="C:\new\x.png"', ("asset", r"C:\new\x.png")),
        ('form-data; name="asset"; filename="a; b=c.png"', ("asset", "a; b=c.png")),
        ('form-data; name="asset"; filename="a %22b%22 100%25.png"', ("asset", 'a "b" 100%25.png')),
        ('Form-Data; NAME="x"; filename="é.png"; filename*=UTF-8\'\'e.png', ("x", "é.png")),
        ('form-data; name="x"; filename="one"; filename="two"', ("x", "one")),
    ],
)
def test_dispositions(header: str, expected: tuple[str, str | None]):
    assert parse_disposition(header) == expected


@pytest.mark.parametrize(
    "header", ["", "attachment; name=x", "form-data", 'form-data; filename="a"', 'form-data; name="a', "form-data; name"]
)
def test_dispositions_that_say_nothing(header: str):
    with pytest.raises(Refused) as caught:
        parse_disposition(header)
    assert (caught.value.status, caught.value.code) == (400, "bad_form")
