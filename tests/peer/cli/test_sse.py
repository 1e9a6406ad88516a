import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from peer.cli import bounds, sse
from peer.cli.sse import ServerEvent


def read(data: bytes, *, size: int = 1000) -> list[ServerEvent]:
    return list(sse.events(sse.lines(data[at : at + size] for at in range(0, len(data), size))))


def test_fields_comments_and_several_lines() -> None:
    data = b": hello\nid: 7\nevent: frame_done\ndata: a\ndata:b\nretry: 10\n\ndata\n\n: beat\n\nid: 8\ndata: unfinished"
    assert read(data) == [ServerEvent("7", "frame_done", "a\nb"), ServerEvent("7", "message", "")]


def test_an_id_with_a_null_is_ignored() -> None:
    assert read(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1].id == "1"


def test_an_event_beyond_the_limit_is_dropped_and_the_next_is_read() -> None:
    line = b"data: " + b"x" * 1000 + b"\n"
    data = line * (bounds.EVENT_BYTES_MAX // 1000 + 2) + b"\ndata: small\n\n"
    assert [event.data for event in read(data, size=65536)] == ["small"]


@given(st.integers(1, 9), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_chunks_may_end_anywhere(size: int, end: bytes) -> None:
    data = b"id: 1\nevent: e\ndata: \xc3\xa9\n\nid: 2\ndata: x\n\ndata: y\n\n".replace(b"\n", end) + b": end\n"
    assert [(event.id, event.data) for event in read(data, size=size)] == [("1", "é"), ("2", "x"), ("2", "y")]


@given(st.binary(max_size=200))
def test_garbage_never_raises(data: bytes) -> None:
    read(data, size=7)


def test_a_stream_that_never_ends_its_line_is_not_kept() -> None:
    """Each piece might be the first half of CR LF."""
    chunks = (b"x" * 65_535 + b"\r" for _ in range(200))
    tracemalloc.start()
    try:
        for _ in sse.lines(chunks):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * bounds.EVENT_BYTES_MAX


def test_a_long_line_in_small_pieces_is_searched_once() -> None:
    """Searched again with each piece it would take minutes."""
    pieces = [b"data: ", *[b"x"] * (bounds.EVENT_BYTES_MAX - 100), b"\r", b"\n", b"\n"]
    assert [len(event.data) for event in sse.events(sse.lines(pieces))] == [bounds.EVENT_BYTES_MAX - 100]
