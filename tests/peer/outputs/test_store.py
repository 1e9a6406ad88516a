"""Objects in stores: put where nothing is, replaced only by the tag that was looked at. In memory, and at a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, MemoryStore

from peer.outputs import store as module
from peer.outputs.root import RootFault
from peer.outputs.store import StoreRoot, connect, faults
from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output
from tests.peer.outputs.bench import Bench, delivering
from tests.peer.outputs.s3 import BUCKET, S3, an_s3

NAME = "film/shot_0001.png"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with an_s3() as server:
        yield server


def store_at(kind: str, request: pytest.FixtureRequest) -> Any:
    if kind == "memory":
        return MemoryStore()
    server: S3 = request.getfixturevalue("s3")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for key, value in server.environment.items():
        monkeypatch.setenv(key, value)
    return connect(f"s3://{BUCKET}/{uuid4().hex}/deep")


class StoreBench(Bench):
    """The bench, and the store that it delivers into."""

    store: Any

    async def objects(self) -> dict[str, bytes]:
        found = [one["path"] for batch in obstore.list(self.store) for one in batch]
        return {path: bytes(await (await obstore.get_async(self.store, path)).bytes_async()) for path in sorted(found)}

    async def put(self, data: bytes, name: str = NAME) -> None:
        await obstore.put_async(self.store, name, data)


@pytest.fixture(params=["memory", "s3"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreBench]:
    store = store_at(request.param, request)

    def make(blobs: Any, judge: Any) -> StoreRoot:
        return StoreRoot("out", store, blobs, judge, scratch=tmp_path / "scratch")

    async with delivering(make, tmp_path) as made:
        bench = StoreBench(made.blobs, made.delivery, made.told)
        bench.store = store
        yield bench
    assert not any((tmp_path / "scratch").glob("*")), "what was looked at is gone"


async def test_an_object_gets_its_name_and_nothing_else_stays(bench: StoreBench):
    ended = await bench.deliver(bench.parcel(b"red:1"), folder="film/010")
    assert (ended.code, ended.placed) == ("", (Placed(1, 0),)), ended.reason
    assert await bench.objects() == {"film/010/shot_0001.png": b"red:1"}


async def test_it_says_what_kind_it_is(bench: StoreBench):
    await bench.deliver(bench.parcel(b"red:1"))
    assert (await obstore.get_async(bench.store, NAME)).attributes["Content-Type"] == "image/png"


async def test_once_more_changes_nothing(bench: StoreBench):
    await bench.deliver(bench.parcel(b"red:1"))
    before = await obstore.head_async(bench.store, NAME)
    ended = await bench.deliver(bench.parcel(b"red:1"))
    assert ended.placed == (Placed(1, 0),)
    assert await obstore.head_async(bench.store, NAME) == before


async def test_equal_pixels_of_anybody_stay_and_are_no_conflict(bench: StoreBench):
    await bench.put(b"red:of somebody")
    assert (await bench.deliver(bench.parcel(b"red:ours"))).placed == (Placed(1, 0),)
    assert await bench.objects() == {NAME: b"red:of somebody"}


@pytest.mark.parametrize("theirs", [b"blue:1", b"no picture at all", b""])
async def test_another_object_is_kept_and_named(theirs: bytes, bench: StoreBench):
    await bench.put(theirs)
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))
    assert ended.placed == (Placed(1, 1, ("shot_0001.png",)),)
    assert await bench.objects() == {NAME: theirs}


async def test_an_older_generation_of_ours_gives_way(bench: StoreBench):
    await bench.put(b"green:ours, once")
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green", b"grey"]))
    assert ended.placed == (Placed(1, 1),), ended.reason
    assert await bench.objects() == {NAME: b"red:1"}


async def test_an_object_that_is_changed_while_it_is_looked_at_is_looked_at_again(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
):
    """Somebody puts another picture there between the look and the replacement: it is not overwritten."""
    await bench.put(b"green:ours, once")
    look = module._head

    async def then_change(store: Any, name: str) -> Any:
        seen = await look(store, name)
        await bench.put(b"blue:somebody's")
        return seen

    monkeypatch.setattr(module, "_head", then_change)
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))
    assert ended.placed == (Placed(1, 1, ("shot_0001.png",)),)
    assert await bench.objects() == {NAME: b"blue:somebody's"}


async def test_an_object_that_never_stays_the_same_ends_with_a_reason(bench: StoreBench, monkeypatch: pytest.MonkeyPatch):
    look, count = module._head, [0]

    async def then_change(store: Any, name: str) -> Any:
        count[0] += 1
        seen = await look(store, name)
        await bench.put(b"green:%d" % count[0])
        return seen

    await bench.put(b"green:0")
    monkeypatch.setattr(module, "_head", then_change)
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))
    assert (ended.placed, ended.code) == ((), "output_root_failed")
    assert "changes while it is looked at" in ended.reason
    assert count[0] == limits.STORE_RACES_MAX


async def test_a_sweep_writes_nothing_and_says_what_is_there(bench: StoreBench):
    there, missing = bench.parcel(b"red:1"), bench.parcel(b"blue:1", "shot_0002.png")
    await bench.deliver(there)
    assert (await bench.sweep(there, missing)).placed == (Placed(1, 0),)
    assert (await bench.sweep(missing, folder="nowhere")).placed == ()
    assert list(await bench.objects()) == [NAME]


async def test_to_a_sweep_an_older_generation_of_ours_is_not_the_frame(bench: StoreBench):
    await bench.put(b"green:ours, once")
    newer = bench.parcel(b"red:1", generation=1, replaces=[b"green", b"red"])
    ended = await bench.sweep(newer)
    assert (ended.code, ended.placed) == ("", ())
    assert await bench.objects() == {NAME: b"green:ours, once"}
    await bench.deliver(newer)
    assert (await bench.sweep(newer)).placed == (Placed(1, 1),)
    await bench.put(b"red:of somebody")
    assert (await bench.sweep(newer)).placed == (Placed(1, 1),), "the pixels are right, and were so before"


@pytest.mark.parametrize("theirs", [b"blue:1", b"no picture at all", b""])
async def test_to_a_sweep_another_object_is_there(theirs: bytes, bench: StoreBench):
    await bench.put(theirs)
    assert (await bench.sweep(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))).placed == (Placed(1, 1),)


async def test_a_sweep_of_a_frame_that_replaces_nothing_fetches_no_object(bench: StoreBench, monkeypatch: pytest.MonkeyPatch):
    await bench.put(b"green:1")
    monkeypatch.setattr(module, "_fetched", None)
    assert (await bench.sweep(bench.parcel(b"red:1"))).placed == (Placed(1, 0),)


async def test_a_damaged_blob_never_gets_a_name(bench: StoreBench):
    parcel = bench.parcel(b"red:1")
    await bench.blobs.path(parcel.outputs[0].digest)
    bench.blobs.blobs[parcel.outputs[0].digest] = b"red:X"
    for path in bench.blobs.folder.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"red:X")
    ended = await bench.deliver(parcel)
    assert (ended.placed, ended.code) == ((), "output_unreachable")
    assert await bench.objects() == {}


async def test_a_large_file_is_one_conditional_request_too(bench: StoreBench):
    large = b"red:" + bytes(12_000_000)
    await bench.put(b"blue:somebody's", "film/large.png")
    assert (await bench.deliver(bench.parcel(large, "large.png"))).placed == (Placed(1, 0, ("large.png",)),)
    assert (await bench.deliver(bench.parcel(large, "free.png"))).placed == (Placed(1, 0),)
    assert (await bench.objects())["film/free.png"] == large


# what stores say


async def tried(store: Any, tmp_path: Path) -> Any:
    async with delivering(lambda b, j: StoreRoot("out", store, b, j, scratch=tmp_path / "scratch"), tmp_path) as bench:
        return await bench.deliver(bench.parcel(b"red:1"))


async def test_a_store_that_ignores_conditions_is_refused_before_anything_is_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put = obstore.put_async

    async def careless(store: Any, path: str, file: Any, *, mode: Any = None, **more: Any) -> Any:
        return await put(store, path, file, **more)

    monkeypatch.setattr(obstore, "put_async", careless)
    store = MemoryStore()
    ended = await tried(store, tmp_path)
    assert (ended.placed, ended.code) == ((), "output_root_failed")
    assert "could overwrite files of others" in ended.reason
    assert [one for batch in obstore.list(store) for one in batch] == []


async def test_a_bucket_that_is_not_there_is_a_reason(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for key, value in s3.environment.items():
        monkeypatch.setenv(key, value)
    ended = await tried(connect("s3://nobody-has-this/x"), tmp_path)
    assert (ended.placed, ended.code) == ((), "output_root_gone")
    assert "does not exist" in ended.reason


async def test_a_store_that_cannot_be_reached_is_a_reason(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "STORE_RETRIES_MAX", 0)
    for key, value in {**s3.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(key, value)
    ended = await tried(connect("s3://bucket/x"), tmp_path)
    assert (ended.placed, ended.code) == ((), "output_root_failed")
    assert "127.0.0.1:1" in ended.reason


@pytest.mark.parametrize(
    ("fault", "code"), [(PermissionError("403"), "output_root_read_only"), (NotImplementedError("no"), "output_root_failed")]
)
def test_what_a_store_refuses_has_a_code(fault: Exception, code: str):
    with pytest.raises(RootFault) as caught, faults("out"):
        raise fault
    assert caught.value.code == code


def test_a_signature_in_an_address_is_not_told():
    with pytest.raises(RootFault) as caught, faults("out"):
        raise AlreadyExistsError("PUT https://a.example/b?sig=secret failed\nmore")
    assert str(caught.value) == "output root 'out': PUT https://a.example/b?... failed"


async def test_a_store_without_replacement_by_tag_keeps_the_old_file_and_says_so(tmp_path: Path):
    (tmp_path / "objects").mkdir()
    store = LocalStore(str(tmp_path / "objects"))
    async with delivering(lambda b, j: StoreRoot("out", store, b, j, scratch=tmp_path / "scratch"), tmp_path) as bench:
        await obstore.put_async(store, NAME, b"green:1")
        older = bench.parcel(b"red:1", generation=1, replaces=[b"green"])
        ended = await bench.deliver(Parcel(1, 1, older.names, older.outputs, older.replaces))
    assert (ended.placed, ended.code) == ((), "output_root_failed")
    assert (tmp_path / "objects" / NAME).read_bytes() == b"green:1"


def test_settings_of_a_store_that_make_no_sense_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "nothing.json"))
    with pytest.raises(Invalid, match="output root gs://bucket") as caught:
        connect("gs://bucket")
    assert caught.value.code == "bad_output_root"


async def test_too_large_an_object_is_somebody_elses_without_a_look(bench: StoreBench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "IMAGE_FILE_BYTES_MAX", 3)
    await bench.put(b"red:1")
    parcel = bench.parcel(b"red:1")
    assert isinstance(parcel.outputs[0], Output)
    assert (await bench.deliver(parcel)).placed == (Placed(1, 0, ("shot_0001.png",)),)
