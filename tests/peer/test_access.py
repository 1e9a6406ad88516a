from __future__ import annotations

from dataclasses import replace

import pytest

from peer.access import Caller, KeyVerifier, Verifier, draw_key, first_of, key_of
from protocol.access.keys import KeyRecord, parse_key


def record_of(drawn, **changes) -> KeyRecord:
    return replace(KeyRecord(drawn.id, "alice", "submitter", drawn.hash, 1), **changes)


def test_a_key_that_was_drawn_is_genuine_while_its_record_is_here_and_valid():
    drawn = draw_key()
    records = {drawn.id: record_of(drawn)}
    verifier = KeyVerifier(records.get)
    assert verifier.verify(drawn.text) == Caller("submitter", "alice", drawn.id)
    records[drawn.id] = record_of(drawn, revoked=True)
    assert verifier.verify(drawn.text) is None
    del records[drawn.id]
    assert verifier.verify(drawn.text) is None


def test_another_secret_under_a_known_id_is_refused():
    drawn, other = draw_key(), draw_key()
    verifier = KeyVerifier({drawn.id: record_of(drawn)}.get)
    assert verifier.verify(f"mk_{drawn.id}_{other.text.rpartition('_')[2]}") is None


@pytest.mark.parametrize("text", ["", "mk_", "x", "mk_\udcff_", "ü" * 60, "eyJhbGciOiJub25lIn0.e30.", "\x00" * 60])
def test_text_that_is_no_key_is_refused(text: str):
    assert KeyVerifier(lambda _: None).verify(text) is None


def test_what_is_drawn_never_comes_twice_and_can_be_made_again_of_its_parts():
    one, two = draw_key(), draw_key()
    assert one.id != two.id
    assert one.hash != two.hash
    parsed = parse_key(one.text)
    assert parsed is not None
    assert key_of(*parsed) == one


def test_a_key_does_not_show_itself():
    drawn = draw_key()
    secret = drawn.text.rpartition("_")[2]
    assert secret not in repr(drawn)
    assert secret not in f"{drawn} {[drawn]}"


def test_the_submitter_of_a_key_is_its_alone():
    assert Caller("submitter", "alice", "01" * 8).submitter == "alice/" + "01" * 8
    assert Caller("admin", "local", None).submitter == "local"


def test_the_first_verifier_that_knows_a_text_counts():
    class Knows:
        def verify(self, text: str) -> Caller | None:
            return Caller("viewer", text, None) if text == "jwt" else None

    verifiers: list[Verifier] = [KeyVerifier(lambda _: None), Knows()]
    assert first_of(verifiers, "jwt") == Caller("viewer", "jwt", None)
    assert first_of(verifiers, "other") is None
