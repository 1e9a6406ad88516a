from __future__ import annotations

from pathlib import Path

import pytest

from peer.render.plugins import PORT, Installed, Plugin
from peer.scenes import Scenes
from protocol.cards import PeerCard
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities


def slate(path: Path, versions) -> tuple[int, int]:
    if not versions:
        raise Invalid("not_a_slate", "nobody has a slate")
    return 1, 2


PLUGINS = Installed({"slate": Plugin(PORT, "slate", lambda *_: [], slate, (".slate",))})


def card(*renderers: str) -> PeerCard:
    able = tuple(Capabilities(name, "1.2.3", "built", "program") for name in renderers)
    return PeerCard(name="oak", url="http://127.0.0.1:7700", version="1", slots_total=1, slots_free=1, capabilities=able)


def test_a_job_may_name_what_is_installed_here_and_what_any_peer_has():
    scenes = Scenes(PLUGINS, lambda: [card("arnold", "slate"), None])
    assert scenes.renderers() == ("slate", "arnold")
    assert (scenes.renderer_of("a.slate"), scenes.renderer_of("a.ass")) == ("slate", None)


def test_the_plugin_judges_by_the_versions_in_the_mesh():
    assert Scenes(PLUGINS, lambda: [card("slate")]).check("slate", Path("a.slate")) == (1, 2)
    with pytest.raises(Invalid, match="nobody has a slate"):
        Scenes(PLUGINS, lambda: [card("arnold")]).check("slate", Path("a.slate"))
    with pytest.raises(Invalid, match="nobody has a slate"):
        Scenes(PLUGINS, list).check_default(Path("a.slate"))


def test_what_only_others_can_judge_is_left_to_them():
    assert Scenes(PLUGINS, lambda: [card("arnold")]).check("arnold", Path("a.ass")) is None
