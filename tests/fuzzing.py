"""Input from outside, drawn at random: what the tests of decoders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

ErrorT = TypeVar("ErrorT", bound=Exception)
USUAL: Final = 100  # examples of a test that says nothing, in the profile of every day


def examples(count: int) -> settings:
    """So many examples in the profile of every day, and as many more in a wider one."""
    return settings(max_examples=max(1, count * settings().max_examples // USUAL))


def refused(read: Callable[..., Any], *given: Any, by: type[ErrorT]) -> ErrorT | None:
    """The documented error with which `read` refuses what it is given, None where it takes it. Any other error passes through."""
    try:
        read(*given)
    except by as error:
        return error
    return None


digits: st.SearchStrategy[str] = st.sampled_from(
    ["0", "00", "9" * 20, "1" + "0" * 400, "7" * 5_000, "-1", "+1", "1e999", "\u0661\u0662", "\u00b2", "1_0"]
)
odd_texts: st.SearchStrategy[str] = st.sampled_from(
    ["", " ", "\0", "\n", "a\r\nb", "\ud800", "\udcff", "\x85", "[", "[::1", "%", "%zz", "..", "/", "\\", '"', "x" * 5_000]
)
texts: st.SearchStrategy[str] = st.text(max_size=40) | digits | odd_texts
"""Any text, halves of surrogate pairs and thousands of digits among it."""

_atoms = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**400, -(10**400)]) | st.floats() | texts
)
json_values: st.SearchStrategy[Any] = st.recursive(
    _atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
"""Whatever `json.loads` may return, infinities included."""

deep_json: st.SearchStrategy[str] = st.builds(
    lambda depth, pair: pair[0] * depth + "1" + pair[1] * depth,
    st.sampled_from([20, 33, 120, 199, 260, 500, 930, 960, 985, 991, 2_000, 100_000]),
    st.sampled_from([("[", "]"), ('{"a":', "}")]),
)
"""One value inside many others: some that a reader takes, and some at which it gives up."""


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with a few bytes flipped, and perhaps cut short, doubled in part, or longer."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip" if data:
                data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
            case "cut":
                del data[draw(st.integers(0, len(data))) :]
            case "repeat":
                at = draw(st.integers(0, len(data)))
                data[at:at] = data[: draw(st.integers(0, len(data)))]
            case _:
                at = draw(st.integers(0, len(data)))
                data[at:at] = draw(st.binary(max_size=6))
    return bytes(data)


Place = tuple[Any, ...]  # the keys and positions that lead to a value


def places(whole: Any, here: Place = ()) -> list[Place]:
    """Where every value in lists and dicts stands, the whole itself included."""
    inside = whole.items() if isinstance(whole, dict) else enumerate(whole) if isinstance(whole, list) else ()
    return [here, *(place for key, value in inside for place in places(value, (*here, key)))]


def replaced(whole: Any, place: Place, value: Any) -> Any:
    """A copy of `whole` in which another value stands in that place; GONE: none."""
    if not place:
        return value
    copy = whole.copy()
    if len(place) == 1 and value is GONE:
        del copy[place[0]]
    else:
        copy[place[0]] = replaced(whole[place[0]], place[1:], value)
    return copy


GONE: Final = object()


@st.composite
def spoilt(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with up to two of its values taken out, or replaced by something else that JSON can say."""
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(places(whole)))
        foreign = draw(st.just(GONE) | json_values if place else json_values)
        whole = replaced(whole, place, foreign)
    return whole
