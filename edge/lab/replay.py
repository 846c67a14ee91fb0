"""Sends a recording through the whole monitor and reports the result.

Every transport feeds the same runtime, so a recording gives the same alerts on each.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.alarms.specs import bundle_specs
from edge.beats.networks import beat_networks
from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.report import Alert, Report
from edge.lab.transports import Playback, Via, open_transport
from edge.monitor.runtime import MonitorRuntime
from edge.monitor.update import Sink, StreamUpdate
from edge.mqtt.client import BrokerConfig
from edge.mqtt.topics import stream_id
from edge.sources.formats.adc import AdcSource
from edge.sources.pace import Pace

_QUEUE_WINDOWS = 32  # two batches: keeps the classifier busy; a longer queue would only add to the latencies


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """How a recording is replayed."""

    record: str  # name of the recording, for the report and the stream's id
    via: Via = "direct"
    speed: float = math.inf  # multiple of real time; infinity: as fast as possible
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)  # carries the samples if `via` is mqtt


class _Collector:
    """A sink that keeps the alerts and passes each update on."""

    def __init__(self, sink: Sink | None) -> None:
        self.alerts: list[Alert] = []
        self._sink = sink

    def __call__(self, update: StreamUpdate) -> None:
        """Keep the alerts of one update."""
        self.alerts += map(Alert.of, update.events)
        if self._sink is not None:
            self._sink(update)


def replay_recording(
    recording: AdcSource,
    bundle: Bundle,
    config: ReplayConfig,
    *,
    sink: Sink | None = None,
    progress: Callable[[float], None] | None = None,
    stopped: threading.Event | None = None,
) -> Report:
    """Replay a recording and return the report.

    Parameters
    ----------
    recording : the recording to send
    bundle : the model that classifies it
    config : transport, speed, back end
    sink : receives each decision and the alarm events it caused
    progress : called with the seconds of ECG received so far
    stopped : set it, from any thread, to end early; the report then covers what was sent

    Raises
    ------
    EdgeError
        When the recording, the transport or the bundle fails.
    """
    stopped = stopped or threading.Event()
    spec = recording.spec
    collector = _Collector(sink)
    playback = Playback(recording, stream_id(config.record), Pace(config.speed, stopped), stopped)
    runtime = MonitorRuntime(
        bundle.manifest,
        lambda: open_classifier(bundle, config.classifier),
        bundle_specs(bundle.manifest),
        collector,
        sha256=bundle.sha256,
        open_beats=beat_networks(bundle),
        queue_windows=_QUEUE_WINDOWS,
    )
    # The runtime outlives the transport: what arrived is classified to the end before the totals are read.
    seconds, counters = 0.0, {}
    with runtime:
        began_s = time.monotonic()
        with open_transport(config.via, playback, config.broker) as source:
            for block in source.blocks():
                runtime.push(block)  # waits while the classifier is behind, which slows the sender down
                seconds = block.end_sample / spec.sample_rate_hz
                if progress is not None:
                    progress(seconds)
                if block.last or stopped.is_set():
                    break
            counters = dict(source.counters)
    return Report.of(
        runtime,
        bundle,
        collector.alerts,
        record=config.record,
        via=config.via,
        seconds=seconds,
        wall_s=time.monotonic() - began_s,
        counters=counters,
    )
