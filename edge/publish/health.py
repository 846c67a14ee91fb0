"""The health of the service: one typed struct, published retained on MQTT and exported as metrics.

At most `MAX_STREAMS` streams are listed, by their opaque ids, so that no device can make the message or the number of
time series grow without end. The sums are over all streams.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from edge.bundle.manifest import BundleRef
from edge.monitor.totals import Totals
from edge.publish.payloads import Payload
from edge.signal.account import SampleCounts

MAX_STREAMS = 64


class StreamHealth(Payload, SampleCounts, frozen=True, kw_only=True):
    """One open stream. samples_in = classified + sum of missing + pending, since it was opened."""

    sample_rate_hz: Annotated[float, Meta(description="Sample rate that the device states.")]
    true_rate_hz: Annotated[
        float | None,
        Meta(description="Sample rate measured from arrival. Null for recordings, and until enough has arrived."),
    ]
    leads: Annotated[tuple[str, ...], Meta(description="Leads of the stream.")]
    windows: Annotated[int, Meta(description="Windows cut from the stream.")]


class LatencyHealth(Payload, frozen=True, kw_only=True):
    """Time from the arrival of a window's last sample to its decision, over the last minutes."""

    windows: Annotated[int, Meta(description="Windows that the quantiles are taken over.")]
    p50_ms: Annotated[float | None, Meta(description="Median. Null without a recent window.")]
    p99_ms: Annotated[float | None, Meta(description="99th percentile. Null without a recent window.")]


class QueueHealth(Payload, frozen=True, kw_only=True):
    """What waits for the classifier."""

    windows: Annotated[int, Meta(description="Windows that wait.")]
    oldest_s: Annotated[float, Meta(description="Age of the oldest window, including those being classified.")]


class PublisherHealth(Payload, frozen=True, kw_only=True):
    """What became of the messages since the start."""

    connected: Annotated[bool, Meta(description="Whether the broker is connected.")]
    queued: Annotated[int, Meta(description="Alerts and predictions that wait, in memory or in the outbox.")]
    outbox: Annotated[int | None, Meta(description="Alerts that wait in the outbox. Null without an outbox.")]
    sent: Annotated[int, Meta(description="Messages that the broker has taken.")]
    connects: Annotated[int, Meta(description="Connections made.")]
    failures: Annotated[int, Meta(description="Connections lost or refused.")]
    commands: Annotated[dict[str, int], Meta(description="Commands received, by result.")]
    dropped: Annotated[
        dict[str, int], Meta(description="Messages dropped, by cause. The cause `evicted` is the outbox's.")
    ]
    unlogged: Annotated[int, Meta(description="Alerts that the alert log could not keep.")]


class DeviceHealth(Payload, Totals, frozen=True, kw_only=True):
    """Health of the service. Retained. Sums are over all streams since the start, those that have ended included."""

    time: Annotated[datetime, Meta(description="Wall time of this message.")]
    version: Annotated[str, Meta(description="Version of ecg-nat.")]
    uptime_s: Annotated[float, Meta(description="Seconds since the service started.")]
    bundle: Annotated[BundleRef, Meta(description="Bundle that runs.")]
    backend: Annotated[str | None, Meta(description="Back end that runs the graph. Null until it is open.")]
    precision: Annotated[str | None, Meta(description="Precision of the graph. Null until it is open.")]
    latency: Annotated[LatencyHealth, Meta(description="Time from a window's last sample to its decision.")]
    queue: Annotated[QueueHealth, Meta(description="What waits for the classifier.")]
    publisher: Annotated[PublisherHealth, Meta(description="What became of the messages.")]
    blocks_refused: Annotated[int, Meta(description="Blocks refused because they contradict their stream.")]
    blocks_unkept: Annotated[
        int, Meta(description="Blocks that the stored hour lacks because the disk failed or was slow.")
    ]
    source_events: Annotated[
        dict[str, int],
        Meta(description="Events of the sources by name, such as damaged bytes, reconnects and silences."),
    ]
    memory_mb: Annotated[
        float | None, Meta(description="Resident memory in units of 2**20 bytes. Null where it is not known.")
    ]
    cpu_temperature_c: Annotated[
        float | None, Meta(description="CPU temperature in degrees Celsius. Null where it is not known.")
    ]
    streams_open: Annotated[int, Meta(description="Number of open streams.")]
    streams: Annotated[dict[str, StreamHealth], Meta(description="Open streams by id, 64 at most.")]
