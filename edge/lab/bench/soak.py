"""Soak: hours of ECG of some streams at full speed, with a look at the service's memory now and then.

Everything that may grow is switched on: outbox, alert log, stored hour, predictions. The devices go no further ahead
than the service keeps up with, so that a slow machine takes longer and sheds nothing. What a process holds it is told.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from edge.bundle.manifest import BundleRef
from edge.core.errors import BenchError
from edge.lab.bench.flat import FEWEST, Slope, quarters, slope_of, troubles
from edge.lab.bench.load import Load
from edge.lab.bench.process import ServiceProcess
from edge.lab.bench.trial import Progress, Setup, await_ready
from edge.monitor.latencies import Latency, latency_of

_POINTS = 96
_WARM_UP = 1 / 8  # of the points; memory grows until every path has been taken once
_AHEAD_S = 3.0  # of ECG that a stream may be ahead of what was decided
_TICK_S = 0.5
_DRAIN_S = 2.0
_KEEPS = """
outbox = "{0}/outbox.sqlite"
alert_log = "{0}/alerts.jsonl"
alert_log_mb = 16
[bundle]
state = "{0}"
"""


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
    """What a soak found; all from `rss_first_mb` on is of the points after the warm-up."""

    streams: int
    hours: float  # of ECG a stream
    speed: float  # most, as a multiple of real time
    wall_s: float
    windows: int
    shed_windows: int
    missing: dict[str, int]
    counters: dict[str, int]
    alerts: int
    window_latency_ms: Latency
    bundle: BundleRef
    precision: str
    rss_first_mb: float
    rss_last_mb: float
    rss_slope: Slope  # MB per day of ECG
    descriptors: tuple[int, int]  # least and most
    threads: tuple[int, int]
    end_to_end_ms: tuple[Latency, ...]  # of each quarter
    troubles: tuple[str, ...]  # why it is not flat; none: it is
    points: tuple[Point, ...]


def run_soak(
    setup: Setup, streams: int, hours: float, usable: frozenset[int], progress: Progress, stopped: threading.Event
) -> Soak:
    """Send so many hours of ECG of each stream, at the speed of the setup at most; what was seen when it is stopped.

    The service runs on the `usable` cores.

    Raises
    ------
    EdgeError
        When the service or the broker fails, or it is stopped before the warm-up is over.
    """
    points: list[Point] = []
    heard: list[list[float]] = []  # of each point, in s
    began_s, total_s = time.monotonic(), 3600 * hours
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="ecg-nat-soak-"))
        setup = replace(setup, predictions=True, keeps=_KEEPS.format(Path(state).as_posix()))
        service = stack.enter_context(ServiceProcess(setup.config(streams), usable))
        await_ready(setup.broker, service)
        load = stack.enter_context(Load(replace(setup.load(streams), most_ahead_s=_AHEAD_S)))
        load.start()
        while load.sent_s < total_s and not stopped.is_set():
            _let_pass(load, min(load.sent_s + total_s / _POINTS, total_s), total_s, progress, stopped)
            heard.append(load.heard.take())
            points.append(_look(service, load, heard[-1]))
        load.stop()
        stopped.wait(_DRAIN_S)
        report = service.stop()
    first = int(_WARM_UP * len(points))
    settled, heard = points[first:], heard[first:]
    if len(settled) < FEWEST:
        raise BenchError("stopped before the warm-up was over; no figures")
    at, memory = [point.hours for point in settled], [point.rss_mb for point in settled]
    slope, latencies = slope_of(at, memory), [latency_of(each) for each in quarters(heard)]
    descriptors, threads = _range([p.descriptors for p in settled]), _range([p.threads for p in settled])
    return Soak(
        streams=streams,
        hours=points[-1].hours,
        speed=setup.speed,
        wall_s=round(time.monotonic() - began_s, 1),
        windows=report.windows,
        shed_windows=report.shed_windows,
        missing=report.missing,
        counters=report.counters,
        alerts=sum(point.alerts for point in points),
        window_latency_ms=report.latency_ms,
        bundle=setup.bundle.ref,
        precision=setup.precision,
        rss_first_mb=memory[0],
        rss_last_mb=memory[-1],
        rss_slope=slope,
        descriptors=descriptors,
        threads=threads,
        end_to_end_ms=tuple(latencies),
        troubles=troubles(slope, descriptors, threads, latencies),
        points=tuple(points),
    )


def _range(counts: Sequence[int]) -> tuple[int, int]:
    return min(counts), max(counts)


def _let_pass(load: Load, until_s: float, total_s: float, progress: Progress, stopped: threading.Event) -> None:
    while load.sent_s < until_s and not stopped.wait(_TICK_S):
        load.check()
        progress("soak", load.sent_s, total_s)


def _look(service: ServiceProcess, load: Load, latencies_s: list[float]) -> Point:
    usage = service.usage()
    return Point(
        hours=round(load.sent_s / 3600, 3),
        rss_mb=usage.rss_mb,
        descriptors=usage.descriptors,
        threads=usage.threads,
        cpu_s=usage.cpu_s,
        alerts=len(latencies_s),
        end_to_end_ms=latency_of(latencies_s),
    )
