"""POV-Ray as a renderer: real processes, at each level of the sandbox; hostile scenes; the clocks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from peer.ports import RendererMissing, RenderFailed
from peer.render.options import RendererOptions
from peer.render.povray.renderer import PovrayRenderer, povray_settings
from peer.render.sandbox import OPEN, Sandbox, find_sandbox
from peer.render.verify import ChildVerifier
from peer.render.verify_child import pixel_hash
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing
from tests.peer.render.povray.conftest import BALL, HEAD, WEIGHTY

real = pytest.mark.povray
CONFINED = [pytest.param(level, marks=pytest.mark.sandbox) for level in ("bwrap", "landlock")]


def wishes(*, resolution: str = "64x48", **more) -> RenderSettings:
    fields = {name: more.pop(name) for name in list(more) if name in RenderSettings.model_fields}
    return RenderSettings(renderer="povray", resolution=resolution, **fields, settings=more)


@pytest_asyncio.fixture
async def made(tmp_path, povray):
    """Makes renderers whose data folder is `data`; closes them, and looks that nothing is left."""
    renderers: list[PovrayRenderer] = []

    async def make(level: str = "none", program: str = povray, **more) -> PovrayRenderer:
        data = tmp_path / "data"
        walls: Sandbox = OPEN if level == "none" else await find_sandbox(level, data, None)  # type: ignore[arg-type]
        if walls.level != level:
            pytest.skip(f"no {level} here: {walls.why}")
        options = RendererOptions(
            data / "scratch", data / "pids", os.environ, sandbox=walls, read=(data / "trees",), **more
        )  # fmt: skip
        renderers.append(PovrayRenderer(program, options))
        return renderers[-1]

    yield make
    for renderer in renderers:
        await renderer.close()
    assert [child for child in psutil.Process().children(recursive=True) if child.name() == "povray"] == []
    assert list((tmp_path / "data" / "pids").glob("*")) == []


@pytest.fixture
def attempt(tmp_path) -> Path:
    folder = tmp_path / "attempt"
    folder.mkdir()
    return folder


async def rendered(renderer: PovrayRenderer, tree: Path, attempt: Path, frame: int = 1, **more):
    session = await renderer.open(tree, "a.pov", wishes(**more))
    try:
        return await session.render(frame, attempt, nothing)
    finally:
        await session.close()


@real
@pytest.mark.parametrize("level", ["none", *CONFINED])
async def test_frames_are_those_of_a_povray_alone_and_verify(made, tree, tmp_path, attempt, povray, level):
    (tree / "a.pov").write_text(BALL)
    renderer = await made(level)
    able = await renderer.probe()
    assert (able.renderer, able.home, able.engines, able.devices) == ("povray", "program", ("POV-Ray",), ("cpu",))
    verifier = ChildVerifier()
    try:
        found = await rendered(renderer, tree, attempt, 3, frame_end=5, color_depth="16", antialias=0.2)
        [verified] = await verifier.verify(found.files)
    finally:
        await verifier.close()
    alone = ["+W64", "+H48", "+KFI1", "+KFF5", "+SF3", "+EF3", "+FN16", "+A0.2", "-D", f"+O{tmp_path}/alone.png"]
    await asyncio.to_thread(subprocess.run, [povray, f"+I{tree}/a.pov", *alone], capture_output=True, check=True, cwd=tmp_path)
    assert verified.pixel_hash == pixel_hash(tmp_path / "alone3.png")
    assert "POV-Ray finished" in found.log


@real
@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({"format": "JPEG", "quality": 70}, ("JPEG", 3)),
        ({"format": "OPEN_EXR"}, ("OPEN_EXR", 3)),
        ({"format": "OPEN_EXR", "color_mode": "RGBA"}, ("OPEN_EXR", 4)),
        ({"color_mode": "RGBA", "color_depth": "16"}, ("PNG", 4)),
        ({"color_mode": "BW", "color_depth": "16"}, ("PNG", 1)),
        ({"color_mode": "BW", "color_depth": "8"}, ("PNG", 1)),
    ],
)
async def test_every_format_is_what_it_was_reported_as(made, tree, attempt, fields, reported):
    (tree / "a.pov").write_text(BALL)
    found = await rendered(await made(), tree, attempt, **fields)
    assert [(file.format, file.channels) for file in found.files] == [reported]
    verifier = ChildVerifier()
    try:
        await verifier.verify(found.files)
    finally:
        await verifier.close()


@real
@pytest.mark.parametrize("kind", ["BMP", "TARGA", "HDR"])
async def test_formats_that_only_an_ini_knows_verify_too(made, tree, attempt, kind):
    (tree / "a.pov").write_text(BALL)
    (tree / "a.ini").write_text(f"Output_File_Type={ {'BMP': 'B', 'TARGA': 'T', 'HDR': 'H'}[kind] }")
    found = await rendered(await made(), tree, attempt, ini="a.ini")
    assert [file.format for file in found.files] == [kind]
    verifier = ChildVerifier()
    try:
        await verifier.verify(found.files)
    finally:
        await verifier.close()


@real
async def test_unsteady_scenes_give_the_same_pixels_each_time(made, tree, tmp_path):
    extras = "global_settings { radiosity { count 20 } }\nlight_source { y*9, rgb 1 area_light x, z, 4, 4 jitter }\n"
    (tree / "a.pov").write_text(BALL + extras)
    renderer, hashes = await made(), set()
    for turn in ("one", "two", "three"):
        (tmp_path / turn).mkdir()
        found = await rendered(renderer, tree, tmp_path / turn, resolution="120x90")
        hashes.add(pixel_hash(found.files[0].path))
    assert len(hashes) == 1


HOSTILE = {
    "write": '#fopen F "{outside}/new.txt" write\n#write (F, "hit")\n#fclose F\n',
    "append": '#fopen F "{outside}/secret.txt" append\n#write (F, "hit")\n#fclose F\n',
    "read": '#fopen F "{outside}/secret.txt" read\n#read (F, Secret)\n#fclose F\n#error concat("got ", Secret)\n',
    "include": '#include "{outside}/secret.inc"\n#error concat("got ", Secret)\n',
    "key": '#fopen F "{data}/identity.key" read\n#read (F, Secret)\n#fclose F\n#error concat("got ", Secret)\n',
}


def aimed(tree: Path, tmp_path: Path, what: str) -> Path:
    outside, data = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    for place in (outside / "secret.txt", data / "identity.key"):
        place.write_text('"5ecret",')
    (outside / "secret.inc").write_text('#declare Secret = "5ecret";\n')
    (tree / "a.pov").write_text(HEAD + HOSTILE[what].format(outside=outside, data=data) + BALL.removeprefix(HEAD))
    return outside


def harm(tmp_path: Path, said: str) -> bool:
    """Whether something was written or read."""
    outside = tmp_path / "outside"
    return (outside / "new.txt").exists() or "hit" in (outside / "secret.txt").read_text() or "got 5ecret" in said


async def said_of(renderer: PovrayRenderer, tree: Path, attempt: Path) -> str:
    """What an inspection and a frame of the hostile scene say, in this order."""
    seen = await renderer.inspect(tree, "a.pov", wishes())
    try:
        log = (await rendered(renderer, tree, attempt)).log
    except RenderFailed as error:
        log = f"{error.failure.reason}\n{error.log}"
    return f"{seen}\n{log}"


@real
@pytest.mark.parametrize("what", HOSTILE)
async def test_without_a_sandbox_a_scene_can_do_harm(made, tree, tmp_path, attempt, what):
    """Which is why POV-Ray is not offered there unless somebody asks for it by name."""
    aimed(tree, tmp_path, what)
    assert harm(tmp_path, await said_of(await made(), tree, attempt))


@real
@pytest.mark.parametrize("level", CONFINED)
@pytest.mark.parametrize("what", HOSTILE)
async def test_inside_a_sandbox_it_cannot(made, tree, tmp_path, attempt, what, level):
    aimed(tree, tmp_path, what)
    assert not harm(tmp_path, await said_of(await made(level), tree, attempt))


@real
async def test_programs_of_an_ini_are_not_started_and_findings_say_so(made, tree, tmp_path, attempt):
    (tree / "a.pov").write_text(BALL)
    (tree / "a.ini").write_text(
        f"Input_File_Name=a.pov\nPre_Scene_Command=touch {tmp_path}/hit\nPost_Frame_Command=touch {tmp_path}/hit"
    )
    renderer = await made()
    seen = await renderer.inspect(tree, "a.ini", wishes())
    assert [(one.code, one.kind) for one in seen.warnings] == [("refused_program", "picture"), ("refused_program", "info")]
    session = await renderer.open(tree, "a.ini", wishes())
    await session.render(1, attempt, nothing)
    await session.close()
    assert not (tmp_path / "hit").exists()


@real
async def test_an_endless_loop_is_stalled_in_the_inspection_and_in_a_frame(made, tree, attempt):
    (tree / "a.pov").write_text(HEAD + "#while (1) #end\n")
    renderer = await made()
    seen = await renderer.inspect(tree, "a.pov", wishes(parse_timeout_s=1))
    assert seen.error is not None
    assert "a loop without an end" in seen.error.reason
    with pytest.raises(RenderFailed) as failed:
        await rendered(renderer, tree, attempt, parse_timeout_s=1)
    assert failed.value.failure.kind == "stalled"


@real
async def test_the_frame_clock_and_a_stop_end_povray_in_mid_frame(made, tree, tmp_path, attempt):
    (tree / "a.pov").write_text(WEIGHTY)
    renderer = await made()
    session = await renderer.open(tree, "a.pov", wishes(resolution="4000x4000"), frame_timeout_s=2.0)
    with pytest.raises(RenderFailed) as failed:
        await session.render(1, attempt, nothing)
    assert failed.value.failure.kind == "timeout"
    await session.close()
    session = await renderer.open(tree, "a.pov", wishes(resolution="4000x4000"))
    begun = asyncio.Event()
    frame = asyncio.create_task(session.render(1, attempt, lambda fraction: begun.set()))
    await begun.wait()
    await session.stop()
    with pytest.raises(RenderFailed) as failed:
        await frame
    assert failed.value.failure.kind == "infrastructure"


@real
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals of process groups")
async def test_a_povray_that_stands_still_is_stalled_and_one_that_is_killed_a_crash(made, tree, tmp_path, attempt):
    import signal

    (tree / "a.pov").write_text(WEIGHTY)
    renderer = await made(stall_s=2.0)
    for number, kind in ((signal.SIGKILL, "crash"), (signal.SIGSTOP, "stalled")):
        session = await renderer.open(tree, "a.pov", wishes(resolution="4000x4000"))
        begun = asyncio.Event()
        frame = asyncio.create_task(session.render(1, attempt, lambda fraction, begun=begun: begun.set()))
        await begun.wait()
        [child] = [one for one in psutil.Process(session.pid).children(recursive=True) if one.name() == "povray"]
        child.send_signal(number)
        with pytest.raises(RenderFailed) as failed:
            await frame
        assert failed.value.failure.kind == kind
        await session.close()


@real
async def test_a_scene_that_wants_more_memory_than_there_may_be_fails_for_memory(made, tree, attempt):
    (tree / "a.pov").write_text(
        HEAD + "#declare A = array[100000000];\n#local I = 0;\n#while (I < 1e8) #declare A[I] = I; #local I = I + 1; #end\n"
    )
    with pytest.raises(RenderFailed) as failed:
        await rendered(await made(memory_bytes=400_000_000), tree, attempt)
    assert failed.value.failure.kind == "memory", failed.value


async def test_a_program_that_is_none_is_missing(tmp_path):
    options = RendererOptions(tmp_path / "scratch", tmp_path / "pids", os.environ)
    renderer = PovrayRenderer("/bin/true", options)
    with pytest.raises(RendererMissing, match="POV-Ray does not start: /bin/true does not say its version"):
        await renderer.probe()
    await renderer.close()
    with pytest.raises(RendererMissing, match="closed"):
        await renderer.probe()


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"frames": 3}, "frames: "), ({"frame_end": -1}, "frame_end: "), ({"quality": 12}, "quality: "),
     ({"declare": {"a b": 1}}, "declare"), ({"ini": "a\nb"}, "ini: "), ({"declare": {"A": "1; x"}}, "declare")],
)  # fmt: skip
async def test_settings_are_checked_and_the_sentence_names_those_there_are(settings, text):
    with pytest.raises(RenderFailed, match=r"POV-Ray's are ini, section, frame_start") as failed:
        povray_settings(RenderSettings(renderer="povray", settings=settings))
    assert text in str(failed.value)
    assert failed.value.failure.kind == "scene"


@real
async def test_wrong_settings_are_the_scenes_error(made, tree):
    (tree / "a.pov").write_text(BALL)
    seen = await (await made()).inspect(tree, "a.pov", wishes(nonsense=1))
    assert seen.error is not None
    assert seen.error.kind == "scene"
    with pytest.raises(RenderFailed):
        await (await made()).open(tree, "a.pov", wishes(camera="Cam"))
