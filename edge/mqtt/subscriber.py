"""A subscriber: the messages of some topics, one after another."""

import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.core.errors import BrokerError
from edge.mqtt.client import BrokerConfig, new_client, open_connection

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11


class Received(NamedTuple):
    """One message."""

    topic: str
    payload: bytes
    retained: bool


class Subscriber:
    """A context manager that is subscribed, and subscribes again after every loss of the connection.

    Parameters
    ----------
    config : the broker
    filters : topic filters to subscribe to, with QoS 1
    timeout_s : how long entering may wait for the broker
    capacity : messages that wait at most for `get`

    Raises
    ------
    BrokerError
        On entry, when the broker cannot be reached, refuses, or does not grant the subscriptions.
    """

    def __init__(
        self, config: BrokerConfig, filters: Sequence[str], *, timeout_s: float = 10.0, capacity: int = 10_000
    ) -> None:
        self.dropped = 0  # messages that arrived while the queue was full
        self._config = config
        self._filters = [(text, 1) for text in filters]
        self._timeout_s = timeout_s
        self._messages: queue.Queue[Received] = queue.Queue(capacity)
        self._answered = threading.Event()
        self._error: str | None = None
        self._client = new_client(config)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> "Self":
        open_connection(self._client, self._config)
        if not self._answered.wait(self._timeout_s):
            self._error = f"{self._config.address}: no MQTT answer within {self._timeout_s:g} s"
        if self._error is not None:
            self._close()
            raise BrokerError(self._error)
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    def get(self, timeout_s: float) -> Received | None:
        """Return the next message, or None when none comes in time."""
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        # Here and not in `__enter__`: after a lost connection the broker has forgotten the subscriptions.
        if self._client.note_answer(code):
            client.subscribe(self._filters)
        else:
            self._fail(self._client.trouble)

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self._client.note_disconnect(code)
        if self._client.trouble:
            self._fail(self._client.trouble)

    def _fail(self, error: str) -> None:
        """Set the error for `__enter__`; once it has returned, paho connects again by itself."""
        if not self._answered.is_set():
            self._error = error
            self._answered.set()

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(code.is_failure for code in codes):
            self._fail(f"{self._config.address}: the broker does not grant the subscription; check its access list")
        self._answered.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        # Never wait here: paho's thread must go on answering the broker's pings.
        try:
            self._messages.put_nowait(Received(message.topic, bytes(message.payload), message.retain))
        except queue.Full:
            self.dropped += 1
