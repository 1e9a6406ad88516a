from __future__ import annotations

from pathlib import Path

from peer.render.povray.findings import TEXT_CHARS_MAX, WARNINGS_MAX, warnings
from peer.render.povray.ini import read_ini
from peer.render.povray.plan import Plan
from peer.render.povray.references import Use, Walk


def found(*, ini: str = "", threads: int | None = None, lost: tuple[Use, ...] = (), **walk) -> list[tuple[str, str]]:
    plan = Plan(Path("/tree/a.pov"), [], read_ini(ini), threads=threads)
    return [(row["code"], row["kind"]) for row in warnings(plan, Walk(**walk), list(lost))]


def test_nothing_is_wrong_with_a_plain_scene():
    assert found(words={"radiosity"}) == []


def test_each_finding_has_its_code_and_class():
    missing = {Use("include", "a.inc"): None, Use("image", "C:\\b.png"): None}
    assert found(missing=missing, lost=(Use("include", "a.inc"), Use("file", "c"))) == [
        ("missing_include", "picture"), ("missing_image", "picture"), ("missing_file", "picture"),
    ]  # fmt: skip
    assert found(writes={"a.txt": None}) == [("writes_files", "picture")]
    assert found(ini="Pre_Frame_Command=x\nPost_Frame_Command=y") == [("refused_program", "picture"), ("refused_program", "info")]
    assert found(ini="Start_Row=3\n+SC2\nNonsense=1") == [("partial_picture", "picture"), ("unknown_option", "picture")]
    assert found(computed=3) == [("computed_names", "info")]
    assert found(threads=4, words={"radiosity"}) == [("not_comparable", "info")]


def test_a_place_of_another_machine_has_another_remedy():
    plan = Plan(Path("/tree/a.pov"), [], read_ini(""))
    [there] = warnings(plan, Walk(missing={Use("image", "../b.png"): None}), [])
    assert "in or below that" in there["remedy"]


def test_there_are_never_too_many_and_the_worst_come_first():
    many = {Use("image", f"{number}.png"): None for number in range(WARNINGS_MAX + 50)}
    listed = found(missing=many, computed=1)
    assert len(listed) == WARNINGS_MAX
    assert listed[-1] == ("more_warnings", "picture")


def test_a_name_without_an_end_is_cut():
    plan = Plan(Path("/tree/a.pov"), [], read_ini(""))
    [row] = warnings(plan, Walk(missing={Use("image", "x" * 1_000_000): None}), [])
    assert len(row["text"]) == TEXT_CHARS_MAX
