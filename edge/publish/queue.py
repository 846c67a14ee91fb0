"""A bounded queue of messages that gives up the least important first. Pure; the publisher holds the lock."""

from collections import deque
from dataclasses import dataclass

from edge.bundle.manifest import Priority

RANKS: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for a topic."""

    topic: str
    payload: bytes
    rank: int = 0  # what is higher is kept longer
    content_type: str = "application/json"
    retain: bool = False
    put_s: float = 0.0  # monotonic time at which it was made
    key: int = 0  # in the outbox; 0: it is not there
    earlier: bool = False  # an earlier run made it


class MessageQueue:
    """First in, first out; when full, the oldest messages of the lowest rank go.

    Parameters
    ----------
    capacity : most messages
    most_bytes : of all payloads together
    """

    def __init__(self, capacity: int, most_bytes: int = MOST_BYTES) -> None:
        self._messages: deque[Message] = deque()
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> list[Message]:
        """Append a message; return those that were given up for it, itself perhaps."""
        self._messages.append(message)
        self._bytes += len(message.payload)
        victims: list[Message] = []
        while len(self._messages) > self._capacity or self._bytes > self._most_bytes:
            victim = min(self._messages, key=lambda queued: queued.rank)
            self._messages.remove(victim)
            self._bytes -= len(victim.payload)
            victims.append(victim)
        return victims

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
