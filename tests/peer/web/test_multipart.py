from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.multipart import parse_disposition
from peer.web.problems import Refused
from tests.fuzzing import changed, examples, refused, texts
from tests.peer.web.conftest import Farm


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('form-data; name="scene"; filename="a.blend"', ("scene", "a.blend")),
        ("form-data; name=frames", ("frames", None)),
        ('form-data;name="asset";filename="textures/wood.png"', ("asset", "textures/wood.png")),
        ('form-data; filename="/etc/passwd"; name="asset"', ("asset", "/etc/passwd")),
        (r'form-data; name="asset"; filename="a \"b\" \\c.png"', ("asset", r'a "b" \c.png')),
        (r'form-data; name="asset"; filename="C:\new\x.png"', ("asset", r"C:\new\x.png")),
        (r'form-data; name="asset"; filename="a \"b\" %22.png"', ("asset", 'a "b" %22.png')),
        ('form-data; name="asset"; filename="a; b=c.png"', ("asset", "a; b=c.png")),
        ('form-data; name="asset"; filename="a %22b%22 100%25.png"', ("asset", 'a "b" 100%25.png')),
        ('Form-Data; NAME="x"; filename="é.png"; filename*=UTF-8\'\'e.png', ("x", "é.png")),
        ('form-data; name="x"; filename="one"; filename="two"', ("x", "one")),
    ],
)
def test_dispositions(header: str, expected: tuple[str, str | None]):
    assert parse_disposition(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "attachment; name=x",
        "form-data",
        'form-data; filename="a"',
        'form-data; name="a',
        "form-data; name",
        'form-data; name="x"; filename="\udcd9"',
    ],
)
def test_dispositions_that_say_nothing(header: str):
    with pytest.raises(Refused) as caught:
        parse_disposition(header)
    assert (caught.value.status, caught.value.code) == (400, "bad_form")


HEADER = st.one_of(
    changed(rb'form-data; name="asset"; filename="te\"x/w\\ood%22.png"; x=y').map(
        lambda data: data.decode("utf-8", "surrogateescape")
    ),
    st.lists(texts | st.sampled_from(["form-data;", "name=", "filename=", '"', ";", "\\", "="])).map("".join),
)


@examples(200)
@given(HEADER)
def test_any_header_names_a_part_or_is_a_bad_form(header: str):
    error = refused(parse_disposition, header, by=Refused)
    if error is None:
        assert all(value.encode() is not None for value in parse_disposition(header) if value is not None)
    else:
        assert (error.status, error.code) == (400, "bad_form")


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="frames"\r\n\r\n1-3\r\n'
    b'--B\r\nContent-Disposition: form-data; name="scene"; filename="a.blend"\r\nContent-Length: 7\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nBLENDER\r\n"
    b'--B\r\nContent-Disposition: form-data; name="renderer"\r\n\r\nnull\r\n--B--\r\n'
)


def broken(dice: random.Random) -> bytes:
    """The form with a few bytes changed, lost, added or said again."""
    body = bytearray(FORM)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(body))
        match dice.randrange(4):
            case 0:
                body[at] = dice.randrange(256)
            case 1:
                del body[at : at + dice.randint(1, 30)]
            case 2:
                body[at:at] = dice.randbytes(dice.randint(1, 10))
            case _:
                body[at:at] = body[dice.randrange(len(body)) :][: dice.randint(1, 60)]
    return bytes(body)


async def test_broken_forms_are_the_client_s_fault_never_ours(farm: Farm):
    peer = await farm.add("one", body_grace_s=1.0)
    url = peer.client.make_url("/")
    dice = random.Random(7)
    statuses: set[bytes] = set()
    for _ in range(200):
        body = broken(dice)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        statuses.add(answer.split(b" ")[1])
    assert statuses <= {b"202", b"400", b"422"}
    assert {b"400", b"422"} <= statuses
