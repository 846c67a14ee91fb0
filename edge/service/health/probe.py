"""Gathers the health of a running service. Each figure is read under its own short lock, so that nothing is held up."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from edge import __version__
from edge.bundle.manifest import BundleRef
from edge.classifiers.base import ActiveBackend
from edge.core.machine import cpu_temperature_c, memory_mb
from edge.monitor.latencies import latency_of
from edge.monitor.runtime import MonitorRuntime
from edge.monitor.stream_monitor import StreamMonitor
from edge.publish.health import (
    MAX_STREAMS,
    DeviceHealth,
    LatencyHealth,
    QueueHealth,
    StreamHealth,
)
from edge.publish.publisher import Publisher
from edge.service.source_threads import SourcesState

_HORIZON_S = 300.0  # the latency quantiles are over this long


class HealthProbe:
    """Reads the parts of a service.

    Parameters
    ----------
    runtime, publisher : of the service
    bundle : that classifies
    sources : gives what the sources have counted and measured
    blocks_unkept : gives the number of blocks that the stored hour lacks
    clock_s : gives monotonic time
    """

    def __init__(
        self,
        runtime: MonitorRuntime,
        publisher: Publisher,
        bundle: BundleRef,
        sources: Callable[[], SourcesState],
        blocks_unkept: Callable[[], int],
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._publisher = publisher
        self._bundle = bundle
        self._sources = sources
        self._blocks_unkept = blocks_unkept
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._serving: ActiveBackend | None = None

    def set_bundle(self, bundle: BundleRef) -> None:
        """Report this bundle from now on."""
        self._bundle = bundle

    def set_classifier(self, serving: ActiveBackend) -> None:
        """Report this back end from now on."""
        self._serving = serving

    def read(self) -> DeviceHealth:
        """Return the health at this moment; may be called from any thread."""
        monitors, sources = self._runtime.monitors(), self._sources()
        serving = self._serving
        return DeviceHealth(
            **self._runtime.totals().fields_for(DeviceHealth),
            time=datetime.now(timezone.utc),
            version=__version__,
            uptime_s=round(self._clock_s() - self._began_s, 3),
            bundle=self._bundle,
            backend=serving and serving.backend,
            precision=serving and serving.precision,
            latency=self._latency(),
            queue=self._queue(),
            publisher=self._publisher.health,
            blocks_refused=sources.blocks_refused,
            blocks_unkept=self._blocks_unkept(),
            source_events=dict(sources.events),
            memory_mb=memory_mb(),
            cpu_temperature_c=cpu_temperature_c(),
            streams_open=len(monitors),
            streams={each.stream: _stream(each, sources.true_rates_hz) for each in monitors[:MAX_STREAMS]},
        )

    def _latency(self) -> LatencyHealth:
        recent_s = self._runtime.latencies.after(self._clock_s() - _HORIZON_S)
        if not recent_s.size:
            return LatencyHealth(windows=0, p50_ms=None, p99_ms=None)
        found = latency_of(recent_s)
        return LatencyHealth(windows=recent_s.size, p50_ms=found.p50, p99_ms=found.p99)

    def _queue(self) -> QueueHealth:
        backlog = self._runtime.backlog
        return QueueHealth(windows=backlog.windows, oldest_s=round(backlog.oldest_s, 3))


def _stream(monitor: StreamMonitor, true_rates_hz: Mapping[str, float]) -> StreamHealth:
    true_rate_hz = true_rates_hz.get(monitor.stream)
    return StreamHealth(
        **monitor.totals.fields_for(StreamHealth),
        sample_rate_hz=monitor.sample_rate_hz,
        true_rate_hz=None if true_rate_hz is None else round(true_rate_hz, 4),
        leads=monitor.leads,
    )
