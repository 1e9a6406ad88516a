from __future__ import annotations

import socket
from pathlib import Path

import pytest

from peer.instead import beside, is_free, line_that_works, with_value
from peer.settings import Settings
from peer.store.errors import FolderTaken, FolderUnwritable, StoreNewer
from protocol.errors import Invalid, Unavailable


@pytest.fixture
def taken():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def line(error: Exception, argv: list[str], tmp_path: Path, **settings: object) -> str | None:
    given = {"port": 0, "data_dir": tmp_path / "data", **settings}
    return line_that_works(error, Settings.model_validate(given), argv, home=tmp_path / "home")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], ["--port", "0"]),
        (["--port", "7700"], ["--port", "0"]),
        (["--name", "oak", "--port=7700", "--slots", "2"], ["--name", "oak", "--port", "0", "--slots", "2"]),
        (["--port", "1", "--name", "oak", "--port", "2"], ["--port", "0", "--name", "oak"]),
        (["--port"], ["--port", "0"]),
    ],
)
def test_a_value_is_replaced_in_its_place_or_added_at_the_end(argv, expected):
    assert with_value(argv, "--port", "0") == expected


def test_a_taken_port_is_replaced_by_any_free_one(taken, tmp_path):
    error = Unavailable("port_taken", "it is taken")
    assert line(error, ["--name", "big oak"], tmp_path, port=taken) == "peerd --name 'big oak' --port 0"


def test_a_taken_mesh_port_is_replaced_and_the_user_port_stays(taken, tmp_path):
    error = Unavailable("port_taken", "it is taken")
    assert line(error, ["--mesh-port", str(taken)], tmp_path, mesh_port=taken) == "peerd --mesh-port 0"


def test_a_taken_folder_gets_one_beside_it_and_another_port_only_when_that_is_taken_too(taken, tmp_path):
    (tmp_path / "data-2").mkdir()
    error = FolderTaken("it is taken", pid=1)
    assert line(error, [], tmp_path) == f"peerd --data-dir {tmp_path}/data-3"
    assert line(error, [], tmp_path, port=taken) == f"peerd --data-dir {tmp_path}/data-3 --port 0"


def test_an_unwritable_folder_is_replaced_by_one_at_home(tmp_path):
    assert line(FolderUnwritable("no"), ["--slots", "2"], tmp_path) == f"peerd --slots 2 --data-dir {tmp_path}/home/rendermesh-2"


@pytest.mark.parametrize(
    "error", [StoreNewer("newer", found=2, known=1), Invalid("bad_bind_address", "no"), OSError(5, "broken")]
)
def test_where_nothing_of_that_would_help_nothing_is_offered(error, tmp_path):
    assert line(error, [], tmp_path) is None


def test_a_port_that_has_come_free_meanwhile_changes_nothing(tmp_path):
    assert line(Unavailable("port_taken", "it was"), [], tmp_path) is None


def test_a_port_is_free_only_for_both_protocols():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        assert not is_free("127.0.0.1", sock.getsockname()[1])
    assert is_free("127.0.0.1", 0)


def test_a_folder_beside_another_is_new(tmp_path):
    assert beside(tmp_path / "oak") == tmp_path / "oak-2"
