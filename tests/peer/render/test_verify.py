from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from peer.ports import RenderFailed, ReportedFile, VerifiedFile, Verifier
from peer.render import verify
from peer.render.sandbox import find_sandbox
from peer.render.verify import ChildVerifier, VerifierOptions
from peer.render.verify_child import pixel_hash
from protocol import limits
from tests.peer.render.images import SIZE, png_bomb, samples, write
from tests.waiting import wait_until

CRASH = """
import json, os, signal, sys
print(json.dumps({"ready": "a decoder that dies"}), flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.%s)
"""


@pytest.fixture
async def verifier():
    made = ChildVerifier()
    yield made
    await made.close()
    assert made.pids == []


def reported(path: Path, *, channels: int = 4, kind: str = "PNG", size: tuple[int, int] = SIZE) -> ReportedFile:
    return ReportedFile("main", path.name, path, *size, channels, kind)


def picture(folder: Path, name: str = "a.png") -> ReportedFile:
    return reported(write(folder / name, samples(4), "uint8"))


async def refusal(verifier: Verifier, *files: ReportedFile) -> str:
    """What a verification failure says."""
    with pytest.raises(RenderFailed) as caught:
        await verifier.verify(files)
    assert caught.value.failure.kind == "verification"
    return caught.value.failure.reason


def a_child_that(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Start this code in place of the real child."""
    (folder / "fake_child.py").write_text(code)
    monkeypatch.setattr(verify, "_MODULE", "fake_child")
    monkeypatch.setattr(verify, "_ROOT", folder)


async def test_files_are_verified_in_their_order_with_the_hash_that_scripts_compute(verifier: Verifier, tmp_path):
    files = [
        picture(tmp_path),
        reported(write(tmp_path / "b.exr", samples(4, seed=2), "half"), kind="OPEN_EXR"),
        reported(write(tmp_path / "c.jpg", samples(3, seed=3), "uint8"), channels=3, kind="JPEG"),
    ]
    assert await verifier.verify(files) == [VerifiedFile(file, pixel_hash(file.path)) for file in files]


async def test_the_decoder_stays_out_of_the_daemon(tmp_path):
    file = picture(tmp_path)
    code = "\n".join(
        (
            "import asyncio, sys, pathlib",
            "from peer.ports import ReportedFile",
            "from peer.render.verify import ChildVerifier",
            "async def main():",
            "    verifier = ChildVerifier()",
            f"    print(await verifier.verify([ReportedFile('main', 'a', pathlib.Path({str(file.path)!r}), 32, 18, 4, 'PNG')]))",
            "    await verifier.close()",
            "asyncio.run(main())",
            "assert not {'OpenImageIO', 'numpy', 'bpy'} & set(sys.modules)",
        )
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-W", "error", "-c", code]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == 0, done.stderr
    assert pixel_hash(file.path) in done.stdout
    assert done.stderr == ""


async def test_nans_are_reported_and_pass(verifier: Verifier, tmp_path):
    pixels = samples(4)
    pixels[0, 0, :] = np.nan
    [found] = await verifier.verify([reported(write(tmp_path / "a.exr", pixels, "float"), kind="OPEN_EXR")])
    assert found.nans == 4


async def test_a_failure_names_the_file_and_the_fault(verifier: Verifier, tmp_path):
    good, bad = picture(tmp_path, "good.png"), picture(tmp_path, "bad.png")
    bad.path.write_bytes(bad.path.read_bytes()[:-30])
    assert await refusal(verifier, good, bad) == "bad.png: is truncated: its end is missing"
    good.path.write_bytes(b"")
    assert await refusal(verifier, good) == "good.png: is empty (0 bytes)"
    good.path.unlink()
    assert await refusal(verifier, good) == "good.png: does not exist"


async def test_a_file_that_differs_from_the_report(verifier: Verifier, tmp_path):
    file = picture(tmp_path)
    assert "32x18 pixels, not 64x36" in await refusal(verifier, reported(file.path, size=(64, 36)))
    assert "4 channels, not 3" in await refusal(verifier, reported(file.path, channels=3))
    assert "a PNG image, not OPEN_EXR" in await refusal(verifier, reported(file.path, kind="OPEN_EXR"))


async def test_no_file_and_too_many_files_are_failures(verifier: Verifier, tmp_path):
    assert "no file" in await refusal(verifier)
    assert "more than" in await refusal(verifier, *[picture(tmp_path)] * (limits.OUTPUTS_PER_FRAME_MAX + 1))


async def test_a_bomb_is_a_failure_and_the_next_file_passes(verifier: ChildVerifier, tmp_path):
    bomb = png_bomb(tmp_path / "bomb.png", 60_000, 60_000)
    assert (await refusal(verifier, reported(bomb, channels=3, size=(60_000, 60_000)))).startswith("bomb.png: ")
    assert len(await verifier.verify([picture(tmp_path)])) == 1


async def test_one_child_serves_many_requests(verifier: ChildVerifier, tmp_path):
    file = picture(tmp_path)
    await verifier.verify([file])
    [pid] = verifier.pids
    await asyncio.gather(*(verifier.verify([file, file]) for _ in range(8)))
    assert verifier.pids == [pid]


async def test_a_pool_decodes_at_the_same_time(tmp_path):
    verifier = ChildVerifier(VerifierOptions(children=2))
    file = picture(tmp_path)
    await asyncio.gather(*(verifier.verify([file]) for _ in range(4)))
    assert len(set(verifier.pids)) == 2
    await verifier.close()


async def test_a_child_killed_between_requests_is_replaced(verifier: ChildVerifier, tmp_path):
    file = picture(tmp_path)
    first = await verifier.verify([file])
    [pid] = verifier.pids
    os.kill(pid, signal.SIGKILL)
    assert await verifier.verify([file]) == first
    assert verifier.pids != [pid]


async def test_a_child_killed_in_a_request_is_replaced_and_the_request_repeated(verifier: ChildVerifier, tmp_path):
    file = picture(tmp_path)
    await verifier.verify([file])
    [pid] = verifier.pids
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(verifier.verify([file]))
    await wait_until(verifier._idle.empty)
    os.kill(pid, signal.SIGKILL)
    assert [found.pixel_hash for found in await waiting] == [pixel_hash(file.path)]


async def test_a_decoder_that_crashes_on_a_file_is_a_failure(verifier: ChildVerifier, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        a_child_that(patch, tmp_path, CRASH % "SIGSEGV")
        assert await refusal(verifier, picture(tmp_path)) == "a.png: the decoder died of it (SIGSEGV)"
    assert verifier.pids == []
    assert len(await verifier.verify([picture(tmp_path)])) == 1


async def test_a_decoder_that_runs_out_of_cpu_time_is_not_tried_again(verifier: ChildVerifier, tmp_path, monkeypatch):
    marks = tmp_path / "starts"
    a_child_that(monkeypatch, tmp_path, f"open({str(marks)!r}, 'a').write('x')" + CRASH % "SIGXCPU")
    assert "SIGXCPU" in await refusal(verifier, picture(tmp_path))
    assert marks.read_text() == "x"


async def test_a_decoder_that_hangs_is_killed(tmp_path):
    verifier = ChildVerifier(VerifierOptions(wall_s_max=3.0))
    file = picture(tmp_path)
    await verifier.verify([file])
    [pid] = verifier.pids
    os.kill(pid, signal.SIGSTOP)
    assert await refusal(verifier, file) == "a.png: takes longer than 3 s to decode"
    assert not psutil.pid_exists(pid)
    assert len(await verifier.verify([file])) == 1
    await verifier.close()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise SystemExit(7)", "exit code 7"),
        ("""print('{"broken": "no decoder installed"}')""", "no decoder installed"),
        ("print('x' * 200000)", "not one of ours"),
    ],
)
async def test_a_child_that_does_not_start_is_no_fault_of_the_file(code, text, verifier: ChildVerifier, tmp_path, monkeypatch):
    a_child_that(monkeypatch, tmp_path, code)
    with pytest.raises(RenderFailed) as caught:
        await verifier.verify([picture(tmp_path)])
    assert caught.value.failure.kind == "infrastructure"
    assert text in caught.value.failure.reason
    assert verifier.pids == []


async def test_an_answer_that_is_not_ours_is_never_believed(verifier: ChildVerifier, tmp_path, monkeypatch):
    answer = '{"id": 99, "pixel_hash": "00", "nans": 0}'
    code = f"""import sys\nprint('{{"ready": 1}}', flush=True)\nfor _ in sys.stdin: print('{answer}', flush=True)"""
    a_child_that(monkeypatch, tmp_path, code)
    assert "out of step" in await refusal(verifier, picture(tmp_path))


@pytest.mark.parametrize(
    "answer",
    [
        {"id": 1},
        {"id": 1, "nans": 0, "pixel_hash": "00"},
        {"id": 1, "nans": 0, "pixel_hash": 7},
        {"id": 1, "nans": "many", "pixel_hash": "ab" * 32},
        {"id": 1, "nans": float("inf"), "pixel_hash": "ab" * 32},
        {"id": 1, "fault": ["\ud800"]},
    ],
)
async def test_an_answer_that_no_row_can_hold_is_a_failure(answer, verifier: ChildVerifier, tmp_path, monkeypatch):
    said = json.dumps(answer).replace("\\", "\\\\")
    code = f"""import sys\nprint('{{"ready": 1}}', flush=True)\nfor _ in sys.stdin: print('{said}', flush=True)"""
    a_child_that(monkeypatch, tmp_path, code)
    (await refusal(verifier, picture(tmp_path))).encode()


async def test_an_answer_that_is_nested_without_end_is_not_one_of_ours(verifier: ChildVerifier, tmp_path, monkeypatch):
    code = """import sys\nprint('{"ready": 1}', flush=True)\nfor _ in sys.stdin: print('[' * 50_000, flush=True)"""
    a_child_that(monkeypatch, tmp_path, code)
    assert "not one of ours" in await refusal(verifier, picture(tmp_path))


async def test_a_cancelled_request_leaves_the_next_one_right(verifier: ChildVerifier, tmp_path):
    one, other = picture(tmp_path), reported(write(tmp_path / "b.png", samples(4, seed=9), "uint8"))
    await verifier.verify([one])
    [pid] = verifier.pids
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(verifier.verify([one]))
    await wait_until(verifier._idle.empty)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not psutil.pid_exists(pid)
    [found] = await verifier.verify([other])
    assert found.pixel_hash == pixel_hash(other.path)


async def test_the_child_is_limited_and_in_a_session_of_its_own(verifier: ChildVerifier, tmp_path):
    await verifier.verify([picture(tmp_path)])
    child = psutil.Process(verifier.pids[0])
    assert os.getpgid(child.pid) == os.getsid(child.pid) == child.pid  # no terminal that it could type into
    assert child.rlimit(psutil.RLIMIT_AS)[1] == limits.VERIFY_MEMORY_BYTES_MAX
    assert child.rlimit(psutil.RLIMIT_FSIZE)[1] == 0
    assert 0 < child.rlimit(psutil.RLIMIT_CPU)[0] <= limits.VERIFY_CPU_S_MAX + 60
    assert child.nice() > psutil.Process().nice() or child.nice() == 19
    assert not child.net_connections()


async def test_the_child_dies_with_the_daemon(tmp_path):
    file = picture(tmp_path)
    code = "\n".join(
        (
            "import asyncio, pathlib, sys",
            "from peer.ports import ReportedFile",
            "from peer.render.verify import ChildVerifier",
            "async def main():",
            "    verifier = ChildVerifier()",
            f"    await verifier.verify([ReportedFile('main', 'a', pathlib.Path({str(file.path)!r}), 32, 18, 4, 'PNG')])",
            "    print(verifier.pids[0], flush=True)",
            "    await asyncio.Event().wait()",
            "asyncio.run(main())",
        )
    )
    root = Path(__file__).resolve().parents[3]
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=root)
    try:
        assert daemon.stdout is not None
        pid = int(await daemon.stdout.readline())
    finally:
        daemon.kill()
        await daemon.wait()
    await wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_pool_has_at_least_one_child():
    with pytest.raises(ValueError, match="at least one"):
        ChildVerifier(VerifierOptions(children=0))


@pytest.mark.sandbox
@pytest.mark.parametrize("level", ["bwrap", "landlock"])
async def test_a_confined_child_decodes_what_it_may_read_and_sees_nothing_else(tmp_path, level):
    for name in ("data", "data/work", "data/other"):
        (tmp_path / name).mkdir()
    sandbox = await find_sandbox(level, tmp_path / "data", None)
    if sandbox.level != level:
        pytest.skip(f"no {level} here: {sandbox.why}")
    inside, outside = picture(tmp_path / "data" / "work"), picture(tmp_path / "data" / "other")
    anywhere = VerifierOptions(sandbox=sandbox, read=(Path("/"), tmp_path / "data" / "work"))
    confined = ChildVerifier(VerifierOptions(sandbox=sandbox, read=(tmp_path / "data" / "work",)))
    judge = ChildVerifier(anywhere)
    try:
        assert [one.pixel_hash for one in await confined.verify([inside])] == [pixel_hash(inside.path)]
        assert (await refusal(confined, outside)).split(": ")[1] in ("does not exist", "cannot be read")
        assert len(await judge.verify([inside, picture(tmp_path)])) == 2
    finally:
        await confined.close()
        await judge.close()


async def test_two_pictures_are_compared_by_their_pixels(verifier: ChildVerifier, tmp_path: Path):
    one = write(tmp_path / "one.png", samples(3), "uint8")
    other = write(tmp_path / "other.png", samples(3, seed=2), "uint8")
    assert await verifier.compare(one, one, 0.0) == (True, "at most 0 apart, 0 of the samples visibly")
    agree, text = await verifier.compare(one, other, 0.001)
    assert not agree
    assert "of the samples visibly" in text
    assert (await verifier.verify([reported(one, channels=3)]))[0].nans == 0  # and still in step


async def test_what_does_not_decode_cannot_be_compared(verifier: ChildVerifier, tmp_path: Path):
    one = write(tmp_path / "one.png", samples(3), "uint8")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RenderFailed) as failed:
        await verifier.compare(one, tmp_path / "text.png", 0.0)
    assert failed.value.failure.kind == "infrastructure"
