"""What the service says about itself: one typed struct, published retained on MQTT and turned into metrics.

Streams are named by their opaque ids, `MOST_STREAMS` of them at most, so that no device can make the message, or the
number of time series, grow without end; the sums hold for all streams.
"""

from datetime import datetime

from edge.bundle.manifest import BundleRef
from edge.publish.payloads import Payload

MOST_STREAMS = 64


class StreamHealth(Payload, frozen=True, kw_only=True):
    """One open stream: samples_in = classified + sum of missing + pending, since it was opened."""

    sample_rate_hz: float  # as the device says
    true_rate_hz: float | None  # as samples arrive; None: too little was heard, or it is a recording
    leads: tuple[str, ...]
    samples_in: int
    classified: int
    pending: int
    missing: dict[str, int]  # by cause
    windows: int


class LatencyHealth(Payload, frozen=True, kw_only=True):
    """From the arrival of a window's last sample to its decision, over the last minutes."""

    windows: int  # that the quantiles are of
    p50_ms: float | None  # None: no window lately
    p99_ms: float | None


class QueueHealth(Payload, frozen=True, kw_only=True):
    """What waits for the classifier."""

    windows: int
    oldest_s: float  # how long ago the oldest window arrived, those being classified included


class PublisherHealth(Payload, frozen=True, kw_only=True):
    """What became of the messages."""

    connected: bool
    queued: int  # alerts and predictions that wait, in memory or in the outbox
    outbox: int | None  # of those, alerts in the outbox; None: there is none
    sent: int
    connects: int
    failures: int
    commands: dict[str, int]  # by what became of them
    dropped: dict[str, int]  # by cause; `evicted` is the outbox's
    unlogged: int  # alerts that the alert log could not keep


class DeviceHealth(Payload, frozen=True, kw_only=True):
    """How the service does; retained. Sums are since its start, over all streams, those that have ended included."""

    time: datetime
    version: str
    uptime_s: float
    bundle: BundleRef
    backend: str | None  # that runs the graph; None until the classifier is open
    precision: str | None
    samples_in: int  # = classified + sum of missing + pending
    classified: int
    pending: int
    missing: dict[str, int]  # by cause
    duplicates: int
    windows: int
    shed_windows: int  # of those, given up under overload
    latency: LatencyHealth
    queue: QueueHealth
    publisher: PublisherHealth
    blocks_refused: int  # of sources, because they contradict their stream
    blocks_unkept: int  # that the stored hour, on which another bundle is tried, lacks: the disk failed, or was slow
    source_events: dict[str, int]  # by name: what was thrown away that was no sample, reconnects, silences
    memory_mb: float | None  # resident now, of 2**20 bytes
    cpu_temperature_c: float | None
    streams_open: int
    streams: dict[str, StreamHealth]  # the first `MOST_STREAMS` of them, by id
