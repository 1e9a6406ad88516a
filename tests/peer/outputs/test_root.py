from __future__ import annotations

from pathlib import Path

import pytest

from peer.outputs.root import Judge
from peer.ports import RenderFailed, VerifiedFile
from protocol.jobs.parcels import Parcel
from protocol.jobs.results import Failure, Output
from tests.fakes.memory_store import digest_of
from tests.peer.outputs.bench import Texts

OUTPUT = Output("main", "0001.png", digest_of(b"red:1"), digest_of(b"red"), 5, 4, 4, 3, "PNG")
PARCEL = Parcel(1, 2, ("a.png",), (OUTPUT,), (digest_of(b"green"),))


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.mark.parametrize(
    ("there", "finding"), [(b"red:2", "ours"), (b"green:1", "older"), (b"blue:1", "foreign"), (b"no picture", "foreign")]
)
async def test_pixels_say_what_a_file_is(there: bytes, finding: str, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(there)
    assert await Judge(Texts()).find(path, PARCEL, OUTPUT, has_bytes=no) == finding


async def test_equal_bytes_need_no_look_and_what_is_no_plain_file_gets_none(tmp_path: Path):
    nothing = tmp_path / "nothing"
    assert await Judge(Texts()).find(nothing, PARCEL, OUTPUT, has_bytes=yes) == "ours"
    assert await Judge(Texts()).find(nothing, PARCEL, OUTPUT, has_bytes=no, is_plain=False) == "foreign"


async def test_who_could_not_look_says_so(tmp_path: Path):
    class Broken(Texts):
        async def verify(self, files: object) -> list[VerifiedFile]:
            raise RenderFailed(Failure("infrastructure", "the child did not start"))

    with pytest.raises(OSError, match="did not start"):
        await Judge(Broken()).find(tmp_path, PARCEL, OUTPUT, has_bytes=no)
