from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peer.cli import bounds
from peer.cli.failures import CliError, Exit
from peer.cli.packing import Package, Packer, parse_rule
from peer.cli.tracing import Reference, Traced
from peer.render.driver.pathmap import MAP_NAME, PathMap, from_json
from tests.fuzzing import texts


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """show/shot/castle.blend, and files around it."""
    show = tmp_path / "show"
    for name in (
        "shot/castle.blend", "shot/tex/wall.1001.png", "shot/tex/wall.1002.png", "shot/tex/other.png", "sky/sky.hdr",
        "plates/p_01.exr", "plates/p_02.exr", "plates/q.exr", "lib/door.blend", "lib/maps/door.png",
        "lib/blendcache_door/1.bphys", "shot/blendcache_castle/2.bphys", "fluid/data/1.vdb", "strips/a.png", "strips/b.png",
        "strips/c.png", "osl/noise.osl", "osl/noise.oso",
    ):  # fmt: skip
        (show / name).parent.mkdir(parents=True, exist_ok=True)
        (show / name).write_bytes(name.encode())
    return show / "shot" / "castle.blend"


def packed(
    scene: Path, *references: Reference, rules: tuple[str, ...] = (), **traced: list[str]
) -> tuple[Package, PathMap | None]:
    packer = Packer(scene, [parse_rule(rule) for rule in rules])
    packer.add(Traced(references=list(references), asked=1, **traced))
    package = packer.package()
    found = package.files.pop(MAP_NAME, None)
    return package, from_json(found.data or b"") if found is not None else None


def image(raw: str, folder: Path, pick: str = "file", **more: object) -> Reference:
    return Reference("image", "Wall", raw, str(folder), pick, **more)  # type: ignore[arg-type]


def test_what_lies_below_the_scene_keeps_its_place_and_needs_no_map(shot: Path) -> None:
    package, paths = packed(shot, image("//tex/wall.<UDIM>.png", shot.parent, "tiles"))
    assert sorted(package.files) == ["blendcache_castle/2.bphys", "tex/wall.1001.png", "tex/wall.1002.png"]
    assert paths is None
    assert package.missing == []


def test_what_lies_elsewhere_goes_below_our_folder_and_onto_the_map(shot: Path) -> None:
    show = shot.parent.parent
    references = [
        image("//../sky/sky.hdr", shot.parent), image(str(show / "plates" / "p_01.exr"), shot.parent, "series"),
        Reference("library", "door", "//../lib/door.blend", str(shot.parent)), image("//maps/door.png", show / "lib"),
        Reference("fluid cache", "Pool", "//../fluid", str(shot.parent), "folder"),
        Reference("strip", "Cut", "//../strips/", str(shot.parent), "names", ("a.png", "c.png")),
        Reference("OSL shader", "Noise", "//../osl/noise.osl", str(shot.parent)),
    ]  # fmt: skip
    package, paths = packed(shot, *references)
    outside = {name.removeprefix(".rendermesh/files/0/") for name in package.files if name.startswith(".rendermesh/")}
    assert outside == {
        "sky/sky.hdr", "plates/p_01.exr", "plates/p_02.exr", "lib/door.blend", "lib/maps/door.png", "lib/blendcache_door/1.bphys",
        "fluid/data/1.vdb", "strips/a.png", "strips/c.png", "osl/noise.osl", "osl/noise.oso",
    }  # fmt: skip
    assert paths == PathMap(str(shot.parent), ((str(show), ".rendermesh/files/0"),))
    assert package.missing == []
    assert all(file.path.is_file() for file in package.files.values())


def test_a_path_of_windows_needs_a_rule(shot: Path) -> None:
    show = shot.parent.parent
    wall, door = image("C:\\Shows\\SKY\\sky.HDR", shot.parent), image("D:/x.png", shot.parent)
    package, _ = packed(shot, wall)
    assert package.missing == ["image 'Wall': C:\\Shows\\SKY\\sky.HDR"]
    package, paths = packed(shot, wall, door, rules=(f"c:\\shows={show}",))
    assert ".rendermesh/files/0/sky.hdr" in package.files
    assert package.missing == ["image 'Wall': D:/x.png"]
    assert paths is not None
    assert paths.name_of("C:/Shows/SKY/sky.HDR") == ".rendermesh/files/0/sky.HDR", "a peer looks in any case"
    package, paths = packed(shot, image("C:\\shows\\shot\\tex\\other.png", shot.parent), rules=(f"C:\\shows={show}",))
    assert "tex/other.png" in package.files
    assert paths is not None
    assert paths.name_of("C:/shows/shot/tex/other.png") == "tex/other.png"


@pytest.mark.parametrize(
    ("raw", "pick"), [("D:\\Shot\\TEX\\Wall.<UDIM>.PNG", "tiles"), ("D:\\shot\\Tex\\WALL.1000.png", "series")]
)
def test_tiles_and_sequences_of_windows_are_found_in_any_case(raw: str, pick: str, shot: Path) -> None:
    package, _ = packed(shot, image(raw, shot.parent, pick), rules=(f"D:\\={shot.parent.parent}",))
    assert {"tex/wall.1001.png", "tex/wall.1002.png"} <= set(package.files)
    assert package.missing == []


def test_blenders_own_files_are_not_sent(shot: Path) -> None:
    own = shot.parent.parent / "lib"
    package, paths = packed(shot, Reference("library", "e", str(own / "door.blend"), str(shot.parent)), own=[str(own)],
                            paths=[str(own / "maps" / "door.png")])  # fmt: skip
    assert list(package.files) == ["blendcache_castle/2.bphys"]
    assert paths == PathMap(str(shot.parent), (), (str(own),))


def test_only_what_is_needed_is_missed(shot: Path) -> None:
    package, _ = packed(shot, image("//no.png", shot.parent), image("//bake", shot.parent, "folder", needed=False),
                        image("odd.png", shot.parent))  # fmt: skip
    assert package.missing == ["image 'Wall': //no.png", "image 'Wall': odd.png"]


@pytest.mark.parametrize("place", ["//", "//..", "/", "~", "~/.."])
def test_no_scene_makes_a_whole_home_or_its_own_folder_a_cache(
    place: str, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "homes" / "ann"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_bytes(b"secret")
    monkeypatch.setenv("HOME", str(home))
    raw = place.replace("~", str(home))
    package, _ = packed(shot, image(raw, shot.parent, "folder"))
    assert list(package.files) == ["blendcache_castle/2.bphys"]
    assert len(package.missing) == 1
    assert package.missing[0].endswith(" is not sent; name what is needed with --asset)")
    package, _ = packed(shot, image(raw, shot.parent, "folder", needed=False))
    assert package.missing == []


def test_without_a_blender_the_tracer_is_believed_and_its_libraries_are_asked_about(shot: Path) -> None:
    show = shot.parent.parent
    packer = Packer(shot, [parse_rule(f"C:\\shows={show}")])
    packer.add(Traced(paths=[str(show / "lib" / "door.blend")], lost=["/gone.png", "C:/shows/sky/sky.hdr"], asked=1))
    assert packer.more() == [show / "lib" / "door.blend"]
    assert packer.more() == []
    package = packer.package()
    assert {"lib/door.blend", "sky/sky.hdr"} <= {name.removeprefix(".rendermesh/files/0/") for name in package.files}
    assert package.missing == ["/gone.png (no Blender is here to say what it is)"]


def test_more_than_a_job_may_have_is_refused(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ASSETS_MAX", 2)
    with pytest.raises(CliError, match="at most 2"):
        packed(shot, image("//tex/wall.<UDIM>.png", shot.parent, "tiles"))


@pytest.mark.parametrize("text", ["C:\\a", "=/tmp", "a=/tmp", "/a=", f"/a={os.sep}nowhere at all"])
def test_a_rule_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_rule(text)
    assert caught.value.exit_code is Exit.USAGE


@given(texts | st.builds("{}={}".format, texts, texts))
@example("C:\\shows=" + "x" * 5_000)
@example("C:\\shows=a\0b")
def test_any_rule_names_a_folder_or_is_refused(text: str) -> None:
    try:
        _, here = parse_rule(text)
    except CliError as error:
        assert error.exit_code is Exit.USAGE  # noqa: PT017 - either is right
    else:
        assert here.is_dir()
