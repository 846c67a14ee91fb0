"""A bounded queue of messages that drops the least important first. Pure; the owner holds the lock."""

from collections import deque
from dataclasses import dataclass

from edge.bundle.manifest import Priority

RANKS: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}
MAX_BYTES = 64 << 20  # alerts with evidence are up to 64 kB each, and a small device has little memory


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for a topic."""

    topic: str
    payload: bytes
    rank: int = 0  # a full queue drops the lowest rank first
    content_type: str = "application/json"
    retain: bool = False
    put_s: float = 0.0  # monotonic time at which it was made
    key: int = 0  # in the outbox; 0: it is not there
    earlier: bool = False  # an earlier run of the program made it


class MessageQueue:
    """First in, first out. When it is full, the oldest messages of the lowest rank are dropped.

    Parameters
    ----------
    capacity : most messages
    max_bytes : most bytes of payload
    """

    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self._messages: deque[Message] = deque()
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> list[Message]:
        """Append a message; return the dropped ones, which may include it."""
        self._messages.append(message)
        self._bytes += len(message.payload)
        dropped: list[Message] = []
        while len(self._messages) > self._capacity or self._bytes > self._max_bytes:
            least = min(self._messages, key=lambda queued: queued.rank)  # the oldest of them: `min` returns the first
            self._messages.remove(least)
            self._bytes -= len(least.payload)
            dropped.append(least)
        return dropped

    def take(self) -> Message:
        """Remove and return the oldest message; IndexError when there is none."""
        message = self._messages.popleft()
        self._bytes -= len(message.payload)
        return message

    def take_all(self) -> list[Message]:
        """Remove and return all messages, the oldest first."""
        messages = list(self._messages)
        self._messages.clear()
        self._bytes = 0
        return messages
