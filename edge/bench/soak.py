"""Soak: hours of ECG of some streams, faster than real time, with a look at the service's memory now and then.

Knows how to tell a line that rises from one that does not; what a process holds it is told.
"""

import threading
import time

import msgspec
import numpy as np

from edge.bench.load import Load
from edge.bench.process import ServiceProcess
from edge.bench.trial import Progress, Setup, await_ready, wait
from edge.report import BundleName, Latency, latency_of

_POINTS = 48
_WARM_UP = 0.2  # of the points; memory grows until every path has been taken once
_TICK_S = 0.5
_DRAIN_S = 2.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One look."""

    hours: float  # of ECG that each stream has sent
    rss_mb: float
    descriptors: int
    threads: int
    cpu_s: float
    alerts: int  # since the look before
    end_to_end_ms: Latency  # of these; as in a trial


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak found; slopes are those of the points after the warm-up, per day of ECG."""

    streams: int
    hours: float  # of ECG a stream
    speed: float  # multiple of real time
    wall_s: float
    windows: int
    shed_windows: int
    missing: dict[str, int]
    counters: dict[str, int]
    alerts: int
    rss_first_mb: float
    rss_last_mb: float
    rss_slope_mb_per_day: float
    descriptors_first: int
    descriptors_last: int
    threads_first: int
    threads_last: int
    p99_first_ms: float  # median over the first half of the points of each one's p99
    p99_last_ms: float
    window_latency_ms: Latency
    bundle: BundleName
    precision: str
    points: tuple[Point, ...]


def run_soak(setup: Setup, streams: int, hours: float, progress: Progress, stopped: threading.Event) -> Soak:
    """Send so many hours of ECG of each stream at the speed of the setup.

    Raises
    ------
    EdgeError
        When the service or the broker fails.
    """
    points: list[Point] = []
    began_s = time.monotonic()
    with ServiceProcess(setup.config(streams), setup.core) as service:
        await_ready(setup.broker, service)
        with Load(setup.load(streams)) as load:
            load.start()
            while load.sent_s < 3600 * hours:
                _let_pass(load, 3600 * hours, hours / _POINTS, progress, stopped)
                points.append(_look(service, load))
            load.stop()
            stopped.wait(_DRAIN_S)
            report = service.stop()
    settled = points[int(_WARM_UP * len(points)) :]
    half = len(settled) // 2
    p99 = [point.end_to_end_ms.p99 for point in settled if point.alerts]
    return Soak(
        streams=streams,
        hours=hours,
        speed=setup.speed,
        wall_s=round(time.monotonic() - began_s, 1),
        windows=report.windows,
        shed_windows=report.shed_windows,
        missing=report.missing,
        counters=report.counters,
        alerts=sum(point.alerts for point in points),
        rss_first_mb=settled[0].rss_mb,
        rss_last_mb=settled[-1].rss_mb,
        rss_slope_mb_per_day=slope_per_day([point.hours for point in settled], [point.rss_mb for point in settled]),
        descriptors_first=settled[0].descriptors,
        descriptors_last=settled[-1].descriptors,
        threads_first=settled[0].threads,
        threads_last=settled[-1].threads,
        p99_first_ms=round(float(np.median(p99[:half] or [0.0])), 1),
        p99_last_ms=round(float(np.median(p99[half:] or [0.0])), 1),
        window_latency_ms=report.latency_ms,
        bundle=BundleName.of(setup.bundle),
        precision=setup.precision,
        points=tuple(points),
    )


def slope_per_day(hours: list[float], values: list[float]) -> float:
    """Return the slope of the line of least squares, per 24 hours; 0 where there are fewer than three points."""
    if len(hours) < 3:
        return 0.0
    return round(24 * float(np.polyfit(hours, values, 1)[0]), 3)


def _let_pass(load: Load, total_s: float, hours: float, progress: Progress, stopped: threading.Event) -> None:
    until_s = min(load.sent_s + 3600 * hours, total_s)
    while load.sent_s < until_s:
        wait("soak", _TICK_S, lambda _, __, ___: progress("soak", load.sent_s, total_s), stopped)


def _look(service: ServiceProcess, load: Load) -> Point:
    usage, latencies_s = service.usage(), load.heard.take()
    return Point(
        hours=round(load.sent_s / 3600, 3),
        rss_mb=usage.rss_mb,
        descriptors=usage.descriptors,
        threads=usage.threads,
        cpu_s=usage.cpu_s,
        alerts=len(latencies_s),
        end_to_end_ms=latency_of(latencies_s),
    )
