from pathlib import Path

import pytest

from peer.cli.failures import CliError, Exit
from peer.cli.jobref import job_path, recall, remember


def test_the_last_job_is_remembered(tmp_path: Path) -> None:
    remember(tmp_path / "new" / "state", job="abc", host="http://h")
    remember(tmp_path / "new" / "state", job="def", host="http://h")
    assert recall(tmp_path / "new" / "state") == "def"
    assert len(list((tmp_path / "new" / "state").iterdir())) == 1


@pytest.mark.parametrize("text", [None, "{", "[]", '{"job": 3}', '{"job": ""}'])
def test_no_memory_is_not_found(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "last-job.json").write_text(text)
    with pytest.raises(CliError) as caught:
        recall(tmp_path)
    assert caught.value.exit_code is Exit.NOT_FOUND


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file", job="abc", host="http://h")


@pytest.mark.parametrize("job", [{}, {"id": 3}, {"id": ""}, {"id": ".."}])
def test_a_job_without_an_id_makes_no_path(job: dict[str, object]) -> None:
    with pytest.raises(CliError, match="no id"):
        job_path(job)


def test_a_hostile_id_stays_one_segment() -> None:
    assert job_path({"id": "../x"}, "frames", 3) == "/api/v1/jobs/..%2Fx/frames/3"
