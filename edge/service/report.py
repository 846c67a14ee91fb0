"""The account of a service that has ended, as `ecg-edge run --json` writes it."""

import msgspec

from edge.bundle.manifest import Bundle, BundleRef
from edge.core.machine import peak_rss_mb
from edge.monitor.latencies import Latency, latency_of
from edge.monitor.runtime import Runtime


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a service that has ended; samples_in = samples_classified + sum of missing + pending."""

    samples_in: int
    samples_classified: int
    pending: int
    missing: dict[str, int]
    duplicates: int
    refused_blocks: int
    counters: dict[str, int]  # what the sources threw away that was no sample
    windows: int
    shed_windows: int  # of these, given up under overload
    latency_ms: Latency
    peak_rss_mb: float
    bundle: BundleRef

    @classmethod
    def of(cls, runtime: Runtime, bundle: Bundle, *, refused_blocks: int, counters: dict[str, int]) -> "ServiceReport":
        """Sum up a service's runtime."""
        totals = runtime.totals()
        return cls(
            samples_in=totals.samples_in,
            samples_classified=totals.classified,
            pending=totals.pending,
            missing=dict(totals.missing),
            duplicates=totals.duplicates,
            refused_blocks=refused_blocks,
            counters=counters,
            windows=totals.windows,
            shed_windows=totals.shed_windows,
            latency_ms=latency_of(runtime.latencies.after()),
            peak_rss_mb=peak_rss_mb(),
            bundle=bundle.ref,
        )
