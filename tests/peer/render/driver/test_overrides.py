from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import RenderFailed
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import next_outbox, nothing, pixels

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def picture(session, attempt, frame=1):
    (file,) = (await session.render(frame, attempt(), nothing)).files
    return file


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scene_name": "Third"}, ("'Third'", "Scene, Second")),
        ({"camera": "Nobody"}, ("'Nobody'", "Camera, Other")),
        ({"view_layer": "Hidden"}, ("'Hidden'", "Extra, ViewLayer")),
        ({"settings": {"colour": 1}}, ("settings", "colour")),
        ({"format": "PNG", "color_depth": "32"}, ("color_depth", "32", "8")),
        ({"format": "JPEG", "color_mode": "RGBA"}, ("color_mode", "RGBA", "RGB")),
        ({"format": "WEBP", "color_mode": "BW"}, ("color_mode", "BW", "RGB")),
    ],
)
async def test_what_the_scene_cannot_honour_is_refused_with_what_there_is(opened, settings, words):
    with pytest.raises(RenderFailed) as caught:
        await opened("choices", **settings)
    assert caught.value.failure.kind == "scene"
    assert all(word in caught.value.failure.reason for word in words), caught.value.failure.reason


async def test_resolution_sets_the_percentage_to_100_and_keeps_the_border(opened, attempt):
    file = await picture(await opened("choices", resolution="128x72"), attempt)
    assert (file.width, file.height) == pixels(file.path)[0] == (82, 32)


async def test_a_camera_wins_over_the_markers(opened, attempt):
    bound = pixels((await picture(await opened("choices"), attempt)).path)
    named = pixels((await picture(await opened("choices", camera="Camera"), attempt)).path)
    other = pixels((await picture(await opened("choices", camera="Other"), attempt)).path)
    assert bound == other
    assert named != bound


async def test_another_scene_of_the_file_has_its_own_size(opened, attempt):
    file = await picture(await opened("choices", scene_name="Second"), attempt)
    assert pixels(file.path)[0] == (32, 32)


@pytest.mark.parametrize(
    ("wanted", "suffix", "channels"),
    [
        ({"format": "JPEG", "quality": 70}, ".jpg", 3),
        ({"format": "TIFF", "color_mode": "RGB"}, ".tif", 3),
        ({"format": "WEBP"}, ".webp", 3),  # its writer drops an alpha channel in which nothing is transparent
        ({"format": "OPEN_EXR", "color_depth": "32"}, ".exr", 4),
        ({"format": "OPEN_EXR_MULTILAYER"}, ".exr", 4),
        ({"format": "PNG", "color_mode": "BW", "color_depth": "16"}, ".png", 1),
    ],
)
async def test_formats(opened, attempt, wanted, suffix, channels):
    file = await picture(await opened("simple", **wanted), attempt)
    assert (file.path.suffix, file.format, file.channels) == (suffix, wanted["format"], channels)
    assert (file.width, file.height) == (64, 36)


async def test_video_becomes_pictures(opened, attempt):
    file = await picture(await opened("video"), attempt, 3)
    assert (file.name, file.format) == ("main_0003.png", "PNG")
    assert pixels(file.path)[0] == (64, 36)


async def test_samples_change_the_picture_and_the_seed_does_not_move(opened, attempt):
    one = pixels((await picture(await opened("simple", samples=1), attempt)).path)
    many = pixels((await picture(await opened("simple", samples=16), attempt)).path)
    again = pixels((await picture(await opened("simple", samples=1), attempt)).path)
    assert one == again
    assert one != many


async def test_threads_change_no_pixel(opened, attempt):
    one = pixels((await picture(await opened("simple", samples=4, threads=1), attempt)).path)
    two = pixels((await picture(await opened("simple", samples=4, threads=2), attempt)).path)
    assert one == two


async def test_placeholders_and_kept_files_are_switched_off(opened, attempt, monkeypatch):
    """The scene keeps what lies there; the empty file that lies there must be replaced."""

    def filled(folder: Path) -> None:
        (folder / "main_0001.png").touch()

    session = await opened("stamped")
    next_outbox(session, monkeypatch, prepare=filled)
    (file,) = (await session.render(1, attempt(), nothing)).files
    assert file.path.stat().st_size > 0


async def test_a_stamp_that_the_artist_burns_in_stays(opened, attempt):
    stamped = await picture(await opened("stamped"), attempt)
    plain = await picture(await opened("simple"), attempt)
    assert pixels(stamped.path)[0] == pixels(plain.path)[0]
    assert pixels(stamped.path) != pixels(plain.path)


async def test_nothing_of_the_peer_stands_in_a_file_of_a_scene_without_a_stamp(opened, attempt):
    words = (await picture(await opened("simple"), attempt)).path.read_bytes()
    assert not [word for word in (b"Date", b"RenderTime", b"Hostname", b"File") if word + b"\0" in words]


async def test_a_format_that_no_peer_could_verify_is_refused_at_once_in_nodes_too(kitchen, warm):
    for name, what in (("jpeg2000", "the scene"), ("node_in_jpeg2000", "File Output node 'Plain'")):
        found = await warm.inspect(kitchen.scenes, f"{name}.blend", RenderSettings())
        assert found.error is not None
        assert found.error.kind == "scene"
        assert what in found.error.reason
        assert "JPEG2000" in found.error.reason
    assert (await warm.inspect(kitchen.scenes, "jpeg2000.blend", RenderSettings(format="PNG"))).error is None


async def test_a_gpu_that_is_not_there_is_an_error_and_auto_says_what_it_used(opened, capabilities, attempt):
    if "gpu" not in capabilities.devices:
        with pytest.raises(RenderFailed) as caught:
            await opened("simple", device="gpu")
        assert caught.value.failure.kind == "renderer"
        expected = "cpu"
    else:
        expected = "gpu:"
    rendered = await (await opened("simple", device="auto")).render(1, attempt(), nothing)
    assert rendered.device.startswith(expected)
    assert (await (await opened("simple", device="cpu")).render(1, attempt(), nothing)).device == "cpu"
