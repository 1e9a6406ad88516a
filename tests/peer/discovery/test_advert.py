"""What a peer tells of itself, and what is believed of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.discovery.advert import Heard, mesh_prefix, read_fields, read_txt, usable
from protocol import limits
from protocol.ids import Address
from protocol.wire.seal import MeshKey
from tests.peer.discovery.adverts import MESH, make_advert, make_id

KEY = MeshKey(b"i" * 16, b"k" * 32)


def prefix(key: MeshKey) -> str:
    return mesh_prefix(key.subkey(b"discovery"))


def test_a_mesh_is_known_by_its_key_and_its_name_and_gives_neither_away():
    others = [MeshKey(b"i" * 16, b"l" * 32), MeshKey(b"j" * 16, b"k" * 32), replace(KEY, name="demo")]
    assert len({prefix(key) for key in (KEY, *others)}) == 4
    assert len(prefix(KEY)) == 16
    assert prefix(KEY) not in KEY.key.hex() + KEY.mesh_hint.hex()


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("oak", "oak"),
        ("Oak.example.org", "oak"),
        ("render box_1", "render-box-1"),
        ("...", "peer"),
        ("Ä", "peer"),
        ("x" * 63, "x" * limits.ADVERT_LABEL_CHARS_MAX),
    ],
)
def test_the_instance_is_one_label_with_the_short_name_and_the_id(name: str, short: str):
    advert = make_advert(name=name)
    assert advert.label == f"{short}-{advert.peer[:8]}"
    assert len(advert.label) <= 63


def test_the_record_holds_these_fields_and_no_others():
    advert = make_advert(port=7711)
    assert advert.fields() == {
        "txtvers": "1", "id": advert.peer, "ep": "3", "m": MESH, "v": "0.1.0", "gp": "7711", "tls": "0",
    }  # fmt: skip
    assert all(len(key) + len(value) <= limits.ADVERT_FIELD_BYTES_MAX for key, value in advert.fields().items())


def test_what_one_tells_another_reads():
    advert = make_advert(port=7711)
    txt: dict[bytes, bytes | None] = {key.encode(): value.encode() for key, value in advert.fields().items()}
    assert read_fields(read_txt(txt), port=1, mesh_required=True) == Heard(advert.peer, MESH, 7711)


@pytest.mark.parametrize(
    "change",
    [
        {"txtvers": "2"},
        {"id": "ab"},
        {"id": "G" * 64},
        {"m": "short"},
        {"gp": "0"},
        {"gp": "70000"},
        {"gp": "-1"},
        {"gp": ""},
        {"gp": "٣"},
        {"gp": "9" * 5_000},
    ],
)
def test_odd_fields_are_nobody(change: dict[str, str]):
    assert read_fields(make_advert().fields() | change, port=7700, mesh_required=True) is None


@pytest.mark.parametrize("missing", ["id", "m"])
def test_a_record_without_id_or_mesh_is_nobody(missing: str):
    fields = make_advert().fields()
    del fields[missing]
    assert read_fields(fields, port=7700, mesh_required=True) is None


def test_a_source_that_says_nothing_of_meshes_may_leave_it_out():
    peer = make_id()
    assert read_fields({"id": peer}, port=81, mesh_required=False) == Heard(peer, None, 81)
    assert read_fields({"id": peer}, port=None, mesh_required=False) is None


def test_txt_entries_that_are_no_text_of_ours_are_left_out():
    odd: dict[bytes, bytes | None] = {b"a": None, b"\xff": b"x", b"b": b"\xff", b"c": b"x" * 300, b"GP": b"1", b"": b""}
    assert read_txt(odd) == {"gp": "1", "": ""}


@given(st.dictionaries(st.binary(max_size=300), st.none() | st.binary(max_size=300), max_size=20), st.none() | st.integers())
def test_no_record_raises(properties: dict[bytes, bytes | None], port: int | None):
    read_fields(read_txt(properties), port=port, mesh_required=False)


@pytest.mark.parametrize(
    ("host", "bind", "loopback", "good"),
    [
        ("10.0.0.5", "0.0.0.0", False, True),
        ("10.0.0.5", "::", False, False),
        ("fd00::5", "::", False, True),
        ("fd00::5", "0.0.0.0", False, False),
        ("127.0.0.1", "0.0.0.0", False, False),
        ("127.0.0.1", "127.0.0.1", True, True),
        ("::1", "::1", True, True),
        ("fe80::1", "::", False, False),
        ("fe80::1%eth0", "::", False, False),
        ("0.0.0.0", "0.0.0.0", True, False),
        ("224.0.0.1", "0.0.0.0", True, False),
        ("169.254.1.1", "0.0.0.0", False, False),
        ("oak", "0.0.0.0", True, False),
        ("", "0.0.0.0", True, False),
    ],
)
def test_addresses_that_cannot_be_sent_to_are_left_out(host: str, bind: str, loopback: bool, good: bool):
    assert usable((host,), 7700, bind=bind, loopback=loopback) == ((Address(host, 7700),) if good else ())


def test_no_record_floods_us_with_addresses():
    many = [f"10.{a}.{b}.1" for a in range(4) for b in range(256)]
    assert len(usable(many + many, 1, bind="0.0.0.0", loopback=False)) == limits.ADDRESSES_PER_SEED_MAX
