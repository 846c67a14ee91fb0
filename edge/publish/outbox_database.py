"""The outbox's SQLite file: messages are added, read and deleted, one commit at a time.

In WAL mode with `synchronous=FULL` a commit that returned survives kill -9 and a power cut (sqlite.org/pragma.html).
The file is locked while it is open, so two programs never send from the same one.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edge.publish.queue import Message

_LOG = logging.getLogger(__name__)
MAX_BYTES = 256 << 20
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS message (
        key INTEGER PRIMARY KEY,  -- grows from message to message
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,
        rank INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        put_s REAL NOT NULL  -- monotonic time, which means something in the run that wrote it only
    );
    CREATE INDEX IF NOT EXISTS by_rank ON message (rank, key);
"""
_INSERT = "INSERT INTO message (key, topic, payload, rank, content_type, put_s) VALUES (?, ?, ?, ?, ?, ?)"
_READ = "SELECT key, topic, payload, rank, content_type, put_s FROM message WHERE key > ? ORDER BY key LIMIT ?"
_SIZE = "SELECT length(payload) FROM message WHERE key = ?"
_LEAST_IMPORTANT = "SELECT key, length(payload) FROM message WHERE key > ? ORDER BY rank, key"
_TOTALS = "SELECT count(*), ifnull(max(key), 0), ifnull(sum(length(payload)), 0) FROM message"


class OutboxDatabase:
    """An open file. It belongs to the thread that made it. A damaged file is renamed, and a new one is begun.

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
            self._sqlite = _open(path)
        except sqlite3.OperationalError:  # a lock or a disk: trying again later may help
            raise
        except sqlite3.DatabaseError as exc:  # no database, or a malformed one: trying again never helps
            _set_aside(path, exc)
            self._sqlite = _open(path)
        self.count, last, self.bytes = self._sqlite.execute(_TOTALS).fetchone()
        self.next_key = max(last + 1, first_key)

    def exchange(
        self,
        messages: Sequence[Message],
        acknowledged: Sequence[int],
        *,
        capacity: int,
        evict_after: int,
        max_bytes: int = MAX_BYTES,
    ) -> int:
        """Add messages, delete others by key, and evict down to `capacity` and `max_bytes`, in one commit.

        Evicted are messages with keys above `evict_after`, the oldest of the lowest rank first. Return how many.
        """
        if not messages and not acknowledged:
            return 0
        self._sqlite.execute("BEGIN IMMEDIATE")
        self._insert(messages)
        # Totals are kept here: counting in SQL reads the whole file.
        count, size = self.count + len(messages), self.bytes + sum(len(message.payload) for message in messages)
        for key in acknowledged:
            found = self._sqlite.execute(_SIZE, (key,)).fetchone()  # None: it was evicted while in flight
            count, size = count - (found is not None), size - (found or (0,))[0]
        evicted = dict(self._least_important(evict_after, acknowledged, count - capacity, size - max_bytes))
        self._delete((*acknowledged, *evicted))
        self._sqlite.execute("COMMIT")
        # Only now: after an error the file is as before, and so are the figures.
        self.count, self.bytes = count - len(evicted), size - sum(evicted.values())
        self.next_key += len(messages)
        return len(evicted)

    def read(self, after: int, limit: int) -> list[Message]:
        """Return the first messages whose key is above `after`."""
        return [
            Message(topic, payload, rank, content_type, key=key, put_s=put_s)
            for key, topic, payload, rank, content_type, put_s in self._sqlite.execute(_READ, (after, limit))
        ]

    def close(self) -> None:
        """Close the file; what was not committed is not in it."""
        self._sqlite.close()

    def _insert(self, messages: Sequence[Message]) -> None:
        rows = [
            (key, message.topic, message.payload, message.rank, message.content_type, message.put_s)
            for key, message in enumerate(messages, self.next_key)
        ]
        self._sqlite.executemany(_INSERT, rows)

    def _least_important(
        self, after: int, skip: Sequence[int], excess: int, excess_bytes: int
    ) -> Iterator[tuple[int, int]]:
        """Yield key and size of messages until so many, and so many bytes, are no longer too many."""
        if excess <= 0 and excess_bytes <= 0:
            return
        for key, length in self._sqlite.execute(_LEAST_IMPORTANT, (after,)):
            if key not in skip:
                yield key, length
                excess, excess_bytes = excess - 1, excess_bytes - length
            if excess <= 0 and excess_bytes <= 0:
                return

    def _delete(self, keys: Iterable[int]) -> None:
        self._sqlite.executemany("DELETE FROM message WHERE key = ?", [(key,) for key in keys])


def _open(path: Path) -> sqlite3.Connection:
    # isolation_level=None: Python then begins no transactions of its own.
    database = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        # A file may be damaged far behind its header; without this check, the damage shows up while alerts are sent.
        with closing(database.execute("PRAGMA quick_check(1)")) as check:
            (verdict,) = check.fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _set_aside(path: Path, error: sqlite3.Error) -> None:
    aside = path.with_name(path.name + ".damaged")
    _LOG.error("outbox %s: %s; its alerts are not sent; set aside as %s", path, error, aside.name)
    try:
        path.replace(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file, and would be applied to the new one
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as exc:
        raise sqlite3.OperationalError(f"{error}, and it cannot be set aside: {exc}") from exc
