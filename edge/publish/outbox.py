"""Alerts that wait on disk until the broker has them: they outlive kill -9, power cuts and long outages.

    put ──► incoming queue ──► writer thread: group commit ──► take ──► done: the broker acknowledged ──► deleted

Every alert that is committed and not evicted is sent at least once, oldest first. Alerts of an earlier run are marked
`earlier`. When the file is full, by messages or by bytes, the oldest of the lowest rank are evicted. While the disk
fails, alerts wait in memory and are sent from there; those that find no room are lost. Every loss is counted by cause.

`put`, `take` and `done` never touch the disk, so their callers never wait for it.
"""

import logging
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge.core.errors import ConfigError
from edge.core.loops import Loop
from edge.publish.outbox_database import MAX_BYTES, OutboxDatabase
from edge.publish.queue import Message, MessageQueue

_LOG = logging.getLogger(__name__)
INCOMING = 1000  # most messages that wait for their commit
_READ_AHEAD = 256  # committed messages that are kept in memory for the sender
_RETRY_S = 1.0  # wait before a failing disk is tried again
_DELETE_S = 1.0  # acknowledged messages are deleted this late at most: fewer commits, but more repetitions after a kill
_DELETE_COUNT = 200  # or when there are so many
_LOOP_LIMIT_S = 120.0  # a bad card may take long to sync, and a restart does not repair it


class Outbox:
    """Call `start` once, and `close` at the end; any thread may call the other methods.

    Parameters
    ----------
    path : of the file; it is created if missing, its folder is not
    capacity : most messages in it
    max_bytes : most bytes of payload in it
    incoming : most messages that wait for their commit

    Raises
    ------
    ConfigError
        When the folder does not exist.
    """

    def __init__(self, path: Path, capacity: int, *, max_bytes: int = MAX_BYTES, incoming: int = INCOMING) -> None:
        if not path.parent.is_dir():
            raise ConfigError(f"outbox {path}: there is no folder {path.parent}; create it, or name another file")
        self._path = path
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._incoming_limit = incoming
        self._changed = threading.Condition()  # guards what follows; never held while the disk is used
        self._incoming = MessageQueue(incoming)
        self._committing: list[Message] = []
        self._unwritten = MessageQueue(incoming)  # the disk failed on them: sent from memory, or written later
        self._read_ahead: deque[Message] = deque()  # committed, in order
        self._more = True  # the file may hold messages after those
        self._acknowledged: list[int] = []  # keys to delete
        self._stored = 0  # committed and not acknowledged
        self._last_taken = 0  # key
        self._lost: Counter[str] = Counter()
        self._disk_error = ""
        self._closing = False
        # From here on only the writer thread uses the fields.
        self._database: OutboxDatabase | None = None
        self._last_read = 0  # key
        self._next_key = 1  # keys never repeat within a run, even if the file is replaced
        self._earlier_until: int | None = None  # keys up to this one are of an earlier run
        self._notify: Callable[[], None] = lambda: None
        self.loop = Loop("outbox", _LOOP_LIMIT_S)
        self._writer = threading.Thread(target=self._write_forever, name="outbox-writer", daemon=True)

    def __len__(self) -> int:
        """Messages that the broker has not acknowledged."""
        with self._changed:
            return self._stored + len(self._committing) + len(self._incoming) + len(self._unwritten)

    @property
    def ready(self) -> bool:
        """Whether `take` has a message to give."""
        with self._changed:
            return bool(self._read_ahead) or self._next_is_unwritten

    @property
    def waiting(self) -> bool:
        """Whether there is a message to take, now or soon."""
        with self._changed:
            return bool(self._read_ahead or self._more or self._committing or self._incoming or self._unwritten)

    @property
    def lost(self) -> dict[str, int]:
        """Messages lost, by cause: `queue_full`, `evicted`, `disk` (it failed, and the queue was full)."""
        with self._changed:
            return dict(+self._lost)

    def start(self, notify: Callable[[], None] = lambda: None) -> None:
        """Open the file in the background. `notify` is called in the writer thread when there may be more to take.

        Messages of an earlier run come first.
        """
        self._notify = notify
        self._writer.start()

    def put(self, message: Message) -> None:
        """Add a message. It is committed soon, together with those that arrive in the meantime."""
        with self._changed:
            # While the disk fails the writer does not empty the queue, so the disk is to blame.
            self._lost["disk" if self._disk_error else "queue_full"] += len(self._incoming.put(message))
            self._changed.notify_all()

    def take(self) -> Message:
        """Return the oldest message that was not taken in this run; it stays in the file until `done`."""
        with self._changed:
            if self._next_is_unwritten:
                return self._unwritten.take()
            message = self._read_ahead.popleft()
            self._last_taken = message.key
            if self._should_read:
                self._changed.notify_all()
            return message

    def done(self, message: Message) -> None:
        """Delete a message, soon: it need not be sent again."""
        if not message.key:  # it was sent from memory, and is not in the file
            return
        with self._changed:
            self._acknowledged.append(message.key)
            self._stored -= 1
            if len(self._acknowledged) >= _DELETE_COUNT:  # fewer wait for the next commit, or for `_DELETE_S`
                self._changed.notify_all()

    def close(self) -> None:
        """Commit what waits and close the file. What cannot be committed is counted as lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._writer.ident is not None:
            self._writer.join()
        with self._changed:
            left = len(self._incoming) + len(self._unwritten)
            self._lost["disk"] += left
        if left:
            _LOG.error("outbox %s: the last %d messages could not be written", self._path, left)

    @property
    def _next_is_unwritten(self) -> bool:
        """Whether the next message in order is one that the disk did not take."""
        return bool(self._unwritten and not self._read_ahead and not self._more)

    @property
    def _should_read(self) -> bool:
        """Whether so few messages are read ahead that more should be fetched from the file."""
        return self._more and len(self._read_ahead) <= _READ_AHEAD // 2

    @property
    def _has_work(self) -> bool:
        """Whether the writer has something to do at once."""
        return bool(self._closing or self._incoming or self._should_read or len(self._acknowledged) >= _DELETE_COUNT)

    def _write_forever(self) -> None:
        closing = False
        while not closing:
            self.loop.rest()
            with self._changed:
                if self._disk_error:
                    self._changed.wait_for(lambda: self._closing, _RETRY_S)
                elif self._database is not None:
                    self._changed.wait_for(lambda: self._has_work, _DELETE_S)
                closing = self._closing
            self.loop.turn()
            try:
                self._database = self._database or self._open()
                self._commit(self._database)
                self._fetch(self._database)
            except sqlite3.Error as exc:
                self._keep_in_memory(exc)
            self._notify()
        self._close_database()
        self.loop.rest()

    def _open(self) -> OutboxDatabase:
        database = OutboxDatabase(self._path, self._next_key)
        with self._changed:
            # After a disk error, acknowledged messages may still be in the file; they are deleted with the next commit.
            self._stored, self._more = database.count - len(self._acknowledged), database.count > 0
        if self._earlier_until is None:
            self._earlier_until = database.next_key - 1
        return database

    def _commit(self, database: OutboxDatabase) -> None:
        with self._changed:
            # One commit for all that arrived during the last one: an fsync costs far more than a row.
            messages = self._committing = [*self._unwritten.take_all(), *self._incoming.take_all()]
            keys = list(self._acknowledged)
            size = database.bytes + sum(len(message.payload) for message in messages)
            if database.count + len(messages) - len(keys) > self._capacity or size > self._max_bytes:
                # This commit evicts. Forget what was read ahead: an evicted message must not be sent after all.
                self._read_ahead.clear()
                self._last_read, self._more = self._last_taken, True
        evicted = database.exchange(
            messages, keys, capacity=self._capacity, evict_after=self._last_read, max_bytes=self._max_bytes
        )
        self._next_key = database.next_key
        with self._changed:
            self._committing = []
            del self._acknowledged[: len(keys)]
            self._stored += len(messages) - evicted
            self._more = self._more or bool(messages)
            first_eviction = evicted and not self._lost["evicted"]
            # A commit of nothing proves nothing about the disk.
            recovered = self._disk_error and (messages or keys)
            self._lost["evicted"] += evicted
            self._disk_error = "" if recovered else self._disk_error
        if first_eviction:
            _LOG.warning("outbox %s: full; the least important alerts are given up, and counted", self._path)
        if recovered:
            _LOG.warning("outbox %s: it can be written again; lost so far: %s", self._path, self.lost)

    def _fetch(self, database: OutboxDatabase) -> None:
        """Read more committed messages for the sender."""
        with self._changed:
            wanted = _READ_AHEAD - len(self._read_ahead)
            if not self._more or wanted < _READ_AHEAD // 2:
                return
        messages = database.read(self._last_read, wanted)
        earlier_until = self._earlier_until or 0
        with self._changed:
            self._read_ahead += (replace(message, earlier=message.key <= earlier_until) for message in messages)
            self._more = len(messages) == wanted
        self._last_read = messages[-1].key if messages else self._last_read

    def _keep_in_memory(self, error: sqlite3.Error) -> None:
        """Keep in memory what could not be written; the file is opened again later."""
        self._close_database()  # after an I/O error only a new connection is known to work
        with self._changed:
            known, self._disk_error = self._disk_error, str(error)
            for message in (*self._committing, *self._incoming.take_all()):
                self._lost["disk"] += len(self._unwritten.put(message))
            self._committing = []
            # A file that was never opened cannot be read either, so nothing in it can be sent first.
            self._more = self._more and self._earlier_until is not None
        if not known:
            limit = self._incoming_limit
            _LOG.error("outbox %s: %s; alerts wait in memory, and beyond %d are lost", self._path, error, limit)

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
