"""What the intake hands to the classifier thread, and the bounded queue between them."""

import contextlib
import queue
import threading
import time
from dataclasses import dataclass

from edge.alarms.command import Command
from edge.beats.tracker import BeatSecond
from edge.monitor.model_switch import Swap
from edge.monitor.stream_monitor import StreamMonitor
from edge.signal.windows import Window

_POLL_S = 0.2  # how often a source that waits for room checks whether the classifier thread has ended


@dataclass(frozen=True, slots=True)
class WindowJob:
    """Decide the next window of a stream."""

    monitor: StreamMonitor
    window: Window
    arrived_s: float  # monotonic time at which the window's last block arrived
    beats: tuple[BeatSecond, ...] = ()  # seconds since the previous window, with the beats that became known
    timed: bool = True  # whether its latency counts; it does not where the end of the stream completed the window


@dataclass(frozen=True, slots=True)
class EndJob:
    """Close a stream after its last window."""

    monitor: StreamMonitor
    arrived_s: float
    beats: tuple[BeatSecond, ...] = ()  # the last beats of the stream


@dataclass(frozen=True, slots=True)
class CommandJob:
    """Pass a person's command to the alarms of a stream."""

    monitor: StreamMonitor
    command: Command
    arrived_s: float


Job = WindowJob | EndJob | CommandJob
Item = Job | Swap | None  # None stops the classifier thread


class JobQueue:
    """Keeps the items in order.

    One queue carries everything, so a command or the end of a stream takes effect after the windows before it.

    Parameters
    ----------
    room : most items that may wait
    """

    def __init__(self, room: int) -> None:
        self._items: queue.Queue[Item] = queue.Queue(room)
        self._closed = threading.Event()

    def __len__(self) -> int:
        return self._items.qsize()

    def put(self, item: Item) -> None:
        """Add an item and wait for room; once the classifier thread has ended, the item is dropped."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=_POLL_S)
                return

    def try_put(self, item: Item) -> bool:
        """Add an item if there is room, and return whether there was."""
        try:
            self._items.put_nowait(item)
        except queue.Full:
            return False
        return True

    def get(self) -> Item:
        """Wait for the next item."""
        return self._items.get()

    def get_nowait(self) -> Item:
        """Return the next item, or raise `queue.Empty`."""
        return self._items.get_nowait()

    def close(self) -> None:
        """Note that no item is taken any more, so that no source waits for room."""
        self._closed.set()

    def waiting(self) -> tuple[int, float | None]:
        """Return how many items wait, and the age of the oldest in s, None when there is none."""
        with self._items.mutex:
            count = len(self._items.queue)
            first = self._items.queue[0] if count else None
        return count, None if first is None else time.monotonic() - first.arrived_s
