"""The result of a replay: figures as JSON for programs, and a table of alarms for people."""

from collections.abc import Sequence

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edge.alarms.machine import AlarmEvent
from edge.bundle.manifest import Bundle, BundleRef
from edge.core.machine import peak_rss_mb
from edge.core.output import clock
from edge.monitor.latencies import Latency, latency_of
from edge.monitor.runtime import MonitorRuntime
from edge.publish.cloud_events import AlertBase, alert_fields
from edge.signal.account import SampleCounts

_REASONS = {"condition_ended": "over", "signal_lost": "signal lost", "stream_end": "stream ended"}
_STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan", "none": "dim"}


class Alert(AlertBase, frozen=True, kw_only=True):
    """One alarm event as a report lists it."""

    id: str
    event: str  # raised, cleared, ...

    @classmethod
    def of(cls, event: AlarmEvent) -> "Alert":
        """Make the report's entry of an alarm event."""
        return cls(id=str(event.id), event=event.kind, **alert_fields(event))


class Report(SampleCounts, frozen=True, kw_only=True):
    """The figures of one replay; samples_in = samples_classified + sum of missing + pending."""

    classified: int = msgspec.field(name="samples_classified")

    record: str
    via: str
    seconds: float
    duplicates: int
    counters: dict[str, int]  # input that the source dropped, by reason
    windows: int
    alerts: tuple[Alert, ...]
    latency_ms: Latency
    realtime_factor: float
    peak_rss_mb: float
    bundle: BundleRef

    @classmethod
    def of(  # noqa: PLR0913  a report has many parts
        cls,
        runtime: MonitorRuntime,
        bundle: Bundle,
        alerts: Sequence[Alert],
        *,
        record: str,
        via: str,
        seconds: float,
        wall_s: float,
        counters: dict[str, int],
    ) -> "Report":
        """Sum up a runtime that has ended, after `seconds` of ECG in `wall_s`."""
        return cls(
            **runtime.totals().fields_for(cls),
            record=record,
            via=via,
            seconds=seconds,
            counters=counters,
            alerts=tuple(alerts),
            latency_ms=latency_of(runtime.latencies.after()),
            realtime_factor=round(seconds / wall_s, 1) if wall_s > 0 else 0.0,
            peak_rss_mb=peak_rss_mb(),
            bundle=bundle.ref,
        )


def show(report: Report, console: Console) -> None:
    """Print the alarms as a table, and the figures below it."""
    console.print(_alarm_table(report))
    console.print(
        f"{report.record}: {clock(report.seconds)} of ECG, {report.windows} windows, "
        f"{report.realtime_factor:g} times real time\n"
        f"{report.equation()}\n"
        f"latency ms p50 {report.latency_ms.p50:g}, p99 {report.latency_ms.p99:g}, max {report.latency_ms.max:g}; "
        f"peak memory {report.peak_rss_mb:g} MB; "
        f"bundle {report.bundle.name} {report.bundle.version} ({report.bundle.sha256[:12]})",
        highlight=False,
        soft_wrap=True,
    )


def _alarm_table(report: Report) -> Table:
    table = Table("since", "raised", "ended", "alarm", "priority", "p", "leads", "why ended", box=SIMPLE)
    # One row for each alarm, from its raise to its end; other events of it, such as an escalation, are in the JSON.
    cleared = {alert.alarm_id: alert for alert in report.alerts if alert.event == "cleared"}
    for alert in report.alerts:
        if alert.event == "raised":
            end = cleared.get(alert.alarm_id)
            table.add_row(
                clock(alert.onset_s),
                clock(alert.end_s),
                clock(end.end_s) if end else "still on",
                alert.label,
                alert.priority,
                "" if alert.probability is None else f"{alert.probability:.2f}",
                " ".join(alert.leads),
                _REASONS[end.reason] if end and end.reason else "",
                style=_STYLES[alert.priority],
            )
    return table
