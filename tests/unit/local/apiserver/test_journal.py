"""The database: what survives, and what is said when it cannot be used."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.apiserver.world import POD, pod
from upwell.local.apiserver.catalog import CATALOG
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.journal import Journal
from upwell.local.apiserver.restore import open_store
from upwell.local.apiserver.store import Store
from upwell.ports import ConfigError


def fail(error: Exception) -> None:
    raise AssertionError(error)


def open_at(path: Path) -> tuple[Journal, Store]:
    journal = Journal(str(path), fail)
    return journal, open_store(CATALOG, journal)


def stored(name: str) -> dict[str, Any]:
    return {**pod(name), "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"}}


async def test_what_was_committed_is_there_in_the_next_life(tmp_path: Path) -> None:
    journal, store = open_at(tmp_path / "sub" / "state.db")
    store.put(POD, stored("a"))
    store.put(POD, stored("b"))
    store.remove(store.records(POD)[0])
    await store.committed()
    journal.close()

    journal, again = open_at(tmp_path / "sub" / "state.db")

    assert [record.obj for record in again.records(POD)] == [
        {**stored("b"), "metadata": again.records(POD)[0].obj["metadata"]}
    ]
    assert again.records(POD)[0].raw == store.records(POD)[0].raw
    assert again.revision == store.revision == 3
    journal.close()


async def test_versions_go_on_where_they_were(tmp_path: Path) -> None:
    journal, store = open_at(tmp_path / "state.db")
    store.remove(store.put(POD, stored("a")))
    await store.committed()
    journal.close()

    journal, store = open_at(tmp_path / "state.db")

    assert store.put(POD, stored("a")).revision == 3
    journal.close()


async def test_an_object_removed_and_made_again_in_one_turn_is_kept(tmp_path: Path) -> None:
    journal, store = open_at(tmp_path / "state.db")
    store.remove(store.put(POD, stored("a")))
    store.put(POD, stored("a"))
    await store.committed()
    journal.close()

    journal, store = open_at(tmp_path / "state.db")

    assert [record.name for record in store.records(POD)] == ["a"]
    journal.close()


async def test_all_writes_of_a_turn_share_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, store = open_at(tmp_path / "state.db")
    flushes: list[int] = []
    flush = journal.flush

    def counted() -> None:
        flushes.append(1)
        flush()

    monkeypatch.setattr(journal, "flush", counted)

    async def write(name: str) -> None:
        store.put(POD, stored(name))
        await store.committed()

    await asyncio.gather(*(write(f"p{index}") for index in range(20)))

    assert len(flushes) == 1
    monkeypatch.undo()
    journal.close()


async def test_a_write_that_the_disk_refuses_is_not_acknowledged(tmp_path: Path) -> None:
    told: list[Exception] = []
    journal = Journal(str(tmp_path / "state.db"), told.append)
    store = open_store(CATALOG, journal)
    journal._database.execute("DROP TABLE objects")
    store.put(POD, stored("a"))

    with pytest.raises(StatusError) as refused:
        await store.committed()

    assert refused.value.code == 500
    assert len(told) == 1
    journal.close()


def test_a_file_that_is_no_database_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database, whatever it is" * 100)

    with pytest.raises(ConfigError) as told:
        Journal(str(path), fail)

    assert str(path) in str(told.value)
    assert "delete it" in str(told.value)


async def test_a_damaged_database_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    journal, store = open_at(path)
    for index in range(200):
        store.put(POD, stored(f"p{index}"))
    journal.close()
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)

    with pytest.raises(ConfigError) as told:
        open_at(path)

    assert "delete it" in str(told.value)


def test_a_row_that_is_no_object_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Journal(str(path), fail).close()
    database = sqlite3.connect(path)
    database.execute("INSERT INTO objects VALUES ('pods', 'default', 'p', '{}')")
    database.commit()
    database.close()

    with pytest.raises(ConfigError) as told:
        open_at(path)

    assert "a row of pods is not an object" in str(told.value)


def test_rows_of_an_unknown_resource_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Journal(str(path), fail).close()
    database = sqlite3.connect(path)
    database.execute("INSERT INTO objects VALUES ('things.example.com', '', 'x', '{}')")
    database.commit()
    database.close()

    journal, store = open_at(path)

    assert list(store.everything()) == []
    journal.close()


def test_a_database_of_a_later_format_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()

    with pytest.raises(ConfigError, match="format 99"):
        Journal(str(path), fail)


def test_two_servers_cannot_share_a_database(tmp_path: Path) -> None:
    journal, _ = open_at(tmp_path / "state.db")

    with pytest.raises(ConfigError, match="in use by another API server"):
        Journal(str(tmp_path / "state.db"), fail)

    journal.close()
