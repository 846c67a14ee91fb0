"""Many devices in one: publishes the samples of many streams to a broker in real time, and receives their alerts.

    device k:   history ─► block ─► block ─► ...      each stream starts at its own time within a block
    alert  ─►   how long ago were its samples published?

The time of publication of every block is kept, so that the latency of each alert can be computed.
"""

import heapq
import math
import threading
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.core.errors import BenchError, FrameError
from edge.lab.bench.patients import Patient
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import alerts_topic, parse_topic, predictions_topic
from edge.publish.cloud_events import AlertEvent
from edge.publish.payloads import Prediction, decode

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_IN_FLIGHT = 10_000  # blocks without the broker's acknowledgement: enough never to slow the load down
_POLL_S = 0.1
_RETRY_S = 0.005  # how soon devices that are too far ahead try again
_STALL_TIMEOUT_S = 60.0  # without a prediction, although the service has samples
_CAPACITY = 1_000_000  # received messages that wait to be decoded


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """The devices: how many, what they send, and how fast."""

    broker: BrokerConfig
    topic: str  # with one + for the stream
    device: str  # whose alerts are received
    streams: int
    look_ahead: int  # samples behind a window's end that the resampler of the service needs
    sample_rate_hz: float = 250.0
    leads: tuple[str, ...] = ("II",)
    block_s: float = 1.0
    history_s: float = 9.0  # sent at once at the start, so that the first window is soon complete
    speed: float = 1.0  # multiple of real time
    hop_s: float = 1.0  # of the windows
    most_ahead_s: float = math.inf  # how far a stream may be ahead of its predictions, on average


@dataclass
class Received:
    """What came back from the service."""

    end_to_end_s: list[float] = field(default_factory=list)  # from the last sample that the window needs
    last_sample_s: list[float] = field(default_factory=list)  # from the window's own last sample
    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (stream, label, raised or cleared ...)
    damaged: int = 0  # messages that could not be decoded
    windows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (stream, cause), from predictions

    def take_latencies(self) -> list[float]:
        """Return the latencies of the alerts since the last call."""
        taken, self.end_to_end_s, self.last_sample_s = self.end_to_end_s, [], []
        return taken


class Load:
    """A context manager: it subscribes on entry, `start` starts the devices, `reduce_to` stops some of them."""

    def __init__(self, config: LoadConfig) -> None:
        self.received = Received()
        self.behind_s = 0.0  # how late the sender was at most
        self._config = config
        rate_hz = config.sample_rate_hz
        self._block, self._history = round(config.block_s * rate_hz), round(config.history_s * rate_hz)
        self.names = [f"bench-{number}" for number in range(config.streams)]
        self._number = {name: number for number, name in enumerate(self.names)}
        self._patients = [Patient(number, rate_hz, config.leads) for number in range(config.streams)]
        self._published = [array("d") for _ in self.names]  # time of each block of a stream
        self._active = config.streams
        self._blocks = self._predictions = 0  # sent and received, of all streams
        self._last_prediction_s = time.monotonic()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._client = new_client(config.broker)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        topics = [alerts_topic(config.device, "any"), predictions_topic(config.device, "any")]
        filters = [topic.replace("/any/", "/+/") for topic in topics]
        self._subscriber = Subscriber(config.broker, filters, capacity=_CAPACITY)
        self._sender = threading.Thread(target=self._send, name="load-sender", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="load-listener", daemon=True)

    def __enter__(self) -> "Self":
        self._subscriber.__enter__()
        open_connection(self._client, self._config.broker)
        self._listener.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        for thread in (self._sender, self._listener):
            if thread.ident is not None:
                thread.join()
        self._client.disconnect()
        self._client.loop_stop()
        self._subscriber.__exit__(*exc)

    @property
    def sent_s(self) -> float:
        """Seconds of ECG that the first stream has sent."""
        blocks = len(self._published[0])
        return (self._history + (blocks - 1) * self._block) / self._config.sample_rate_hz if blocks else 0.0

    @property
    def _ahead_s(self) -> float:
        """How far a stream is ahead of its predictions, on average."""
        predicted_s = self._predictions * self._config.hop_s
        return (self._blocks * self._config.block_s - predicted_s) / len(self.names)

    def check(self) -> None:
        """Raise BenchError when the service has samples but sent no prediction for a minute."""
        if self._ahead_s > self._config.most_ahead_s and time.monotonic() - self._last_prediction_s > _STALL_TIMEOUT_S:
            raise BenchError(f"the service sent no prediction for {_STALL_TIMEOUT_S:g} s")

    def start(self) -> None:
        """Start the devices."""
        self._sender.start()

    def stop(self) -> None:
        """Stop the devices, but go on receiving."""
        self.reduce_to(0)
        self._sender.join()

    def reduce_to(self, streams: int) -> None:
        """Stop all but the first `streams` devices."""
        with self._lock:
            self._active = streams

    def _send(self) -> None:
        period_s = self._block / self._config.sample_rate_hz / self._config.speed
        began_s = time.monotonic()
        # A heap of (time, device): the next device to send is always the first entry.
        due = [(began_s + period_s * number / len(self.names), number) for number in range(len(self.names))]
        while due and not self._stopping.is_set():
            due_s, number = due[0]
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                self._stopping.wait(min(wait_s, _POLL_S))
                continue
            if number >= self._active:
                heapq.heappop(due)
                continue
            if self._ahead_s > self._config.most_ahead_s:
                self._stopping.wait(_RETRY_S)
                continue
            self.behind_s = max(self.behind_s, -wait_s)
            self._publish(number)
            heapq.heapreplace(due, (due_s + period_s, number))

    def _publish(self, number: int) -> None:
        published = self._published[number]
        end = self._history + len(published) * self._block
        first = end - self._block if published else 0
        topic = self._config.topic.replace("+", self.names[number])
        payload = self._patients[number].payload(first, end)
        published.append(time.monotonic())
        self._blocks += 1
        self._client.publish(topic, payload, qos=1)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            message = self._subscriber.get(_POLL_S)
            now_s = time.monotonic()
            topic = None if message is None else parse_topic(message.topic)
            if message is None or topic is None or topic.stream not in self._number:
                continue
            try:
                if topic.kind == "alert":
                    self._add_alert(decode(message.payload, AlertEvent), self._number[topic.stream], now_s)
                else:
                    self.received.windows[topic.stream, decode(message.payload, Prediction).cause] += 1
                    self._predictions += 1
                    self._last_prediction_s = now_s
            except FrameError:
                self.received.damaged += 1

    def _add_alert(self, alert: AlertEvent, number: int, now_s: float) -> None:
        received, end = self.received, alert.data.end_sample
        received.events[self.names[number], alert.subject, alert.type.rpartition(".")[2]] += 1
        if alert.data.reason == "stream_end":
            return  # the end of the stream caused it, not a sample
        own, needed = self._published_s(number, end), self._published_s(number, end + self._config.look_ahead)
        if own is not None and needed is not None:
            received.last_sample_s.append(now_s - own)
            received.end_to_end_s.append(now_s - needed)

    def _published_s(self, number: int, end_sample: int) -> float | None:
        """Return when the block with the sample before `end_sample` was published; None if it was not."""
        published = self._published[number]
        block = 0 if end_sample <= self._history else -(-(end_sample - self._history) // self._block)
        return published[block] if block < len(published) else None
