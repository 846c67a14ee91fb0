"""Alerts that wait on disk until the broker has them: they outlive kill -9, power cuts and long outages.

    put ──► bounded queue ──► writer thread: group commit ──► take ──► done: the broker acknowledged ──► deleted

What is committed and not evicted is sent at least once, oldest first; what an earlier run left is marked `earlier`.
When the file is full, by messages or by bytes, the oldest of the lowest rank goes. While the disk fails, alerts wait in
the bounded queue and are sent from there, and only those that do not fit in are lost. Every loss is counted under its
cause.

`put`, `take` and `done` never touch the disk. Knows nothing of MQTT, or of what the bytes mean.
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
from edge.publish.queue import Message, MessageQueue
from edge.publish.store import MOST_BYTES, Store

_LOG = logging.getLogger(__name__)
INCOMING = 1000  # messages that wait at most for their commit
_AHEAD = 256  # committed messages that are kept in memory for the sender
_RETRY_S = 1.0  # wait before a disk that failed is tried again
_TIDY_S = 1.0  # acknowledged messages are deleted this late at most: fewer commits, and a few more repetitions
_LOOP_LIMIT_S = 120.0  # a bad card may take long to sync, and a restart does not mend it
_TIDY_COUNT = 200  # or when there are so many


class Outbox:
    """Call `start` once, and `close` at the end; any thread may do the rest.

    Parameters
    ----------
    path : of the file; it is made where it is not there, its folder is not
    capacity : most messages in it
    most_bytes : of all payloads in it together
    incoming : most messages that wait for their commit

    Raises
    ------
    ConfigError
        When the folder does not exist.
    """

    def __init__(self, path: Path, capacity: int, *, most_bytes: int = MOST_BYTES, incoming: int = INCOMING) -> None:
        if not path.parent.is_dir():
            raise ConfigError(f"outbox {path}: there is no folder {path.parent}; create it, or name another file")
        self._path = path
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._room = incoming
        self._turn = threading.Condition()  # guards what follows; never held while the disk is used
        self._incoming = MessageQueue(incoming)
        self._committing: list[Message] = []
        self._refused = MessageQueue(incoming)  # the disk failed on them; sent from here, or tried again
        self._ahead: deque[Message] = deque()  # committed, in order
        self._more = True  # the file may hold messages behind those
        self._acknowledged: list[int] = []  # keys to delete
        self._stored = 0  # committed and not acknowledged
        self._taken = 0  # key of the last one that was taken
        self._lost: Counter[str] = Counter()
        self._trouble = ""
        self._closing = False
        self._store: Store | None = None  # this and what follows is the writer's alone
        self._loaded = 0  # key of the last one that was read ahead
        self._next_key = 1
        self._earlier_to: int | None = None  # keys up to this one are of an earlier run
        self._notify: Callable[[], None] = lambda: None
        self.loop = Loop("outbox", _LOOP_LIMIT_S)
        self._writer = threading.Thread(target=self._write_forever, name="outbox-writer", daemon=True)

    def __len__(self) -> int:
        """Messages that the broker has not acknowledged."""
        with self._turn:
            return self._stored + len(self._committing) + len(self._incoming) + len(self._refused)

    @property
    def ready(self) -> bool:
        """Whether `take` has a message to give."""
        with self._turn:
            return bool(self._ahead) or self._direct

    @property
    def waiting(self) -> bool:
        """Whether there is a message to take, now or soon."""
        with self._turn:
            return bool(self._ahead or self._more or self._committing or self._incoming or self._refused)

    @property
    def lost(self) -> dict[str, int]:
        """Messages given up, by cause: `queue_full`, `evicted`, `disk` (it failed, and the queue was full)."""
        with self._turn:
            return dict(+self._lost)

    def start(self, notify: Callable[[], None] = lambda: None) -> None:
        """Open the file in the background; `notify` is called in the writer's thread when there may be more to take.

        What an earlier run left comes first.
        """
        self._notify = notify
        self._writer.start()

    def put(self, message: Message) -> None:
        """Take a message; it is committed soon, with the others that come meanwhile."""
        with self._turn:
            self._lost["disk" if self._trouble else "queue_full"] += len(self._incoming.put(message))
            self._turn.notify_all()

    def take(self) -> Message:
        """Return the oldest message that was not yet taken in this run; it stays in the file until `done`."""
        with self._turn:
            if self._direct:
                return self._refused.take()
            message = self._ahead.popleft()
            self._taken = message.key
            if self._more and len(self._ahead) <= _AHEAD // 2:
                self._turn.notify_all()
            return message

    def done(self, message: Message) -> None:
        """Note that a message need not be sent again."""
        if not message.key:  # it was never in the file
            return
        with self._turn:
            self._acknowledged.append(message.key)
            self._stored -= 1
            if len(self._acknowledged) >= _TIDY_COUNT:
                self._turn.notify_all()

    def close(self) -> None:
        """Commit what waits and close the file; what cannot be committed is counted."""
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        if self._writer.ident is not None:
            self._writer.join()
        with self._turn:
            left = len(self._incoming) + len(self._refused)
            self._lost["disk"] += left
        if left:
            _LOG.error("outbox %s: the last %d messages could not be written", self._path, left)

    @property
    def _direct(self) -> bool:
        """Whether the next message in order is one that the disk did not take."""
        return bool(self._refused and not self._ahead and not self._more)

    @property
    def _due(self) -> bool:
        """Whether the disk has something to do at once."""
        hungry = self._more and len(self._ahead) <= _AHEAD // 2
        return bool(self._closing or self._incoming or hungry or len(self._acknowledged) >= _TIDY_COUNT)

    def _write_forever(self) -> None:
        closing = False
        while not closing:
            self.loop.rest()
            with self._turn:
                if self._trouble:
                    self._turn.wait_for(lambda: self._closing, _RETRY_S)
                elif self._store is not None:
                    self._turn.wait_for(lambda: self._due, _TIDY_S)
                closing = self._closing
            self.loop.turn()
            try:
                self._store = self._store or self._open()
                self._commit(self._store)
                self._read_ahead(self._store)
            except sqlite3.Error as exc:
                self._fail(exc)
            self._notify()
        self._shut()
        self.loop.rest()

    def _open(self) -> Store:
        store = Store(self._path, self._next_key)
        with self._turn:
            self._stored, self._more = store.count - len(self._acknowledged), store.count > 0
        if self._earlier_to is None:
            self._earlier_to = store.next_key - 1
        return store

    def _commit(self, store: Store) -> None:
        with self._turn:
            messages = self._committing = [*self._refused.take_all(), *self._incoming.take_all()]
            keys = list(self._acknowledged)
            size = store.bytes + sum(len(message.payload) for message in messages)
            full = store.count + len(messages) - len(keys) > self._capacity or size > self._most_bytes
            if full:  # what was read ahead may be evicted
                self._ahead.clear()
                self._loaded, self._more = self._taken, True
        evicted = store.exchange(
            messages, keys, capacity=self._capacity, evict_after=self._loaded, most_bytes=self._most_bytes
        )
        self._next_key = store.next_key
        with self._turn:
            self._committing = []
            del self._acknowledged[: len(keys)]
            self._stored += len(messages) - evicted
            self._more = self._more or bool(messages)
            first, ended = evicted and not self._lost["evicted"], self._trouble and (messages or keys)
            self._lost["evicted"] += evicted
            self._trouble = "" if ended else self._trouble
        if first:
            _LOG.warning("outbox %s: full; the least important alerts are given up, and counted", self._path)
        if ended:
            _LOG.warning("outbox %s: it can be written again; lost so far: %s", self._path, self.lost)

    def _read_ahead(self, store: Store) -> None:
        with self._turn:
            wanted = _AHEAD - len(self._ahead)
            if not self._more or wanted < _AHEAD // 2:
                return
        messages = store.read(self._loaded, wanted)
        earlier_to = self._earlier_to or 0
        with self._turn:
            self._ahead += (replace(message, earlier=message.key <= earlier_to) for message in messages)
            self._more = len(messages) == wanted
        self._loaded = messages[-1].key if messages else self._loaded

    def _fail(self, why: sqlite3.Error) -> None:
        """Keep in memory what could not be written, and open the file anew later."""
        self._shut()
        with self._turn:
            told, self._trouble = self._trouble, str(why)
            for message in (*self._committing, *self._incoming.take_all()):
                self._lost["disk"] += len(self._refused.put(message))
            self._committing = []
            self._more = self._more and self._earlier_to is not None  # what cannot be read cannot come first
        if not told:
            _LOG.error("outbox %s: %s; alerts wait in memory, and beyond %d are lost", self._path, why, self._room)

    def _shut(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
