"""The messages that wait, and which of them is sent next. Pure but for the outbox; the connection holds the lock.

The status is sent first, then alerts and predictions, then retained states such as those of the alarms that are on, and
the health when nothing else waits. A state is never sent before the alerts that led to it.
"""

from collections import Counter

import msgspec

from edge.mqtt import topics
from edge.publish.cloud_events import CLOUD_EVENTS
from edge.publish.outbox import Outbox
from edge.publish.payloads import DeviceStatus, encode
from edge.publish.queue import Message, MessageQueue


class Outgoing:
    """The messages that wait.

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
        # Topics whose retained state is not what the broker has. An ordered set: only the latest state of a topic is
        # sent, so alarms that flutter while the broker is away cost one message each.
        self._stale: dict[str, None] = {}
        self._status_is_stale = False
        self._health: bytes | None = None
        self._closed = False

    @property
    def queued(self) -> int:
        """How many alerts and predictions wait in memory."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing waits at all."""
        return not (self._status_is_stale or self._queue or self._outbox_waits or self._stale or self._health)

    @property
    def ready(self) -> bool:
        """Whether `take` has a message to give. Alerts that wait for their commit to disk do not count yet."""
        states = self._stale and not self._outbox_waits
        return bool(self._status_is_stale or self._outbox_is_ready or self._queue or states or self._health)

    def put_event(self, topic: str, payload: bytes, rank: int, now_s: float) -> None:
        """Add an alert or a device event, to the outbox where there is one; `now_s` is monotonic time."""
        message = Message(topic, payload, rank, CLOUD_EVENTS, put_s=now_s)
        # After `close` the writer of the outbox may be gone; `_put` then counts the alert as dropped.
        if self._outbox is None or self._closed:
            self._put(message)
        else:
            self._outbox.put(message)

    def put_prediction(self, topic: str, payload: bytes) -> None:
        """Add a prediction, with the lowest rank."""
        self._put(Message(topic, payload))

    def put_health(self, payload: bytes) -> None:
        """Replace the health."""
        self._health = payload

    def retain(self, topic: str, payload: bytes) -> None:
        """Change a state that the broker retains; an empty payload removes it."""
        if payload:
            self._states[topic] = payload
        else:
            self._states.pop(topic, None)
        self._stale[topic] = None

    def clear_stale(self, topic: str) -> None:
        """Remove a state that the broker retains and this run did not make; an earlier run left it behind."""
        if topic not in self._states:
            self._stale[topic] = None

    def set_status(self, **changes: object) -> None:
        """Change some fields of the status, and send it."""
        self.status = msgspec.structs.replace(self.status, **changes)
        self._status_is_stale = True

    def resend_all(self) -> None:
        """Send the status and every state again: the broker may have restarted without its memory."""
        self._status_is_stale = True
        self._stale.update(dict.fromkeys(self._states))

    def close(self) -> None:
        """Accept no more alerts and predictions."""
        self._closed = True

    def drop_all(self) -> None:
        """Count what waits in memory as dropped."""
        self.dropped["closed"] += len(self._queue)

    def take(self) -> Message:
        """Remove and return the next message; only when `ready`."""
        if self._status_is_stale:
            # Encoded only now, so that several changes cost one message.
            self._status_is_stale = False
            return Message(topics.status_topic(self._device), encode(self.status), retain=True)
        if self._outbox is not None and self._outbox.ready:
            return self._outbox.take()
        if self._queue:
            return self._queue.take()
        if self._stale and not self._outbox_waits:
            # Not before the alerts: a reader of the state alone must not be ahead of a reader of the alerts.
            topic = next(iter(self._stale))
            del self._stale[topic]
            return Message(topic, self._states.get(topic, b""), retain=True)
        payload, self._health = self._health or b"", None
        return Message(topics.health_topic(self._device), payload, retain=True)

    def done(self, message: Message | None) -> None:
        """Delete a message that was taken from the outbox: the broker has it, or it is damaged."""
        if self._outbox is not None and message is not None:
            self._outbox.done(message)

    @property
    def _outbox_is_ready(self) -> bool:
        return self._outbox is not None and self._outbox.ready

    @property
    def _outbox_waits(self) -> bool:
        return self._outbox is not None and self._outbox.waiting

    def _put(self, message: Message) -> None:
        if self._closed:
            self.dropped["closed"] += 1
        else:
            self.dropped["queue_full"] += len(self._queue.put(message))
