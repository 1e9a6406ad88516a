from __future__ import annotations

import pytest

from peer.render.signatures import described, looks_like


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"\x00" * 64, "zeros"),
        (b"BLENDER-v304", "blend"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\x89PNG\n\x1a\n", "unknown"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8L", "webp"),
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"  \n<HTML>", "html"),
        (b"plain words\r\n", "text"),
        (b"caf\xc3\xa9", "unknown"),
    ],
)
def test_the_first_bytes_tell(head, kind):
    assert looks_like(head) == kind


def test_every_kind_can_be_said_to_people():
    assert described("png") == "a PNG image"
    assert described("never heard of") == "data of an unknown kind"
