from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import RenderFailed
from tests.peer.render.pictures import next_outbox, nothing, pixels

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_every_file_of_a_frame_lands_in_its_folder_and_is_reported(opened, attempt):
    session, folder = await opened("outputs"), attempt()
    files = (await session.render(2, folder, nothing)).files
    assert [(file.role, file.name, file.format) for file in files] == [
        ("main", "main_0002.png", "PNG"),
        ("node", "Plain/out_1_0002.png", "PNG"),
        ("node", "Layered/layers0002.exr", "OPEN_EXR_MULTILAYER"),
    ]
    assert {file.path for file in files} == {path for path in folder.rglob("*") if path.is_file()}
    assert {(file.width, file.height) for file in files} == {(64, 36)}
    assert all(file.channels == 4 for file in files)


async def test_node_outputs_follow_each_frame_into_its_own_folder(opened, attempt):
    session = await opened("outputs")
    for frame in (1, 3):
        folder = attempt()
        await session.render(frame, folder, nothing)
        assert (folder / f"Plain/out_1_{frame:04d}.png").stat().st_size > 0


async def test_stereo_reports_both_eyes_and_no_plain_file(opened, attempt):
    session = await opened("stereo")
    files = (await session.render(1, attempt(), nothing)).files
    assert [(file.role, file.name) for file in files] == [("left", "main_0001_L.png"), ("right", "main_0001_R.png")]
    left, right = (pixels(file.path) for file in files)
    assert left[0] == right[0] == (64, 36)
    assert left != right


async def test_stereo_in_one_picture_is_one_output_of_its_real_size(opened, attempt):
    session = await opened("stereo_picture")
    (file,) = (await session.render(1, attempt(), nothing)).files
    assert (file.role, file.name) == ("main", "main_0001.png")
    assert (file.width, file.height) == pixels(file.path)[0] == (128, 36)


async def test_stereo_in_one_multilayer_file_is_one_output(opened, attempt):
    session = await opened("stereo_picture", format="OPEN_EXR_MULTILAYER")
    (file,) = (await session.render(1, attempt(), nothing)).files
    assert (file.role, file.name, file.format) == ("main", "main_0001.exr", "OPEN_EXR_MULTILAYER")
    assert (file.width, file.height) == (64, 36)


async def test_a_cropped_border_has_the_size_that_blender_computes(opened, attempt):
    session = await opened("choices")
    (file,) = (await session.render(1, attempt(), nothing)).files
    assert (file.width, file.height) == pixels(file.path)[0] == (41, 16)


async def test_an_output_that_cannot_be_written_is_no_fault_of_the_scene(opened, tmp_path):
    session = await opened("simple")
    taken = tmp_path / "file"
    taken.write_text("a file where a folder should be")
    with pytest.raises(RenderFailed) as caught:
        await session.render(1, taken / "attempt", nothing)
    assert caught.value.failure.kind == "infrastructure"


async def test_a_renderer_that_takes_its_folder_away_is_at_fault(opened, attempt, monkeypatch):
    def moved(folder: Path) -> None:
        folder.rmdir()
        folder.symlink_to(tmp)

    tmp, session = attempt(), await opened("simple")
    next_outbox(session, monkeypatch, prepare=moved)
    with pytest.raises(RenderFailed, match="cannot be taken over") as caught:
        await session.render(1, attempt(), nothing)
    assert caught.value.failure.kind == "renderer"


async def test_a_node_output_that_is_not_written_fails_the_frame(opened, attempt, monkeypatch):
    """Blender says FINISHED here."""

    def taken(folder: Path) -> None:
        (folder / "Plain").write_text("a file where the node's folder should be")

    session = await opened("outputs")
    next_outbox(session, monkeypatch, prepare=taken)
    with pytest.raises(RenderFailed) as caught:
        await session.render(2, attempt(), nothing)
    assert "Plain" in caught.value.failure.reason


async def test_a_folder_that_blender_would_read_as_a_template_is_refused(opened, attempt, monkeypatch):
    def templated(folder: Path) -> Path:
        return folder.rename(folder.with_name("{blend_name}"))

    session = await opened("simple")
    next_outbox(session, monkeypatch, prepare=templated)
    with pytest.raises(RenderFailed, match="braces"):
        await session.render(1, attempt(), nothing)
