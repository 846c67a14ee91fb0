"""Devices that publish samples to an MQTT broker: one source for all streams below one topic.

`PayloadSubscription` receives payloads in the network thread; this source reads them in the thread that runs `blocks`.
A broker cannot hold back a publisher, so a sender that must lose nothing (a replay) waits for `on_taken` before it
sends more.

A device that goes quiet is silent until it comes back, ends its stream, or is given up: after `forget_after_s`, or
after five minutes where a new device needs room. Silence is measured at the times of arrival, so that a reader that
lags behind does not take a device for silent.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from edge.core.errors import BrokerError, FrameError
from edge.core.loops import Loop
from edge.core.samples import Block, Cause
from edge.sources.base import SourceBase
from edge.sources.config import MqttConfig
from edge.sources.fair_queue import TokenBucket
from edge.sources.formats.mqtt_payload import PayloadStream, SamplesPayload, decode_payload
from edge.sources.live_stream import LiveStream
from edge.sources.mqtt_subscription import Arrival, PayloadSubscription

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1  # longest wait before `stop` is checked again
_LOG_EVERY_S = 1.0  # a dropped payload is logged at most this often
_MAKE_ROOM_AFTER_S = 300.0  # a stream that is quiet for this long may be ended for a new one
_GAP_RATE, _GAP_BURST_S = 2.0, 600.0  # gaps that a device may claim: s of its stream per s, and at once
_TICK_S = 0.1  # how often silence is checked
_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
        As `PayloadSubscription`.
    """

    def __init__(self, config: MqttConfig, on_taken: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._config = config
        self._on_taken = on_taken
        self._subscription = PayloadSubscription(config, self._counters)
        self._queue = self._subscription.queue
        self._devices: dict[str, _Device] = {}  # by stream; the one quiet for longest first
        self._ticked_s = float("-inf")
        self._opened = False
        self._logged_s = 0.0

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops of the reader and of the network thread."""
        return self.loop, self._subscription.network

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
        self._subscription.start()
        deadline_s = time.monotonic() + self._config.connect_timeout_s
        while not self._subscription.wait(_POLL_S):
            self.loop.turn()
            if self._stopping.is_set():
                return
            if time.monotonic() > deadline_s:
                self.close()
                raise BrokerError(self._subscription.trouble)

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
        self._subscription.close()

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

    def _read(self, arrival: Arrival) -> list[Block]:
        """Return the blocks of a payload, after the end of a stream that had to make room."""
        stream = arrival.stream
        known = self._devices.get(stream)
        if known is None and not (_STREAM_ID.fullmatch(stream) and self._has_room(arrival.arrived_s)):
            self._reject("refused_streams", stream, "bad stream id, or more streams than max_streams")
            return []
        device = known or self._new_device(arrival)
        try:
            payload = decode_payload(arrival.payload)
            device.check_gap(payload, arrival.arrived_s)
            blocks = device.payloads.add(payload, Cause.OVERRUN if arrival.overrun else Cause.SEQUENCE_GAP)
        except FrameError as exc:
            self._reject("rejected_payloads", stream, str(exc))
            return []
        # Only now, because a new stream with a bad payload must not push out another one.
        ended = self._make_room() if known is None else []
        if blocks:
            self._devices.pop(stream, None)  # so that it moves to the end of the order
            self._devices[stream] = device
            self._queue.add_stream(stream)
        blocks = device.live.receive(blocks, arrival.arrived_s, numbered=payload.first_sample is not None)
        if blocks and blocks[-1].last:
            self._forget(stream)
        return ended + blocks

    def _new_device(self, arrival: Arrival) -> _Device:
        # A replay sends without a limit on its rate, so its gaps are not limited either.
        gap_rate = _GAP_RATE if math.isfinite(self._config.max_payloads_per_s) else math.inf
        return _Device(
            PayloadStream(arrival.stream, self._counters),
            LiveStream(arrival.stream, self._config.silent_after_s, self._counters, arrival.arrived_s),
            TokenBucket(gap_rate, _GAP_BURST_S),
        )

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
