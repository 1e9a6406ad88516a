import tracemalloc
from pathlib import Path

import pytest

from peer.cli.failures import CliError
from peer.cli.multipart import FilePart, Form


def test_the_length_is_what_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 700_000)
    (tmp_path / "b").write_bytes(b"")
    form = Form(
        [("name", "größe"), ("label", "a=b")],
        [FilePart("scene", "é.blend", tmp_path / "a"), FilePart("asset", "t/b", tmp_path / "b")],
    )
    seen: list[int] = []
    body = b"".join(form.chunks(seen.append))
    assert len(body) == form.length
    assert body == b"".join(form.chunks()), "another try sends the same"
    assert (seen[0], seen[-1], form.file_bytes) == (0, 700_000, 700_000)
    assert body.index("größe".encode()) < body.index(b"xxxx")


def test_memory_is_bounded_however_large_the_scene(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    form = Form([], [FilePart("scene", "large.blend", large)])
    tracemalloc.start()
    try:
        sent = sum(len(chunk) for chunk in form.chunks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent == form.length
    assert peak < 4 * 2**20


@pytest.mark.parametrize("change", [b"longer than before", b"s"])
def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path, change: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    form = Form([], [FilePart("scene", "a.blend", path)])
    path.write_bytes(change)
    with pytest.raises(CliError, match="changed while it was sent"):
        list(form.chunks())


@pytest.mark.parametrize("name", ["a\r\nb", "a\x00", "a\udcff", "a%22", "%0D"])
def test_names_that_cannot_travel(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(CliError, match="file name"):
        Form([], [FilePart("scene", name, tmp_path / "a")])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="cannot read"):
        Form([], [FilePart("scene", "a", tmp_path)])
