"""Counts the messages between this program and the broker's acknowledgement. Pure; the connection holds the lock."""

from edge.publish.queue import Message


class InFlight:
    """Messages that paho has and the broker has not acknowledged.

    After a lost connection paho repeats them. Until all of them are acknowledged no new message may be sent: paho
    reports the new connection before it repeats, so a new message could overtake an old one.

    Parameters
    ----------
    limit : messages that may be in flight at the same time
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._repeating = False
        self._messages: dict[int, Message | None] = {}  # by paho's id; None: acknowledged before its id was known

    def __len__(self) -> int:
        return self._count

    @property
    def has_room(self) -> bool:
        """Whether another message may be sent."""
        return not self._repeating and self._count < self._limit

    def add(self) -> None:
        """Count a message that is about to be given to paho."""
        self._count += 1

    def identify(self, mid: int, message: Message) -> Message | None:
        """Note paho's id of an added message; return the message if it is acknowledged already."""
        # paho's thread may handle the acknowledgement before its `publish` has returned the id to ours.
        if mid in self._messages:
            del self._messages[mid]
            return message
        self._messages[mid] = message
        return None

    def acknowledge(self, mid: int) -> Message | None:
        """Note an acknowledgement; return the message if its id is known already."""
        self.remove()
        message = self._messages.pop(mid, None)
        if message is None:
            self._messages[mid] = None
        return message

    def remove(self) -> None:
        """Stop counting a message: it was acknowledged, or never given to paho."""
        self._count -= 1
        self._repeating = self._repeating and self._count > 0

    def lose_connection(self) -> None:
        """Let no message through until all that are in flight have been acknowledged."""
        self._repeating = self._count > 0
