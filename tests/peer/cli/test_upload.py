from pathlib import Path

import pytest

from peer.cli import bounds
from peer.cli.failures import CliError, Exit
from peer.cli.upload import with_assets
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def names(scene: Path, *assets: str) -> list[str]:
    return [file.name for file in with_assets(scene, assets)]


def test_relative_names_below_the_scenes_folder(scene: Path, tmp_path: Path) -> None:
    for name in ("textures/a.png", "textures/deep/b.png", "c=d.png"):
        path = scene.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert names(scene, "textures", "c=d.png") == ["castle.blend", "textures/a.png", "textures/deep/b.png", "c=d.png"]
    assert names(scene, f"tex={scene.parent / 'textures'}") == ["castle.blend", "tex/a.png", "tex/deep/b.png"]
    assert names(scene, f"win\\a.png={scene.parent / 'c=d.png'}") == ["castle.blend", "win/a.png"]


def test_relative_to_the_scene_also_from_another_folder(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scene.parent / "a.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert names(scene, "a.png") == ["castle.blend", "a.png"]


def test_an_asset_outside_is_told_how(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "sky.hdr").write_bytes(b"x")
    with pytest.raises(CliError) as caught:
        with_assets(scene, ["../sky.hdr"])
    assert caught.value.exit_code is Exit.USAGE
    assert "--asset textures/sky.hdr=../sky.hdr" in caught.value.remedy


def test_not_more_than_a_scene_may_have(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ASSETS_MAX", 1)
    (scene.parent / "a.png").write_bytes(b"x")
    with pytest.raises(CliError, match="more than 1 assets"):
        with_assets(scene, ["a.png"])


def test_a_host_that_refuses_us_is_found_out_before_the_scene_is_sent(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path
) -> None:
    mesh.token = "mk"
    assert peerctl("submit", scene).code == 4
    assert [seen.method for seen in mesh.seen] == ["GET"]
