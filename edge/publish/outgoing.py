"""What waits to be sent, and which of it goes next. Pure but for the outbox; the publisher holds the lock.

The status goes first, then alerts and predictions, then retained states, such as those of alarms that are on, and the
health when nothing else waits. A state never goes before the alerts that led to it.
"""

from collections import Counter

import msgspec

from edge.mqtt import topics
from edge.publish.cloud_events import CLOUD_EVENTS
from edge.publish.outbox import Outbox
from edge.publish.payloads import DeviceStatus, encode
from edge.publish.queue import Message, MessageQueue


class Outgoing:
    """Messages that wait.

    Parameters
    ----------
    device : opaque id of this device
    status : of this device
    capacity : messages that wait at most in memory
    outbox : where alerts wait; without one they wait in memory, with the predictions
    """

    def __init__(self, device: str, status: DeviceStatus, capacity: int, outbox: Outbox | None) -> None:
        self.status = status
        self.dropped: Counter[str] = Counter()  # messages lost here, by cause
        self._device = device
        self._outbox = outbox
        self._queue = MessageQueue(capacity)
        self._states: dict[str, bytes] = {}  # topic -> retained message
        self._stale: dict[str, None] = {}  # topics whose retained state the broker does not know yet, in order
        self._greet = False  # the status is to be sent
        self._health: bytes | None = None
        self._closing = False

    @property
    def queued(self) -> int:
        """How many alerts and predictions wait in memory."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing waits at all."""
        return not (self._greet or self._queue or self._alerts_wait or self._stale or self._health)

    @property
    def ready(self) -> bool:
        """Whether there is a message to take; alerts that wait for their commit are not there yet."""
        alerts = self._outbox is not None and self._outbox.ready
        return bool(self._greet or alerts or self._queue or self._health or (self._stale and not self._alerts_wait))

    def put_alert(self, topic: str, payload: bytes, rank: int, now_s: float) -> None:
        """Let an alert wait, in the outbox where there is one; `now_s` is monotonic time."""
        message = Message(topic, payload, rank, CLOUD_EVENTS, put_s=now_s)
        if self._outbox is None or self._closing:
            self._put(message)
        else:
            self._outbox.put(message)

    def put_prediction(self, topic: str, payload: bytes) -> None:
        """Let a prediction wait: the first to be given up."""
        self._put(Message(topic, payload))

    def put_health(self, payload: bytes) -> None:
        """Let the health wait; one that was not sent yet is replaced."""
        self._health = payload

    def retain(self, topic: str, payload: bytes) -> None:
        """Change a state that the broker is to keep; an empty one removes it."""
        if payload:
            self._states[topic] = payload
        else:
            self._states.pop(topic, None)
        self._stale[topic] = None

    def clear_stale(self, topic: str) -> bool:
        """Have a state removed that the broker keeps and nobody here knows; say whether it is one."""
        unknown = topic not in self._states
        if unknown:
            self._stale[topic] = None
        return unknown

    def set_status(self, **changes: object) -> None:
        """Change the status, and have it sent."""
        self.status = msgspec.structs.replace(self.status, **changes)
        self._greet = True

    def resend_all(self) -> None:
        """Have the status and every state sent, to a broker that may know none."""
        self._greet = True
        self._stale.update(dict.fromkeys(self._states))

    def close(self) -> None:
        """Take no more alerts and predictions."""
        self._closing = True

    def give_up(self) -> None:
        """Count what waits in memory as lost."""
        self.dropped["closed"] += len(self._queue)

    def take(self) -> Message:
        """Remove and return the next message; there must be one that is `ready`."""
        if self._greet:
            self._greet = False
            return Message(topics.status_topic(self._device), encode(self.status), retain=True)
        if self._outbox is not None and self._outbox.ready:
            return self._outbox.take()
        if self._queue:
            return self._queue.take()
        if self._stale and not self._alerts_wait:
            topic = next(iter(self._stale))
            del self._stale[topic]
            return Message(topic, self._states.get(topic, b""), retain=True)
        payload, self._health = self._health or b"", None
        return Message(topics.health_topic(self._device), payload, retain=True)

    def done(self, message: Message | None) -> None:
        """Note that a message that was taken needs no keeping any more: the broker has it, or it is damaged."""
        if self._outbox is not None and message is not None:
            self._outbox.done(message)

    @property
    def _alerts_wait(self) -> bool:
        return self._outbox is not None and self._outbox.waiting

    def _put(self, message: Message) -> None:
        if self._closing:
            self.dropped["closed"] += 1
        else:
            self.dropped["queue_full"] += len(self._queue.put(message))
