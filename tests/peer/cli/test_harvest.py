from pathlib import Path

from peer.cli.failures import Exit
from peer.cli.harvest import Harvest, missing_frames
from peer.cli.invocation import Invocation
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_only_what_is_new_is_fetched_and_the_end_fetches_the_rest(mesh: FakeMesh, peer: FakePeer, tmp_path: Path) -> None:
    job = mesh.add("castle", [1, 2, 3])
    harvest = Harvest(Invocation(hosts=(peer.url,)), {"id": job.id}, tmp_path)
    harvest.gather(job.view())
    assert not mesh.seen, "nothing is done: nothing is asked"
    job.done = [1]
    harvest.gather(job.view())
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["castle_0001.png"]
    job.done = [1, 2, 3]
    assert harvest.end(Exit.OK) is Exit.OK
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 3
    assert sum(seen.path.endswith("castle_0001.png") for seen in mesh.seen) == 1


def test_a_frame_that_could_not_be_fetched_is_an_error_at_the_end(mesh: FakeMesh, peer: FakePeer, tmp_path: Path) -> None:
    job = mesh.add("castle", [1, 2])
    job.done, job.outputs = [1, 2], {2: [("../../x", b"evil")]}
    harvest = Harvest(Invocation(hosts=(peer.url,)), {"id": job.id}, tmp_path)
    harvest.gather(job.view())
    assert harvest.end(Exit.OK) is Exit.ERROR


def test_missing_frames_by_state() -> None:
    rows: list[dict[str, object]] = [
        {"frame": 1, "state": "done"},
        {"frame": 2, "state": "failed"},
        {"frame": 3, "state": "pending"},
        {"frame": "x", "state": "failed"},
    ]
    assert missing_frames(rows) == {"failed": [2], "pending": [3]}
