from typing import Any

import pytest

from peer.cli.peerview import COLUMNS, FIELDS, checks_text, idle_because, mesh_word, renderers_text, sandbox_text


def peer(**more: Any) -> dict[str, Any]:
    return {
        "id": "ab" * 32,
        "name": "r1",
        "state": "alive",
        "capabilities": [{"renderer": "blender", "version": "5.0.1"}],
        "checks": [],
        **more,
    }


def test_a_word_for_the_mesh() -> None:
    assert mesh_word([peer(), peer()]) == ("healthy", "2 of 2 peers alive")
    assert mesh_word([peer(), peer(name="r2", state="suspect")]) == ("degraded", "1 of 2 peers alive; r2 is suspect")
    assert mesh_word([peer(), peer(state="left")])[0] == "healthy"
    assert mesh_word([peer(capabilities=[])])[0] == "critical"
    assert mesh_word([])[0] == "critical"
    ailing = peer(checks=[{"name": "disk", "status": "critical", "output": "2 % free"}])
    assert mesh_word([ailing]) == ("degraded", "1 of 1 peers alive; r1: disk critical (2 % free)")


def test_of_a_peer_that_is_gone_nothing_is_shown_that_is_not_so_any_more() -> None:
    now = {column.title: column for column in COLUMNS}
    for state, shown in ("alive", ["1/1", "passing"]), ("suspect", ["1/1", "passing"]), ("dead", ["", ""]), ("left", ["", ""]):
        row = peer(state=state, slots={"total": 1, "free": 0}, checks=[{"name": "a", "status": "passing"}])
        assert [now[title].value(row) for title in ("BUSY", "CHECKS")] == shown


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        ([], ""),
        ([{"name": "a", "status": "passing"}], "passing"),
        ({"a": "passing", "b": "warning"}, "b warning"),
        ({"a": {"status": "critical"}}, "a critical"),
        ({"checks": [{"id": "a", "status": "critical"}]}, "a critical"),
        (None, ""),
    ],
)
def test_checks_in_every_shape(checks: Any, text: str) -> None:
    assert checks_text({"checks": checks}) == text


def test_renderers_are_named_once() -> None:
    rows = [{"renderer": "blender", "version": "5.0.1"}, {"renderer": "blender", "version": "5.0.1"}, {"renderer": "null"}]
    assert renderers_text({"capabilities": rows}) == "blender 5.0.1, null"
    assert renderers_text({"capabilities": {"renderers": rows}}) == "blender 5.0.1, null"
    assert renderers_text({}) == "none"


def test_the_weakest_sandbox_of_a_peer_is_told() -> None:
    assert sandbox_text({"capabilities": [{"sandbox": "bwrap"}, {"sandbox": "landlock"}]}) == "landlock"
    assert sandbox_text({"capabilities": [{"renderer": "blender"}]}) == "none"  # an older peer
    assert sandbox_text({}) == ""


def test_a_peer_with_nothing_in_it_is_shown() -> None:
    for column in (*COLUMNS, *FIELDS):
        assert isinstance(column.value({}), str)
    assert {column.title: column.value({"rtt_ms": 0.44, "labels": ["a=b"]}) for column in FIELDS}["RTT"] == "0.4 ms"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, []),
        ({"state": "suspect"}, []),
        ({"state": "dead"}, ["it is dead"]),
        ({"draining": True}, ["peerctl undrain oak"]),
        ({"slots": {"total": 0, "free": 0}}, ["no slots"]),
        ({"capabilities": [], "renderer_reasons": ["bpy is not installed"]}, ["no renderer: bpy is not installed"]),
        ({"checks": [{"name": "disk", "status": "critical", "output": "full"}]}, ["check disk is critical (full)"]),
        (
            {"checks": [{"name": "pixels", "status": "critical", "output": "wrong"}]},
            ["(wrong); once it renders rightly: peerctl readmit oak"],
        ),
        ({"checks": [{"name": "disk", "status": "warning", "output": "90 %"}]}, []),
        ({"state": "left", "draining": True}, ["it is left", "it drains"]),
    ],
)
def test_why_a_peer_takes_no_work(changes: dict[str, object], why: list[str]) -> None:
    seen = {
        "id": "a" * 64,
        "name": "oak",
        "state": "alive",
        "slots": {"total": 1, "free": 1},
        "capabilities": [{"renderer": "null", "version": "1"}],
        "checks": [],
        "draining": False,
        **changes,
    }
    found = idle_because(seen)
    assert len(found) == len(why)
    assert all(part in text for part, text in zip(why, found, strict=True))
