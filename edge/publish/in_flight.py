"""Which messages are on their way to the broker. Pure; the publisher holds the lock.

After a lost connection paho repeats what was on its way; until all of it is acknowledged nothing new may leave, or it
would overtake: paho tells of the new connection before it repeats.
"""

from edge.publish.queue import Message


class InFlight:
    """Messages that paho has and the broker has not acknowledged.

    Parameters
    ----------
    most : messages that may be on their way at the same time
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._repeating = False
        self._messages: dict[int, Message | None] = {}  # by paho's id; None: acknowledged before its id was known

    def __len__(self) -> int:
        return self._count

    @property
    def open(self) -> bool:
        """Whether another message may leave."""
        return not self._repeating and self._count < self._most

    def leave(self) -> None:
        """Count a message that is about to be given to paho."""
        self._count += 1

    def name(self, mid: int, message: Message) -> Message | None:
        """Note paho's id of a message that left; return the message if it was acknowledged already."""
        if mid in self._messages:
            del self._messages[mid]
            return message
        self._messages[mid] = message
        return None

    def land(self, mid: int) -> Message | None:
        """Note that a message was acknowledged; return it if it was named already."""
        self.drop()
        message = self._messages.pop(mid, None)
        if message is None:
            self._messages[mid] = None
        return message

    def drop(self) -> None:
        """Count off a message that is no longer on its way."""
        self._count -= 1
        self._repeating = self._repeating and self._count > 0

    def lose_connection(self) -> None:
        """Close the way until all that is on it has been acknowledged."""
        self._repeating = self._count > 0
