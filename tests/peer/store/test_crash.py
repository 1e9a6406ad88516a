"""kill -9 in the middle of everything: what was acknowledged is there, what was not is nowhere half."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from peer.store.folder import open_store
from protocol.ids import Digest

ACKNOWLEDGED_MIN = 150


def run_and_kill(data_dir: Path) -> list[list[str]]:
    """Let the child acknowledge some things, kill it while it goes on, and return all that it said."""
    command = [sys.executable, "-m", "tests.peer.store.crasher", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(ACKNOWLEDGED_MIN)]
        child.kill()
        lines += child.stdout.readlines()
    assert child.returncode == -9
    return [line.split() for line in lines if line.endswith("\n")]


async def test_everything_acknowledged_is_there_after_kill_9(data_dir: Path):
    acknowledged: list[list[str]] = []
    for life in (1, 2, 3):
        acknowledged += run_and_kill(data_dir)
        assert ["epoch", str(life)] in acknowledged
    facts = [line for line in acknowledged if line[0] == "fact"]
    blobs = [line for line in acknowledged if line[0] == "blob"]
    assert facts
    assert blobs

    store = open_store(data_dir)
    assert store.run_epoch == 4
    stored = {(int(fact.job, 16), fact.seq) for fact in await store.journal.facts()}
    assert {(int(lane), int(seq)) for _, lane, seq in facts} <= stored
    values = await store.journal.values()
    for lane in range(4):
        assert (lane, int(values[f"lane/{lane}"])) in stored  # both records of a commit or neither
    for _, name, size in blobs:
        assert await store.blobs.size(Digest(name)) == int(size)
    for path in (data_dir / "blobs").glob("*/*"):
        await store.blobs.check(Digest(path.name))
    assert list((data_dir / "tmp").iterdir()) == []
    for lane in range(2):
        await store.blobs.unpin(f"lane/{lane}")
    await store.close()


async def test_a_torn_log_loses_only_what_was_never_acknowledged(data_dir: Path):
    """The machine lost power while the log's last frame was being written."""
    acknowledged = run_and_kill(data_dir)
    log = data_dir / "journal.db-wal"
    with log.open("ab") as file:
        file.write(b"\x5a" * 2345)
    store = open_store(data_dir)
    stored = {(int(fact.job, 16), fact.seq) for fact in await store.journal.facts()}
    assert {(int(line[1]), int(line[2])) for line in acknowledged if line[0] == "fact"} <= stored
    await store.close()
