"""Devices that publish samples to an MQTT broker: one source for all streams below one topic.

What a payload means is for `edge.sources.framing.payload` to say. The network thread only puts payloads into the
device's lane (`lanes`), which is bounded in number and in rate. What does not fit is dropped, and the instants that the
stream's next payload shows missing have the cause `OVERRUN`; the lanes of other devices are read in turn all the same.
A broker holds back no publisher, so a sender that must lose nothing (a replay) must not run ahead of the reader:
`on_taken` tells it of each payload that was read.

A device that goes quiet is silent from then on until it comes back, says that its stream is over, or is given up:
after `forget_after_s`, or after five minutes where a new device needs its place. The reader's clock is the arrival of
what it reads, so that a reader that lags behind calls no one silent.
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
from edge.sources.framing.payload import MAX_PAYLOAD_BYTES, PayloadStream, SamplesPayload, decode_payload
from edge.sources.lanes import Allowance, Lanes
from edge.sources.live import LiveStream

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1  # how soon `stop` is seen
_LOG_EVERY_S = 1.0
_MAX_TOPIC_BYTES = 1024
_MAX_WAITING_BYTES = 32 << 20  # of all devices
_MAX_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES  # the broker keeps larger ones to itself; then they are a gap
_GONE_AFTER_S = 300.0  # a stream that was quiet for longer makes room for a new one
_GAPS_PER_S, _GAPS_AT_ONCE_S = 2.0, 600.0  # how long the gaps are that a device may claim, in s of its stream
_TICK_S = 0.1  # how often silence is looked for
_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Arrival(NamedTuple):
    stream: str
    payload: bytes
    overrun: bool  # payloads of the stream were dropped before this one
    arrived_s: float  # monotonic time


class _Device(NamedTuple):
    payloads: PayloadStream
    live: LiveStream
    gaps: Allowance

    def check_gap(self, payload: SamplesPayload, now_s: float) -> None:
        """Raise FrameError for a gap that nobody can have lost: a small payload would cost the work of hours of ECG."""
        gap_s = self.payloads.gap_s(payload)
        if gap_s > 0 and not self.gaps.take(min(gap_s, _GAPS_AT_ONCE_S), now_s):
            raise FrameError(f"it claims a gap of {gap_s:.0f} s, for which not enough time has passed")


class MqttTopicSource(SourceBase):
    """The blocks of every device that publishes to `config.topic`, until `stop`.

    `counters`: `duplicate_blocks`, `late_blocks`, `rejected_payloads` (too large, malformed, contradictory, or behind
    a gap that is longer than the time),
    `refused_streams` (a payload of a bad stream id, or of one stream too many), `overrun_payloads` (too many of a
    device, or of all, wait), `throttled_payloads` (more of a device than `max_payloads_per_s`), `reconnects`,
    `silences` (how often a device was quiet for `silent_after_s`), `late_instants` (samples that came after they were
    taken for silent).

    Parameters
    ----------
    config : broker and topic
    on_taken : called, in the thread that runs `blocks`, after each payload whose blocks were taken

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
            raise ConfigError(f"topic {config.topic[:80]!r} must be a plain one: no $share, and not too long")
        self._config = config
        self._on_taken = on_taken
        self._level = levels.index("+")
        self._lanes: Lanes[_Arrival] = Lanes(
            config.queue_payloads, _MAX_WAITING_BYTES, config.max_payloads_per_s, strangers=4 * config.max_streams
        )
        self._overrun: set[str] = set()  # streams that lost a payload since their last queued one; network thread only
        self._streams: dict[str, _Device] = {}  # the one that was heard longest ago first
        self._ticked_s = float("-inf")
        self._subscribed = threading.Event()
        self._broker = config.broker or BrokerConfig()
        self._refusal = ""  # of the subscription
        self._opened = False
        self._logged_s = 0.0
        self._client = self._make_client()

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops that bring payloads from the broker."""
        return self.loop, self._client.network

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """The rate at which the samples of each stream really arrive, where that can be told."""
        rates = {stream: device.live.true_rate_hz for stream, device in tuple(self._streams.items())}
        return {stream: rate_hz for stream, rate_hz in rates.items() if rate_hz is not None}

    def open(self) -> None:
        """Connect and subscribe, if that is not done; `blocks` does it too.

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
        """Yield what arrives until `stop`; after a lost connection it goes on by itself.

        Raises
        ------
        BrokerError
            When the broker cannot be used at the start.
        """
        self.open()
        while not self._stopping.is_set():
            self.loop.turn()
            now_s = time.monotonic()
            arrival = self._lanes.get(_POLL_S)
            if arrival is None:
                yield from self._tick(now_s)
                continue
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
        """Yield the silent instants of every stream that is quiet, and the end of one that is given up."""
        if now_s - self._ticked_s < _TICK_S:
            return
        self._ticked_s = now_s
        for stream, device in tuple(self._streams.items()):
            yield from device.live.tick(now_s)
            if device.live.quiet_s(now_s) > self._config.forget_after_s:
                self._forget(stream)
                yield from device.live.end()

    def _read(self, arrival: _Arrival) -> list[Block]:
        stream = arrival.stream
        known = self._streams.get(stream)
        if known is None and not (_STREAM_ID.fullmatch(stream) and self._has_room(arrival.arrived_s)):
            self._reject("refused_streams", stream, "a bad id, or one stream more than max_streams")
            return []
        device = known or _Device(
            PayloadStream(stream, self._counters),
            LiveStream(stream, self._config.silent_after_s, self._counters, arrival.arrived_s),
            Allowance(_GAPS_PER_S if math.isfinite(self._config.max_payloads_per_s) else math.inf, _GAPS_AT_ONCE_S),
        )
        try:
            payload = decode_payload(arrival.payload)
            device.check_gap(payload, arrival.arrived_s)
            blocks = device.payloads.add(payload, Cause.OVERRUN if arrival.overrun else Cause.SEQUENCE_GAP)
        except FrameError as exc:
            self._reject("rejected_payloads", stream, str(exc))
            return []
        gone = self._make_room() if known is None else []
        if blocks:
            self._streams.pop(stream, None)
            self._streams[stream] = device
            self._lanes.own(stream)
        blocks = device.live.heard(blocks, arrival.arrived_s, sequence=payload.first_sample is not None)
        if blocks and blocks[-1].last:
            self._forget(stream)
        return gone + blocks

    def _has_room(self, now_s: float) -> bool:
        """Whether a new stream may come: there is a place, or one whose stream was quiet for long."""
        if len(self._streams) < self._config.max_streams:
            return True
        return next(iter(self._streams.values())).live.quiet_s(now_s) >= _GONE_AFTER_S

    def _make_room(self) -> list[Block]:
        """Where no stream has room, end the one that was heard longest ago."""
        if len(self._streams) < self._config.max_streams:
            return []
        return self._forget(next(iter(self._streams))).live.end()

    def _forget(self, stream: str) -> _Device:
        self._lanes.share(stream)
        return self._streams.pop(stream)

    def _reject(self, counter: str, stream: str, reason: str) -> None:
        self._counters[counter] += 1
        if time.monotonic() - self._logged_s > _LOG_EVERY_S:
            self._logged_s = time.monotonic()
            _LOG.warning("stream %r: payload thrown away: %s", stream[:64], reason)

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
        if not self._client.accepted(code):
            self._log_trouble()
            return
        if self._subscribed.is_set():
            self._counters["reconnects"] += 1
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)  # retained: stale
        client.subscribe(self._config.topic, options=options)

    def _on_connect_fail(self, _: mqtt.Client, __: object) -> None:
        self._log_trouble()

    def _on_disconnect(
        self, _: mqtt.Client, __: object, ___: mqtt.DisconnectFlags, code: ReasonCode, ____: Properties | None
    ) -> None:
        self._client.lost(code)
        self._log_trouble()

    def _log_trouble(self) -> None:
        """Log why the connection is gone, once for each reason; while it was never there, `open` raises it."""
        news = self._client.news() if self._subscribed.is_set() else ""
        if news:
            _LOG.warning("%s; no samples arrive from there meanwhile, and it is tried again", news)

    def _on_subscribe(
        self, _: mqtt.Client, __: object, ___: int, codes: list[ReasonCode], ____: Properties | None
    ) -> None:
        if codes and codes[0].is_failure:
            self._refusal = (
                f"{self._broker.address}: the broker refuses to subscribe to {self._config.topic}: "
                f"{codes[0].getName().lower()}; check its access list"
            )
            _LOG.warning("%s", self._refusal)  # nobody waits for it when the connection was renewed
        else:
            self._subscribed.set()

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        stream = message.topic.split("/")[self._level]
        payload = bytes(message.payload[: MAX_PAYLOAD_BYTES + 1])  # one more, so that it is refused as too large
        now_s = time.monotonic()
        if not self._lanes.allows(stream, len(payload), now_s):
            self._counters["throttled_payloads"] += 1
            self._lose(stream)
            return
        lost = self._lanes.put(_Arrival(stream, payload, stream in self._overrun, now_s))
        self._overrun.discard(stream)
        for loser in lost:
            self._counters["overrun_payloads"] += 1
            self._lose(loser)

    def _lose(self, stream: str) -> None:
        """Note that what the next payload of a stream shows missing was lost here."""
        if len(self._overrun) < self._config.max_streams:
            self._overrun.add(stream)
