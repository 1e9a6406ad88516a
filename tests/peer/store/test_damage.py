"""A store with anything at all on its disk: opened and believed, or refused with a reason, and never half of either."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peer.ports import StoreBroken
from peer.store.errors import StoreUnusable
from peer.store.folder import Store, open_store
from protocol.records import PutFact, PutValue
from tests.contract.journal_suite import owner_fact
from tests.fuzzing import changed, examples

FACTS = [owner_fact(number, seq, epoch=seq) for number in (1, 2) for seq in range(1, 20)]
VALUES = {f"health/service/s{number}": bytes([number]) * 200 for number in range(1, 20)}


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """A data folder that was closed in order."""
    folder = tmp_path / "filled"
    store = open_store(folder)
    await store.journal.commit([*(PutFact(fact) for fact in FACTS), *(PutValue(key, value) for key, value in VALUES.items())])
    await store.close()
    return folder


async def believed(folder: Path) -> bool:
    """Whether the store was opened and read; then it holds what was put there, and nothing else."""
    try:
        store = open_store(folder)
    except (StoreUnusable, StoreBroken) as error:
        assert folder.name in str(error)  # noqa: PT017 - one answer of two
        return False
    try:
        assert await store.journal.facts() == sorted(FACTS, key=lambda fact: (fact.job, fact.author, fact.seq))
        assert dict(await store.journal.values()) == VALUES
    except StoreBroken:
        with pytest.raises(StoreBroken):
            await store.journal.commit([PutValue("more", b"")])
        return False
    finally:
        await store.close()
    return True


def damaged(folder: Path, to: Path, data: bytes) -> Path:
    """A copy of a data folder with another journal in it."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    (to / "journal.db").write_bytes(data)
    return to


@examples(150)
@given(st.data())
async def test_a_changed_byte_anywhere_in_the_journal_is_harmless_or_found(tmp_path: Path, filled: Path, data: st.DataObject):
    """Bytes of free space and of SQLite's own counters may change unseen; rows may not."""
    whole = bytearray((filled / "journal.db").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    await believed(damaged(filled, tmp_path / "changed", bytes(whole)))


@examples(60)
@given(st.data())
async def test_a_journal_cut_short_or_grown_is_never_half_believed(tmp_path: Path, filled: Path, data: st.DataObject):
    whole = (filled / "journal.db").read_bytes()
    await believed(damaged(filled, tmp_path / "changed", data.draw(changed(whole))))


CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=9), st.binary(max_size=40),
    st.sampled_from([bytes(16), bytes(8), b"\xff", "health/service/x"]),
)  # fmt: skip
TABLES = {"facts": 5, "kv": 3, "pins": 2}


@examples(150)
@given(st.sampled_from(sorted(TABLES)), st.data())
@example("kv", [b"\xff\xfe", b"value", b"sum"])
@example("pins", [b"\xff\xfe", bytes(32)])
async def test_a_row_of_anything_is_named_as_damaged(
    store: Store, data_dir: Path, table: str, data: st.DataObject | list[object]
):
    """Written past us, as a flipped bit or another program would. TEXT that is no UTF-8 among it."""
    cells = data if isinstance(data, list) else [data.draw(CELLS) for _ in range(TABLES[table])]
    as_text = isinstance(data, list) or data.draw(st.booleans())

    def write(connection: apsw.Connection) -> bool:
        first = "CAST(? AS TEXT)" if as_text and table != "facts" else "?"
        marks = ", ".join([first, *["?"] * (TABLES[table] - 1)])
        connection.execute(f"DELETE FROM {table}")
        connection.execute("SAVEPOINT row")
        try:
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(cells))
        except apsw.ConstraintError:
            connection.execute("ROLLBACK TO row")
            return False
        return True

    store._database.broken = None
    if not await store._database.run(write) or table == "pins":
        return
    with pytest.raises(StoreBroken, match="1 damaged rows"):
        await (store.journal.facts() if table == "facts" else store.journal.values())
