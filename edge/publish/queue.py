"""A bounded queue of messages that gives up the least important first. Pure; the publisher holds the lock."""

from collections import deque
from dataclasses import dataclass

from edge.bundle import Priority

RANKS: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}


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
    """First in, first out; when full, the oldest message of the lowest rank goes."""

    def __init__(self, capacity: int) -> None:
        self._messages: deque[Message] = deque()
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> Message | None:
        """Append a message; return the one that was given up for it, which may be itself."""
        if len(self._messages) < self._capacity:
            self._messages.append(message)
            return None
        victim = min(self._messages, key=lambda queued: queued.rank, default=message)
        if not self._messages or message.rank < victim.rank:
            return message
        self._messages.remove(victim)
        self._messages.append(message)
        return victim

    def take(self) -> Message:
        """Remove and return the oldest message; IndexError when there is none."""
        return self._messages.popleft()

    def take_all(self) -> list[Message]:
        """Remove and return all messages, the oldest first."""
        messages = list(self._messages)
        self._messages.clear()
        return messages
