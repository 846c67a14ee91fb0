"""The figures of a bench, as JSON for programs and as a table for people."""

from collections.abc import Sequence

import msgspec
import onnxruntime
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edge.bundle.manifest import BundleRef
from edge.core.machine import processor
from edge.lab.bench.overload import Overload
from edge.lab.bench.search import kept_up
from edge.lab.bench.soak import Soak
from edge.lab.bench.trial import BenchSetup, Trial
from edge.monitor.latencies import Latency


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `ecg-edge bench`; latencies and memory are those of the first trial, with `streams`."""

    streams_per_core: int | None  # the most that passed; None without a search
    streams: int
    window_latency_ms: Latency
    end_to_end_ms: Latency
    last_sample_ms: Latency
    cpu_s_per_stream_hour: float
    peak_rss_mb: float
    start_s: float
    backend: str
    precision: str
    bundle: BundleRef
    broker: str
    hop_s: float
    window_s: float
    sample_rate_hz: float
    leads: tuple[str, ...]
    block_s: float
    service_core: int
    other_cores: tuple[int, ...]
    machine: str
    trials: tuple[Trial, ...]
    overload: Overload | None

    @classmethod
    def of(
        cls,
        setup: BenchSetup,
        trials: Sequence[Trial],
        overload: Overload | None,
        *,
        broker: str,
        others: frozenset[int],
        searched: bool,
    ) -> "BenchReport":
        """Sum up the trials, the one with `streams` first."""
        first, spec = trials[0], setup.bundle.manifest.input
        return cls(
            # Without a search the largest trial says nothing about how many more would have passed.
            streams_per_core=kept_up(list(trials)) if searched else None,
            streams=first.streams,
            window_latency_ms=first.window_latency_ms,
            end_to_end_ms=first.end_to_end_ms,
            last_sample_ms=first.last_sample_ms,
            cpu_s_per_stream_hour=first.cpu_s_per_stream_hour,
            peak_rss_mb=first.peak_rss_mb,
            start_s=first.start_s,
            backend=f"onnxruntime {onnxruntime.__version__}",
            precision=setup.precision,
            bundle=setup.bundle.ref,
            broker=broker,
            hop_s=spec.hop_s,
            window_s=spec.window_s,
            sample_rate_hz=setup.sample_rate_hz,
            leads=setup.leads,
            block_s=setup.block_s,
            service_core=setup.core,
            other_cores=tuple(sorted(others)),
            machine=processor(),
            trials=tuple(trials),
            overload=overload,
        )


def show(report: BenchReport, console: Console) -> None:
    """Print the trials as a table, and the figures below it."""
    table = Table("streams", "kept up", "shed", "latency p50", "p99 ms", "alert p50", "p99 ms", "core", box=SIMPLE)
    for trial in report.trials:
        latency, alert = trial.window_latency_ms, trial.end_to_end_ms
        table.add_row(
            str(trial.streams),
            "yes" if trial.kept_up else "no",
            str(trial.shed_windows),
            f"{latency.p50:g}",
            f"{latency.p99:g}",
            f"{alert.p50:g}",
            f"{alert.p99:g}",
            f"{trial.cpu_share:.0%}",
        )
    console.print(table)
    most = "" if report.streams_per_core is None else f"{report.streams_per_core} streams a core; "
    shared = " (the only core: shared with load and broker)" if report.service_core in report.other_cores else ""
    console.print(
        f"{most}at {report.streams} streams: last sample to alert p50 {report.end_to_end_ms.p50:g} ms, "
        f"p99 {report.end_to_end_ms.p99:g} ms; {report.cpu_s_per_stream_hour:g} CPU s per stream and hour; "
        f"peak memory {report.peak_rss_mb:g} MB; ready after {report.start_s:g} s\n"
        f"{len(report.leads)} lead(s) at {report.sample_rate_hz:g} Hz in blocks of {report.block_s:g} s through "
        f"{report.broker}; windows of {report.window_s:g} s each {report.hop_s:g} s; bundle {report.bundle.name} "
        f"{report.bundle.version}, {report.precision} on {report.backend}; core {report.service_core}{shared} of "
        f"{report.machine}; devices at most {max(trial.load_behind_ms for trial in report.trials):g} ms late",
        highlight=False,
        soft_wrap=True,
    )
    if report.overload is not None:
        _show_overload(report.overload, console)


def _show_overload(found: Overload, console: Console) -> None:
    end = "not over in time" if found.recovered_s is None else f"over {found.recovered_s:g} s after"
    console.print(
        f"overload, {found.streams} streams: {found.shed_share:.0%} of the windows shed, {found.least_shed_share:.0%} "
        f"of the stream that lost least, {found.most_shed_share:.0%} of the one that lost most; latency p50 "
        f"{found.window_latency_ms.p50:g} ms, p99 {found.window_latency_ms.p99:g} ms; OVERLOAD raised on "
        f"{found.raised}, {found.most_raised} time(s) at most, and cleared for good on {found.cleared}; with "
        f"{found.streams_after} streams {end}, then {found.shed_afterwards} shed",
        highlight=False,
        soft_wrap=True,
    )


def show_soak(found: Soak, console: Console) -> None:
    """Print the readings as a table, and the result below it."""
    table = Table("ECG h", "memory MB", "descriptors", "threads", "CPU s", "alerts", "p50", "p99 ms", box=SIMPLE)
    for point in found.points:
        latency = point.end_to_end_ms
        row = point.hours, point.rss_mb, point.descriptors, point.threads, point.cpu_s, point.alerts
        table.add_row(*map(str, row), f"{latency.p50:g}", f"{latency.p99:g}")
    console.print(table)
    lost = ", ".join(f"{cause} {count}" for cause, count in found.missing.items()) or "none"
    slope, factor = found.rss_slope, 3600 * found.hours / found.wall_s
    latencies = ", ".join(f"{each.p50:g} and {each.p99:g}" for each in found.end_to_end_ms)
    flat = "not flat: " + "; ".join(found.troubles) if found.troubles else "flat"
    console.print(
        f"{found.streams} streams, {found.hours:g} h of ECG each in {found.wall_s:g} s, {factor:.1f} times real time; "
        f"{found.windows} windows, {found.shed_windows} shed; samples missing: {lost}; {found.alerts} alerts\n"
        f"after the warm-up: memory {found.rss_first_mb:g} to {found.rss_last_mb:g} MB, {slope.per_day:+g} "
        f"[{slope.low:+g}, {slope.high:+g}] MB per day of ECG; descriptors {_range(found.descriptors)}; threads "
        f"{_range(found.threads)}; last sample to alert p50 and p99 of each quarter, ms: {latencies}\n"
        f"bundle {found.bundle.name} {found.bundle.version}, {found.precision}\n{flat}",
        highlight=False,
        soft_wrap=True,
    )


def _range(counts: tuple[int, int]) -> str:
    return f"{counts[0]} to {counts[1]}" if counts[0] < counts[1] else f"{counts[0]}"
