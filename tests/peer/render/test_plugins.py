"""Plug-ins by their entry points: real distributions on the path, good and broken ones."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from peer.render.null import NullRenderer
from peer.render.plugins import GROUP, PORT, Installed, Plugin, installed_words, load_plugins
from protocol.errors import Invalid

GOOD = """
from peer.render.null import NullRenderer
from peer.render.plugins import Plugin

PLUGIN = Plugin(%d, "slate", lambda options, around, named: [[NullRenderer()]], suffixes=(".slate",))
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a distribution of one module with one entry point; its words are those of every other one too."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(word: str, code: str, attribute: str = "PLUGIN") -> None:
        module = f"plugin_{word}"
        (tmp_path / f"{module}.py").write_text(code)
        folder = tmp_path / f"renderer_{word}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: renderer-{word}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{word} = {module}:{attribute}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_our_own_renderers_are_plugins_like_any_other():
    found = load_plugins()
    assert {"blender", "bpy", "null", "povray"} <= set(found.plugins)
    assert found.faults == {}
    assert found.renderers == ("blender", "null", "povray")
    assert set(found.words) == set(installed_words())
    assert [found.renderer_of(name) for name in ("a.blend", "a.POV", "deep/a.ini", "a.txt", "pov")] == [
        "blender", "povray", "povray", None, None,
    ]  # fmt: skip


def test_a_plugin_of_another_distribution_is_found_beside_ours(distribution):
    distribution("slate", GOOD % PORT)
    found = load_plugins()
    assert isinstance(found.plugins["slate"], Plugin)
    assert found.renderer_of("board.slate") == "slate"
    assert isinstance(found.plugins["slate"].candidates(None, None, True)[0][0], NullRenderer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import there_is_no_such_module", "the plug-in of renderer-bad cannot be loaded (ModuleNotFoundError: "),
        ("raise SystemExit('go away')", "cannot be loaded (SystemExit: go away); mend or remove that package"),
        ("PLUGIN = 1 / 0", "cannot be loaded (ZeroDivisionError: "),
        ("OTHER = 1", "cannot be loaded (AttributeError: "),
        ("PLUGIN = object()", f"is no plug-in, and this peer has version {PORT}; install a version that fits"),
        (GOOD % (PORT + 1), f"is made for version {PORT + 1} of the port for renderers, and this peer has version {PORT}"),
        (f"class PLUGIN: port = {PORT}", "is a type and no plug-in"),
        ("from peer.render.plugins import Plugin\nPLUGIN = Plugin(1, colour=3)", "cannot be loaded (TypeError: "),
    ],
)
def test_a_broken_plugin_is_skipped_with_a_sentence(distribution, code, text):
    distribution("bad", code)
    found = load_plugins()
    assert text in found.faults["bad"]
    assert "renderer-bad" in found.faults["bad"]
    assert "bad" not in found.plugins
    assert "blender" in found.plugins
    assert "bad" in found.words


def test_of_two_plugins_with_one_word_the_first_stays():
    [null] = [point for point in entry_points(group=GROUP) if point.name == "null"]
    found = load_plugins([null, EntryPoint("null", "nowhere:NOTHING", GROUP)])
    assert found.plugins["null"].renderer == "null"
    assert found.faults == {}


def test_a_scene_is_checked_by_its_own_renderer_alone(tmp_path):
    def check(path, versions):
        raise Invalid("not_a_slate", f"{path.name} {versions}")

    found = Installed({"slate": Plugin(PORT, "slate", lambda *_: [], check)})
    with pytest.raises(Invalid, match=r"a\.slate"):
        found.check_scene("slate", tmp_path / "a.slate", ["1.0"])
    assert found.check_scene("unheard", tmp_path / "a.slate", []) is None
