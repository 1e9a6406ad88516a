import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.render.driver import pathmap
from peer.render.driver.pathmap import BadMap, PathMap, below, common_root, drive_of, from_json, joined, meant, plain, to_json
from tests.fuzzing import changed, deep_json, examples, json_values, refused, spoilt

SHOT = PathMap(
    "/home/ada/shot",
    (("/home/ada", ".rendermesh/files/0"), ("C:/shows", ".rendermesh/files/1"), ("//nas/shows/tex", ".rendermesh/files/2")),
    ("/usr/share/blender",),
)
ROWS = json.loads(to_json(SHOT))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/a//b/./c/../d/", "/a/b/d"), ("//a/b", "/a/b"), ("/", "/"), ("/..", "/"), ("c:\\a\\..\\b", "C:/b"), ("C:/", "C:/"),
        ("D:", "D:/"), ("\\\\nas\\shows\\a", "//nas/shows/a"), ("a/b", None), ("", None), ("C:a", None), ("\\a", None),
    ],
)  # fmt: skip
def test_a_place_has_one_plain_form(place, said):
    assert plain(place) == said


@pytest.mark.parametrize(
    ("raw", "folder", "place"),
    [
        ("//a.png", "/shot", "/shot/a.png"), ("//../tex\\a.png", "/show/shot", "/show/tex/a.png"),
        ("//..\\..\\..\\a", "C:/show/shot", "C:/a"), ("//../a", "//nas/show/shot", "//nas/show/a"), ("/a.png", "/shot", "/a.png"),
        ("C:\\a.png", "/shot", "C:/a.png"), ("\\\\nas\\a\\b", "/shot", "//nas/a/b"), ("a.png", "/shot", None),
    ],
)  # fmt: skip
def test_a_path_of_a_blend_means_a_place(raw, folder, place):
    assert meant(raw, folder) == place


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/ada/shot/tex/a.png", "tex/a.png"), ("/home/ada/shot", ""), ("/home/ada/shots/a", ".rendermesh/files/0/shots/a"),
        ("c:/SHOWS/Tex/A.png", ".rendermesh/files/1/Tex/A.png"), ("//NAS/shows/tex/a", ".rendermesh/files/2/a"),
        ("/home/eve/a", None), ("D:/shows/a", None), ("/HOME/ada/a", None),
    ],
)  # fmt: skip
def test_the_deepest_root_names_what_lay_below_it(place, name):
    assert SHOT.name_of(place) == name


def test_where_a_name_came_from():
    assert SHOT.place_of("tex/a.png") == "/home/ada/shot/tex/a.png"
    assert SHOT.place_of(".rendermesh/files/1/a/b") == "C:/shows/a/b"
    assert SHOT.place_of(".rendermesh/files/2") == "//nas/shows/tex"
    assert SHOT.own_rest("/usr/share/blender/datafiles/a.blend") == "datafiles/a.blend"
    assert SHOT.own_rest("/usr/share/blenders") is None


def test_folders_in_common():
    assert common_root(["/a/b/c", "/a/b"]) == "/a/b"
    assert common_root(["C:/a/b", "C:/a/c"]) == "C:/a"
    assert common_root(["//nas/s/a", "//nas/s/b"]) == "//nas/s/"
    assert common_root(["/a", "/b"]) == "/"
    assert [drive_of(place) for place in ("/a", "C:/a", "//NAS/Show/a")] == ["", "c:", "//nas/show"]
    assert below("/a", "/") == "a"


@pytest.mark.parametrize(
    ("name", "kin", "others"),
    [
        ("a.<UDIM>.png", ["a.1001.png", "a.1999.png"], ["a.1.png", "a.10010.png", "b.1001.png"]),
        ("a<UVTILE>.exr", ["au1_v12.exr"], ["a1001.exr"]),
        ("plate_0001.png", ["plate_1.png", "plate_123456.png"], ["plate_a.png", "plate_0001.exr", "xplate_0001.png"]),
        ("shot2_v3_010_left.exr", ["shot2_v3_999_left.exr"], ["shot3_v3_010_left.exr"]),
        ("a.b+1.png", ["a.b+22.png"], ["aXb+1.png"]),
    ],
)
def test_the_names_of_a_series(name, kin, others):
    series = pathmap.series_of(name)
    assert series is not None
    assert all(series.match(near) for near in kin)
    assert not any(series.match(near) for near in others)


def test_a_single_file_is_no_series():
    assert pathmap.series_of("wood.png") is None
    assert pathmap.respelt("wood.png", ["WOOD.png"]) is None


@pytest.mark.parametrize(
    ("name", "near", "found"),
    [
        ("Skin.<UDIM>.PNG", ["other.png", "skin.1002.png"], "skin.<UDIM>.png"),
        ("a<UVTILE>", ["Au1_v2"], "A<UVTILE>"),
        ("PLATE_0001.exr", ["plate_07.EXR"], "plate_0001.EXR"),
        ("plate_1.exr", ["plate_a.exr", "plates_1.exr"], None),
        ("plate_1.exr", [], None),
    ],
)
def test_a_series_is_written_as_its_files_are(name: str, near: list[str], found: str | None):
    assert pathmap.respelt(name, near) == found


def test_a_map_survives_its_file():
    assert from_json(to_json(SHOT)) == SHOT


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"folder": "shot"}, "not absolute"),
        ({"folder": "/a/../b"}, "plain"),
        ({"folder": 3}, "text"),
        ({"roots": [["/a", "../b"]]}, "below the scene's folder"),
        ({"roots": [["/a", "/etc"]]}, "relative"),
        ({"roots": [["/a", "b/../../c"]]}, "relative"),
        ({"roots": [["/a", "b\\c"]]}, "relative"),
        ({"roots": [["/a"]]}, "place, name"),
        ({"roots": {}}, "list"),
        ({"roots": [["/a", "b"]] * 1_001}, "at most 1,000"),
        ({"own": ["a"]}, "absolute"),
        ({"more": 1}, "nothing else"),
        ({"folder": "/a\n"}, "control"),
        ({"folder": "/" + "a" * 5_000}, "text"),
    ],
)
def test_a_map_that_cannot_be_followed_is_refused(change, why):
    with pytest.raises(BadMap, match=why):
        from_json(json.dumps(ROWS | change).encode())


@examples(400)
@given(spoilt(ROWS) | json_values)
def test_any_json_is_a_map_that_stays_in_its_folder_or_refused(rows):
    try:
        data = json.dumps(rows).encode()
    except (UnicodeEncodeError, RecursionError):
        return
    if refused(from_json, data, by=BadMap) is None:
        check(from_json(data))


@given(changed(to_json(SHOT)) | deep_json.map(str.encode))
def test_any_bytes_are_a_map_or_refused(data):
    if refused(from_json, data, by=BadMap) is None:
        check(from_json(data))


def check(paths: PathMap) -> None:
    for place in (paths.folder, *(root for root, _ in paths.roots)):
        name = paths.name_of(joined(place, "a/b.png"))
        assert name is not None
        assert not name.startswith(("/", ".."))
        assert "/../" not in name


@given(st.text(alphabet="/\\.:aC\n<", max_size=30), st.sampled_from(["/a/b", "C:/a", "//n/s/a"]))
def test_any_path_means_a_plain_place_or_none(raw, folder):
    place = meant(raw, folder)
    if place is not None:
        assert ".." not in place.split("/")
        assert "\\" not in place or not pathmap.is_windows(place)
