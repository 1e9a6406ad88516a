import pytest

from peer.cli.tables import bar, octets, short, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (True, ""), (-1, ""), (0.25, "0.2 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), ("x", "")],
)
def test_spans(seconds: object, text: str) -> None:
    assert span(seconds) == text


def test_bars_stay_within_their_cells() -> None:
    assert bar(0) == "..........   0 %"
    assert bar(0.55) == "#####.....  55 %"
    assert bar(7) == "########## 100 %"
    assert bar(-1) == bar(0)
    assert bar(0.999) == "#########.  99 %"


def test_octets_and_ids() -> None:
    assert [octets(size) for size in (0, 912, 1_400_000, 5e15)] == ["0 B", "912 B", "1.4 MB", "5000.0 TB"]
    assert short("ab" * 32) == "ab" * 6
