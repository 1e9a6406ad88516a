from __future__ import annotations

from peer.render.driver.refusal import Refused, choices


def test_a_refusal_carries_its_class_and_a_sentence():
    refused = Refused("scene", "the scene has no camera")
    assert (refused.kind, str(refused)) == ("scene", "the scene has no camera")


def test_choices_are_sorted_and_bounded():
    assert choices(["b", "a"]) == "a, b"
    assert choices([]) == "none at all"
    assert choices([f"{number:03d}" for number in range(25)]).endswith("019 and 5 more")
