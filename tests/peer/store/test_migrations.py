"""Old stores are brought forward, newer ones and strangers are refused untouched."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from peer.store import migrations
from peer.store.errors import StoreNewer, StoreUnusable
from peer.store.migrations import VERSION, migrate


@pytest.fixture
def connection(tmp_path: Path):
    opened = apsw.Connection(str(tmp_path / "some.db"))
    yield opened
    opened.close()


def test_an_empty_file_becomes_a_current_store(connection: apsw.Connection):
    migrate(connection, where="here")
    migrate(connection, where="here")
    assert connection.pragma("user_version") == VERSION
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {"facts", "kv", "pins", "meta"}


def test_a_newer_store_is_refused_with_both_versions(connection: apsw.Connection):
    migrate(connection, where="here")
    connection.pragma("user_version", VERSION + 4)
    with pytest.raises(StoreNewer, match=f"version {VERSION + 4}.*up to {VERSION}") as caught:
        migrate(connection, where="here")
    assert (caught.value.found, caught.value.known) == (VERSION + 4, VERSION)
    assert connection.pragma("user_version") == VERSION + 4


def test_another_programs_database_is_refused_untouched(connection: apsw.Connection):
    connection.pragma("application_id", 12345)
    with pytest.raises(StoreUnusable, match="another program"):
        migrate(connection, where="here")
    assert list(connection.execute("SELECT name FROM sqlite_schema")) == []


def test_an_older_store_keeps_its_rows(connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch):
    migrate(connection, where="here")
    connection.execute("INSERT INTO meta VALUES ('a', 1)")
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, "CREATE TABLE later (x)"))
    monkeypatch.setattr(migrations, "VERSION", VERSION + 1)
    migrate(connection, where="here")
    assert list(connection.execute("SELECT * FROM meta")) == [("a", 1)]
    assert connection.pragma("user_version") == VERSION + 1


def test_a_step_that_fails_leaves_the_version_before_it(connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, "CREATE TABLE half (x); CREATE TABLE half (x)"))
    monkeypatch.setattr(migrations, "VERSION", VERSION + 1)
    with pytest.raises(apsw.SQLError):
        migrate(connection, where="here")
    assert connection.pragma("user_version") == VERSION
    assert "half" not in {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
