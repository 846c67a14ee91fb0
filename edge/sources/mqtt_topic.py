"""Devices that publish samples to an MQTT broker: one source for all streams below one topic.

The network thread only puts payloads into a fair queue, which is bounded in number and in rate. Payloads that do not
fit are dropped, and the instants that the stream's next payload shows missing have the cause `OVERRUN`. A broker cannot
hold back a publisher, so a sender that must lose nothing (a replay) waits for `on_taken` before it sends more.

A device that goes quiet is silent until it comes back, ends its stream, or is given up: after `forget_after_s`, or
after five minutes where a new device needs room. Silence is measured at the times of arrival, so that a reader that
lags behind does not take a device for silent.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.core.errors import BrokerError, ConfigError, FrameError
from edge.core.loops import Loop
from edge.core.samples import Block, Cause
from edge.mqtt.client import BrokerClient, BrokerConfig, new_client
from edge.sources.base import SourceBase
from edge.sources.config import MqttConfig
from edge.sources.fair_queue import FairQueue, TokenBucket
from edge.sources.formats.mqtt_payload import MAX_PAYLOAD_BYTES, PayloadStream, SamplesPayload, decode_payload
from edge.sources.live_stream import LiveStream

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1  # longest wait before `stop` is checked again
_LOG_EVERY_S = 1.0
_MAX_TOPIC_BYTES = 1024
_MAX_WAITING_BYTES = 32 << 20  # of all devices
_MAX_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES  # the broker does not forward larger packets; they become a gap
_MAKE_ROOM_AFTER_S = 300.0  # a stream that is quiet for this long may be ended for a new one
_GAP_RATE, _GAP_BURST_S = 2.0, 600.0  # gaps that a device may claim: s of its stream per s, and at once
_TICK_S = 0.1  # how often silence is checked
_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Arrival(NamedTuple):
    stream: str
    payload: bytes
    overrun: bool  # payloads of the stream were dropped before this one
    arrived_s: float  # monotonic time


class _Device(NamedTuple):
    payloads: PayloadStream
    live: LiveStream
    gap_bucket: TokenBucket  # seconds of gap that the device may still claim

    def check_gap(self, payload: SamplesPayload, now_s: float) -> None:
        """Raise FrameError for a gap longer than the time that passed: one small payload would cause hours of work."""
        gap_s = self.payloads.gap_s(payload)
        if gap_s > 0 and not self.gap_bucket.take(min(gap_s, _GAP_BURST_S), now_s):
            raise FrameError(f"it claims a gap of {gap_s:.0f} s, longer than the time that has passed")


class MqttTopicSource(SourceBase):
    """The blocks of every device that publishes to `config.topic`, until `stop`.

    `counters`: `duplicate_blocks`, `late_blocks`, `rejected_payloads` (too large, malformed, contradictory, or after a
    gap longer than the time that passed), `refused_streams` (payloads with a bad stream id, or of one stream too many),
    `overrun_payloads` (the queue was full), `throttled_payloads` (more than `max_payloads_per_s`), `reconnects`,
    `silences` (a device was quiet for `silent_after_s`), `late_instants` (samples that came after they were counted as
    silent).

    Parameters
    ----------
    config : broker and topic
    on_taken : called after each payload, in the thread that runs `blocks`, once its blocks were taken

    Raises
    ------
    ConfigError
        When the topic has not exactly one `+` or is a shared one, or a file of the broker's settings cannot be used.
    """

    def __init__(self, config: MqttConfig, on_taken: Callable[[], None] | None = None) -> None:
        super().__init__()
        levels = config.topic.split("/")
        if levels.count("+") != 1 or config.topic.count("+") != 1 or "#" in config.topic:
            raise ConfigError(f"topic {config.topic!r} needs exactly one + level, for the stream's id")
        if config.topic.startswith("$") or "\0" in config.topic or len(config.topic.encode()) > _MAX_TOPIC_BYTES:
            raise ConfigError(
                f"topic {config.topic[:80]!r} begins with $, holds a zero, or is longer than {_MAX_TOPIC_BYTES} bytes"
            )
        self._config = config
        self._on_taken = on_taken
        self._level = levels.index("+")
        self._queue: FairQueue[_Arrival] = FairQueue(
            config.queue_payloads, _MAX_WAITING_BYTES, config.max_payloads_per_s, newcomers=4 * config.max_streams
        )
        self._overrun: set[str] = set()  # streams that lost a payload since their last queued one; network thread only
        self._devices: dict[str, _Device] = {}  # by stream; the one quiet for longest first
        self._ticked_s = float("-inf")
        self._subscribed = threading.Event()
        self._broker = config.broker or BrokerConfig()
        self._refusal = ""  # why the broker refused the subscription
        self._opened = False
        self._logged_s = 0.0
        self._client = self._make_client()

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops of the reader and of the network thread."""
        return self.loop, self._client.network

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """Measured sample rate of each stream, where it is known."""
        rates = {stream: device.live.true_rate_hz for stream, device in tuple(self._devices.items())}
        return {stream: rate_hz for stream, rate_hz in rates.items() if rate_hz is not None}

    def open(self) -> None:
        """Connect and subscribe, unless that was done; `blocks` does it too.

        Raises
        ------
        BrokerError
            When the broker does not accept connection and subscription within `connect_timeout_s`.
        """
        if self._opened:
            return
        self._opened = True
        broker = self._broker
        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        limits.MaximumPacketSize = _MAX_PACKET_BYTES
        self._client.connect_async(broker.host, broker.port, broker.keepalive_s, properties=limits)
        self._client.loop_start()
        deadline_s = time.monotonic() + self._config.connect_timeout_s
        while not self._subscribed.wait(_POLL_S):
            self.loop.turn()
            if self._stopping.is_set():
                return
            if time.monotonic() > deadline_s:
                self.close()
                trouble = self._refusal or self._client.trouble
                raise BrokerError(trouble or f"{broker.address}: no answer; is the broker running?")

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, until `stop`; a lost connection is opened again.

        Raises
        ------
        BrokerError
            When the broker cannot be used at the start.
        """
        self.open()
        while not self._stopping.is_set():
            self.loop.turn()
            now_s = time.monotonic()
            arrival = self._queue.get(_POLL_S)
            if arrival is None:
                yield from self._tick(now_s)
                continue
            # By the time of arrival, not by now: the payload may have waited in the queue.
            yield from self._tick(arrival.arrived_s)
            yield from self._read(arrival)
            if self._on_taken is not None:
                self._on_taken()

    def close(self) -> None:
        """Stop, and disconnect."""
        super().close()
        self._client.disconnect()
        self._client.loop_stop()

    def _tick(self, now_s: float) -> Iterator[Block]:
        """Yield the silent instants of every quiet stream, and the end of a stream that is given up."""
        if now_s - self._ticked_s < _TICK_S:
            return
        self._ticked_s = now_s
        for stream, device in tuple(self._devices.items()):
            yield from device.live.tick(now_s)
            if device.live.quiet_s(now_s) > self._config.forget_after_s:
                self._forget(stream)
                yield from device.live.end()

    def _read(self, arrival: _Arrival) -> list[Block]:
        stream = arrival.stream
        known = self._devices.get(stream)
        if known is None and not (_STREAM_ID.fullmatch(stream) and self._has_room(arrival.arrived_s)):
            self._reject("refused_streams", stream, "bad stream id, or more streams than max_streams")
            return []
        device = known or _Device(
            PayloadStream(stream, self._counters),
            LiveStream(stream, self._config.silent_after_s, self._counters, arrival.arrived_s),
            TokenBucket(_GAP_RATE if math.isfinite(self._config.max_payloads_per_s) else math.inf, _GAP_BURST_S),
        )
        try:
            payload = decode_payload(arrival.payload)
            device.check_gap(payload, arrival.arrived_s)
            blocks = device.payloads.add(payload, Cause.OVERRUN if arrival.overrun else Cause.SEQUENCE_GAP)
        except FrameError as exc:
            self._reject("rejected_payloads", stream, str(exc))
            return []
        # Only now, as a stream whose first payload is bad must not push out another one.
        ended = self._make_room() if known is None else []
        if blocks:
            self._devices.pop(stream, None)  # so that it moves to the end of the order
            self._devices[stream] = device
            self._queue.add_stream(stream)
        blocks = device.live.receive(blocks, arrival.arrived_s, numbered=payload.first_sample is not None)
        if blocks and blocks[-1].last:
            self._forget(stream)
        return ended + blocks

    def _has_room(self, now_s: float) -> bool:
        """Whether there is room for a new stream, or a stream that was quiet for long enough to make room."""
        if len(self._devices) < self._config.max_streams:
            return True
        return next(iter(self._devices.values())).live.quiet_s(now_s) >= _MAKE_ROOM_AFTER_S

    def _make_room(self) -> list[Block]:
        """End the stream that was quiet for longest, if there is no room for another one."""
        if len(self._devices) < self._config.max_streams:
            return []
        return self._forget(next(iter(self._devices))).live.end()

    def _forget(self, stream: str) -> _Device:
        self._queue.remove_stream(stream)
        return self._devices.pop(stream)

    def _reject(self, counter: str, stream: str, reason: str) -> None:
        self._counters[counter] += 1
        if time.monotonic() - self._logged_s > _LOG_EVERY_S:
            self._logged_s = time.monotonic()
            _LOG.warning("stream %r: payload dropped: %s", stream[:64], reason)

    def _make_client(self) -> BrokerClient:
        client = new_client(self._broker)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

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
        """Log why the connection was lost, once for each reason; before the first connection, `open` raises it."""
        news = self._client.new_trouble() if self._subscribed.is_set() else ""
        if news:
            _LOG.warning("%s; no samples arrive until it is back; trying again", news)

    def _on_subscribe(
        self, _: mqtt.Client, __: object, ___: int, codes: list[ReasonCode], ____: Properties | None
    ) -> None:
        if codes and codes[0].is_failure:
            self._refusal = (
                f"{self._broker.address}: the broker refuses to subscribe to {self._config.topic}: "
                f"{codes[0].getName().lower()}; check its access list"
            )
            _LOG.warning("%s", self._refusal)  # `open` no longer waits for it after a reconnect
        else:
            self._subscribed.set()

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        stream = message.topic.split("/")[self._level]
        payload = bytes(message.payload[: MAX_PAYLOAD_BYTES + 1])  # one byte more, so that it is refused as too large
        now_s = time.monotonic()
        if not self._queue.allows(stream, len(payload), now_s):
            self._counters["throttled_payloads"] += 1
            self._mark_overrun(stream)
            return
        losers = self._queue.put(_Arrival(stream, payload, stream in self._overrun, now_s))
        self._overrun.discard(stream)
        for loser in losers:
            self._counters["overrun_payloads"] += 1
            self._mark_overrun(loser)

    def _mark_overrun(self, stream: str) -> None:
        """Note that a gap before the stream's next payload was caused here."""
        # Bounded, because ids of streams that do not exist can be invented.
        if len(self._overrun) < self._config.max_streams:
            self._overrun.add(stream)
