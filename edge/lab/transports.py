"""The transports of a replay: each carries a recording to a source of the service, as a device would.

Either in process, or through a pseudo-terminal (pty) that the serial source reads, or through a broker. A sender waits
for its reader, so nothing is dropped however fast the replay runs.
"""

import contextlib
import math
import os
import select
import threading
import time
import tty
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from edge.core.errors import BrokerError, EdgeError
from edge.core.samples import Block
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.sources.base import Source, SourceBase
from edge.sources.config import MqttConfig, SerialConfig
from edge.sources.formats.adc import AdcBlock, AdcSource
from edge.sources.formats.frame import FrameWriter
from edge.sources.formats.mqtt_payload import PayloadWriter
from edge.sources.pace import Pace

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

Via = Literal["direct", "serial", "mqtt"]
TRANSPORTS: tuple[Via, ...] = get_args(Via)
_IN_FLIGHT = 64  # payloads on their way through a broker
_STALL_TIMEOUT_S = 30.0  # without any payload coming back from the broker
_POLL_S = 0.1  # how soon a waiting sender notices that the replay has ended


@dataclass(frozen=True, slots=True)
class Playback:
    """A recording to send: the name of its stream, its pace, and the event that stops it."""

    recording: AdcSource
    stream: str
    pace: Pace
    stopped: threading.Event

    def blocks(self) -> Iterator[AdcBlock]:
        """Yield the recording's blocks, each when it is due, until stopped."""
        rate_hz = self.recording.spec.sample_rate_hz
        for block in self.recording.adc_blocks():
            self.pace.wait(block.end_sample / rate_hz)
            if self.stopped.is_set():
                return
            yield block


class _DirectSource(SourceBase):
    """Passes blocks on within the process."""

    def __init__(self, playback: Playback) -> None:
        super().__init__()
        self._playback = playback

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in mV."""
        for block in self._playback.blocks():
            yield block.to_block(self._playback.stream, self._playback.recording.spec)


class _Sender(threading.Thread):
    """Sends the recording from its own thread for as long as its `with` block lasts.

    When it ends early it stops the source, which would otherwise wait for ever. An error of the thread is raised at the
    end of the block.
    """

    def __init__(self, send: Callable[[], None], source: Source, stopped: threading.Event) -> None:
        super().__init__(name="replay-sender", daemon=True)
        self._send, self._source, self._stopped = send, source, stopped
        self._failure: EdgeError | OSError | None = None

    def run(self) -> None:
        """Send until the recording ends or the transport fails."""
        try:
            self._send()
        except (EdgeError, OSError) as exc:
            self._failure = exc
        if self._failure is not None or self._stopped.is_set():
            self._source.stop()

    def __enter__(self) -> "Self":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        # Stop the sender before the source that it writes to goes away.
        self._stopped.set()
        self._source.close()
        self.join(timeout=2.0)
        if kind is None and self._failure is not None:
            raise self._failure


@contextmanager
def _over_serial(playback: Playback) -> Iterator[Source]:
    """Write frames into one end of a pty and read them from the other, as from a serial port."""
    from edge.sources.serial_port import SerialPortSource

    # A pty, not a pipe: the serial source sets line speed and raw mode, which only a terminal has.
    device, port = os.openpty()
    tty.setraw(device)
    tty.setraw(port)
    os.set_blocking(device, False)  # a blocked write could not notice `stopped`

    def send() -> None:
        writer = FrameWriter(playback.recording.spec)
        for block in playback.blocks():
            frames = memoryview(writer.encode(block))
            while frames and not playback.stopped.is_set():
                select.select((), (device,), (), _POLL_S)
                with contextlib.suppress(BlockingIOError):
                    frames = frames[os.write(device, frames) :]

    source = SerialPortSource(SerialConfig(port=os.ttyname(port), stream=playback.stream, silent_after_s=math.inf))
    try:
        source.open()
        with _Sender(send, source, playback.stopped):
            yield source
    finally:
        os.close(port)
        os.close(device)


@contextmanager
def _over_mqtt(playback: Playback, broker: BrokerConfig) -> Iterator[Source]:
    """Publish payloads to a broker and receive them from there, as from a device."""
    from edge.sources.mqtt_topic import MqttTopicSource

    # A topic of its own, so that two replays through one broker do not receive each other's samples.
    root = f"ecg-nat/replay/{uuid.uuid4().hex}"
    client = new_client(broker)
    credit = threading.Semaphore(_IN_FLIGHT)  # a broker never slows a publisher down, so the reader must

    def acquire() -> None:
        deadline_s = time.monotonic() + _STALL_TIMEOUT_S
        while not playback.stopped.is_set() and not credit.acquire(timeout=_POLL_S):
            if time.monotonic() > deadline_s:
                raise BrokerError(f"{broker.address}: no samples came back from the broker for {_STALL_TIMEOUT_S:g} s")

    def send() -> None:
        writer = PayloadWriter(playback.recording.spec)
        for block in playback.blocks():
            for payload in writer.encode(block):
                acquire()
                client.publish(f"{root}/{playback.stream}/samples", payload, qos=1)
        for _ in range(_IN_FLIGHT):  # until all have come back: a broker that restarts may lose the last ones
            acquire()

    receiver = msgspec.structs.replace(broker, client_id="")  # a client id may connect only once
    config = MqttConfig(
        topic=f"{root}/+/samples", broker=receiver, silent_after_s=math.inf, max_payloads_per_s=math.inf
    )
    source = MqttTopicSource(config, on_taken=credit.release)  # a payload that was read lets the next one go
    open_connection(client, broker)
    try:
        source.open()
        with _Sender(send, source, playback.stopped):
            yield source
    finally:
        source.close()
        client.disconnect()
        client.loop_stop()


def open_transport(via: Via, playback: Playback, broker: BrokerConfig) -> AbstractContextManager[Source]:
    """Return a source that receives the recording through a transport."""
    match via:
        case "direct":
            return _DirectSource(playback)
        case "serial":
            return _over_serial(playback)
        case "mqtt":
            return _over_mqtt(playback, broker)
