from __future__ import annotations

from protocol.errors import Conflict, IllegalTransition, Refusal, Unavailable


def test_a_refusal_has_a_code_a_sentence_and_perhaps_a_time():
    refused = Unavailable("store_full", "the disk is full", retry_after_s=30)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.message, refused.retry_after_s) == ("store_full", "the disk is full", 30)
    assert str(Conflict("key_reused", "use a new key")) == "use a new key"


def test_our_own_mistakes_are_assertions():
    assert issubclass(IllegalTransition, AssertionError)
