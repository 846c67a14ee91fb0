"""The network side of the MQTT source: receives payloads and puts them into a fair queue.

The queue is bounded in number and in rate. Payloads that do not fit are dropped, and the instants that the stream's
next payload shows missing have the cause `OVERRUN`. The callbacks run in the network thread and never wait for the
reader.
"""

import logging
import threading
import time
from collections import Counter
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.core.errors import ConfigError
from edge.core.loops import Loop
from edge.mqtt.client import BrokerConfig, new_client
from edge.sources.config import MqttConfig
from edge.sources.fair_queue import FairQueue
from edge.sources.formats.mqtt_payload import MAX_PAYLOAD_BYTES

_LOG = logging.getLogger(__name__)
_MAX_TOPIC_BYTES = 1024
_MAX_QUEUE_BYTES = 32 << 20  # of all devices
_MAX_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES  # the broker does not forward larger packets; they become a gap


class Arrival(NamedTuple):
    """A payload that arrived."""

    stream: str
    payload: bytes
    overrun: bool  # payloads of the stream were dropped before this one
    arrived_s: float  # monotonic time


class PayloadSubscription:
    """A subscription to the payloads of all devices below one topic.

    Parameters
    ----------
    config : broker and topic
    counters : `overrun_payloads`, `throttled_payloads` and `reconnects` are counted here

    Raises
    ------
    ConfigError
        When the topic has not exactly one `+` or is a shared one, or a file of the broker's settings cannot be used.
    """

    def __init__(self, config: MqttConfig, counters: Counter[str]) -> None:
        self._config = config
        self._counters = counters
        self._level = _stream_level(config.topic)
        self.queue: FairQueue[Arrival] = FairQueue(
            config.queue_payloads, _MAX_QUEUE_BYTES, config.max_payloads_per_s, newcomers=4 * config.max_streams
        )
        self._overrun: set[str] = set()  # streams that lost a payload since their last queued one; network thread only
        self._subscribed = threading.Event()
        self._refusal = ""  # why the broker refused the subscription
        self._broker = config.broker or BrokerConfig()
        self._client = new_client(self._broker)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def network(self) -> Loop:
        """The loop of the network thread."""
        return self._client.network

    @property
    def trouble(self) -> str:
        """Why there is no subscription, in one line."""
        return self._refusal or self._client.trouble or f"{self._broker.address}: no answer; is the broker running?"

    def start(self) -> None:
        """Connect and subscribe in the network thread, and again whenever the connection is lost."""
        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        limits.MaximumPacketSize = _MAX_PACKET_BYTES
        broker = self._broker
        self._client.connect_async(broker.host, broker.port, broker.keepalive_s, properties=limits)
        self._client.loop_start()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the broker has granted the subscription, within a time limit."""
        return self._subscribed.wait(timeout_s)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: mqtt.Client, _: object, __: mqtt.ConnectFlags, code: ReasonCode, ___: Properties | None
    ) -> None:
        if not self._client.note_answer(code):
            self._log_trouble()
            return
        if self._subscribed.is_set():
            self._counters["reconnects"] += 1
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)  # they are old
        client.subscribe(self._config.topic, options=options)

    def _on_connect_fail(self, _: mqtt.Client, __: object) -> None:
        self._log_trouble()

    def _on_disconnect(
        self, _: mqtt.Client, __: object, ___: mqtt.DisconnectFlags, code: ReasonCode, ____: Properties | None
    ) -> None:
        self._client.note_disconnect(code)
        self._log_trouble()

    def _log_trouble(self) -> None:
        """Log why the connection was lost, once for each reason; before the first connection, the reader raises it."""
        trouble = self._client.new_trouble() if self._subscribed.is_set() else ""
        if trouble:
            _LOG.warning("%s; no samples arrive until it is back; trying again", trouble)

    def _on_subscribe(
        self, _: mqtt.Client, __: object, ___: int, codes: list[ReasonCode], ____: Properties | None
    ) -> None:
        if codes and codes[0].is_failure:
            self._refusal = (
                f"{self._broker.address}: the broker refuses to subscribe to {self._config.topic}: "
                f"{codes[0].getName().lower()}; check its access list"
            )
            _LOG.warning("%s", self._refusal)  # after a reconnect nobody waits for it
        else:
            self._subscribed.set()

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        stream = message.topic.split("/")[self._level]
        payload = bytes(message.payload[: MAX_PAYLOAD_BYTES + 1])  # one byte more, so that it is refused as too large
        now_s = time.monotonic()
        if not self.queue.allows(stream, len(payload), now_s):
            self._counters["throttled_payloads"] += 1
            self._mark_overrun(stream)
            return
        losers = self.queue.put(Arrival(stream, payload, stream in self._overrun, now_s))
        self._overrun.discard(stream)
        for loser in losers:
            self._counters["overrun_payloads"] += 1
            self._mark_overrun(loser)

    def _mark_overrun(self, stream: str) -> None:
        """Note that a gap before the stream's next payload was caused here."""
        # Bounded, because ids of streams that do not exist can be invented.
        if len(self._overrun) < self._config.max_streams:
            self._overrun.add(stream)


def _stream_level(topic: str) -> int:
    """Return which level of the topic is the stream's id, or raise ConfigError."""
    levels = topic.split("/")
    if levels.count("+") != 1 or topic.count("+") != 1 or "#" in topic:
        raise ConfigError(f"topic {topic!r} needs exactly one + level, for the stream's id")
    # A shared subscription ($share/...) would end paho's network thread with the first message.
    if topic.startswith("$") or "\0" in topic or len(topic.encode()) > _MAX_TOPIC_BYTES:
        raise ConfigError(
            f"topic {topic[:80]!r} begins with $, holds a zero, or is longer than {_MAX_TOPIC_BYTES} bytes"
        )
    return levels.index("+")
