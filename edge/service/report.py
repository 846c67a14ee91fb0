"""The final account of the service, which `ecg-edge run --json` writes."""

import msgspec

from edge.bundle.manifest import Bundle, BundleRef
from edge.core.machine import peak_rss_mb
from edge.monitor.latencies import Latency, latency_of
from edge.monitor.runtime import MonitorRuntime
from edge.monitor.totals import Totals


class ServiceReport(Totals, frozen=True, kw_only=True):
    """The account of all streams; samples_in = samples_classified + sum of missing + pending."""

    classified: int = msgspec.field(name="samples_classified")
    refused_blocks: int
    counters: dict[str, int]  # events of the sources, such as damaged frames
    latency_ms: Latency
    peak_rss_mb: float
    bundle: BundleRef

    @classmethod
    def of(
        cls, runtime: MonitorRuntime, bundle: Bundle, *, refused_blocks: int, counters: dict[str, int]
    ) -> "ServiceReport":
        """Return the report of a service's runtime."""
        return cls(
            **runtime.totals().fields_for(cls),
            refused_blocks=refused_blocks,
            counters=counters,
            latency_ms=latency_of(runtime.latencies.after()),
            peak_rss_mb=peak_rss_mb(),
            bundle=bundle.ref,
        )
