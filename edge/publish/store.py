"""The outbox's SQLite file: rows in, rows out, one commit at a time. Knows no threads, and nothing of brokers.

WAL with `synchronous=FULL`: a commit that returned survives kill -9 and a power cut (sqlite.org/pragma.html). The file
is locked for as long as it is open, so that two programs never send from the same one.
"""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from edge.publish.queue import Message

_LOG = logging.getLogger(__name__)
MOST_BYTES = 256 << 20
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS message (
        key INTEGER PRIMARY KEY,  -- grows from message to message
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,
        rank INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        put_s REAL NOT NULL  -- monotonic time, of use to the run that wrote it
    );
    CREATE INDEX IF NOT EXISTS by_rank ON message (rank, key);
"""
_INSERT = "INSERT INTO message (key, topic, payload, rank, content_type, put_s) VALUES (?, ?, ?, ?, ?, ?)"
_READ = "SELECT key, topic, payload, rank, content_type, put_s FROM message WHERE key > ? ORDER BY key LIMIT ?"
_LEAST = "SELECT key, length(payload) FROM message WHERE key > ? ORDER BY rank, key"
_SIZES = "SELECT count(*), ifnull(max(key), 0), ifnull(sum(length(payload)), 0) FROM message"


class Store:
    """An open file; belongs to the thread that made it. A file that is damaged is set aside, and a new one begun.

    Parameters
    ----------
    path : of the file
    first_key : the least key that the next message may get

    Raises
    ------
    sqlite3.Error
        Here and in every method, when the disk or the file's lock does not permit it.
    """

    def __init__(self, path: Path, first_key: int = 1) -> None:
        try:
            self._database = _open(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:  # no database, or a malformed one
            _set_aside(path, exc)
            self._database = _open(path)
        self.count, last, self.bytes = self._database.execute(_SIZES).fetchone()
        self.next_key = max(last + 1, first_key)

    def exchange(
        self,
        messages: Sequence[Message],
        acknowledged: Sequence[int],
        *,
        capacity: int,
        evict_after: int,
        most_bytes: int = MOST_BYTES,
    ) -> int:
        """Add messages, delete others by key, and keep `capacity` and `most_bytes` of payloads, in one commit.

        Return how many were evicted.

        Only keys above `evict_after` are: the oldest of the lowest rank first.
        """
        if not messages and not acknowledged:
            return 0
        database = self._database
        rows = [
            (key, message.topic, message.payload, message.rank, message.content_type, message.put_s)
            for key, message in enumerate(messages, self.next_key)
        ]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_INSERT, rows)
        count, size = self.count + len(rows), self.bytes + sum(len(message.payload) for message in messages)
        for key in acknowledged:
            found = database.execute("SELECT length(payload) FROM message WHERE key = ?", (key,)).fetchone()
            count, size = count - (found is not None), size - (found or (0,))[0]
        evicted = []
        if count > capacity or size > most_bytes:
            for key, length in database.execute(_LEAST, (evict_after,)):
                if key not in acknowledged:
                    evicted.append(key)
                    count, size = count - 1, size - length
                if count <= capacity and size <= most_bytes:
                    break
        gone = [(key,) for key in (*acknowledged, *evicted)]
        database.executemany("DELETE FROM message WHERE key = ?", gone)
        database.execute("COMMIT")
        self.count, self.bytes = count, size
        self.next_key += len(rows)
        return len(evicted)

    def read(self, after: int, limit: int) -> list[Message]:
        """Return the first messages whose key is above `after`."""
        return [
            Message(topic, payload, rank, content_type, key=key, put_s=put_s)
            for key, topic, payload, rank, content_type, put_s in self._database.execute(_READ, (after, limit))
        ]

    def close(self) -> None:
        """Close the file; what was not committed is not in it."""
        self._database.close()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        with closing(database.execute("PRAGMA quick_check(1)")) as check:
            (verdict,) = check.fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _set_aside(path: Path, why: sqlite3.Error) -> None:
    aside = path.with_name(path.name + ".damaged")
    _LOG.error("outbox %s: %s; what was in it is not sent; set aside as %s", path, why, aside.name)
    try:
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as exc:
        raise sqlite3.OperationalError(f"{why}, and it cannot be set aside: {exc}") from exc
