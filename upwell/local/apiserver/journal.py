"""The database behind the store: SQLite, one row an object, written through.

Writes of one turn of the event loop go into one transaction, which ends before any of them is acknowledged
(`committed`). With WAL and synchronous=NORMAL a commit is a write to the page cache: it survives the death of this
process at any moment, while a power cut may take the last moments but never the consistency. The database is
locked for as long as it is open, so two servers cannot share one.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from upwell.local.apiserver import errors
from upwell.local.apiserver.records import Record
from upwell.ports import ConfigError

__all__ = ["MEMORY", "Journal"]

MEMORY: Final = ":memory:"
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
);
CREATE TABLE IF NOT EXISTS revision (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL);
INSERT OR IGNORE INTO revision VALUES (1, 0);
"""


class Journal:
    """Keeps objects over restarts; `on_failure` is told when the disk no longer takes writes."""

    def __init__(self, path: str, on_failure: Callable[[Exception], None]) -> None:
        """Open or create the database; raise ConfigError when it cannot be used."""
        self._path = path
        self._on_failure = on_failure
        self._pending: dict[tuple[str, str, str], bytes | None] = {}
        self._revision = 0
        self._commit: asyncio.Future[None] | None = None
        try:
            self._database = self._open()
        except sqlite3.Error as error:
            raise ConfigError(self._explain(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self._path != MEMORY:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, isolation_level=None, timeout=0.5)
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it has format {version}, this program writes format {_VERSION}")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version={_VERSION}")
        return database

    def _explain(self, error: Exception) -> str:
        if "locked" in str(error):
            return f"database {self._path} is in use by another API server; stop that one or use another --db"
        return (
            f"database {self._path} cannot be used: {error}; delete it and its -wal and -shm files to start empty,"
            " or name another with --db"
        )

    def load(self) -> tuple[int, Iterator[tuple[str, bytes]]]:
        """The last revision, and every (resource, body); raise ConfigError when the database is damaged."""
        try:
            number = self._database.execute("SELECT number FROM revision").fetchone()[0]
            rows = self._database.execute("SELECT resource, body FROM objects").fetchall()
        except (sqlite3.Error, TypeError) as error:
            raise ConfigError(self._explain(error)) from error
        return int(number), iter(rows)

    def damaged(self, resource: str, error: Exception) -> ConfigError:
        """What to tell about a row that is not an object."""
        return ConfigError(self._explain(ValueError(f"a row of {resource} is not an object ({error})")))

    def put(self, resource: str, record: Record) -> None:
        self._pending[resource, record.namespace, record.name] = record.raw
        self._revision = record.revision

    def remove(self, resource: str, record: Record) -> None:
        self._pending[resource, record.namespace, record.name] = None
        self._revision = record.revision

    async def committed(self) -> None:
        """Return once everything put and removed so far is in the database; raise StatusError (500) if it is not."""
        if not self._pending:
            return
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            # At the end of this turn: whatever else this turn writes shares the transaction.
            loop.call_soon(self._finish, self._commit)
        await asyncio.shield(self._commit)

    def _finish(self, commit: asyncio.Future[None]) -> None:
        self._commit = None
        try:
            self.flush()
        except sqlite3.Error as error:
            # What is in memory is ahead of the disk and stays so: serving on would acknowledge what may be lost.
            self._on_failure(error)
            commit.set_exception(errors.internal(f"the database took no write: {error}"))
        else:
            commit.set_result(None)

    def flush(self) -> None:
        """Write what waits, in one transaction."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        put = [(*key, raw) for key, raw in pending.items() if raw is not None]
        removed = [key for key, raw in pending.items() if raw is None]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", put)
            self._database.executemany("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", removed)
            self._database.execute("UPDATE revision SET number = ?", (self._revision,))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Write what waits and let go of the database."""
        self.flush()
        self._database.close()
