"""Soak test: hours of ECG of some streams at full speed, with regular readings of the service's memory.

All that may grow is switched on: outbox, alert log, stored hour, predictions. The devices wait for the service's
predictions, so that a slow machine takes longer instead of shedding.
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
from edge.lab.bench.growth import FEWEST, Slope, find_growth, quarters, slope_of
from edge.lab.bench.load import Load
from edge.lab.bench.process import ServiceProcess
from edge.lab.bench.trial import BenchSetup, Progress, await_ready
from edge.monitor.latencies import Latency, latency_of

_POINTS = 96
_WARM_UP = 1 / 8  # of the points; memory grows until all code has run once
_AHEAD_S = 3.0  # of ECG that a stream may be ahead of its predictions
_TICK_S = 0.5
_DRAIN_S = 2.0
_STORAGE = """
outbox = "{0}/outbox.sqlite"
alert_log = "{0}/alerts.jsonl"
alert_log_mb = 16
[bundle]
state = "{0}"
"""


class SoakPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One reading."""

    hours: float  # of ECG that each stream has sent
    rss_mb: float
    descriptors: int
    threads: int
    cpu_s: float
    alerts: int  # since the reading before
    end_to_end_ms: Latency  # of these; as in a trial


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a soak; figures from `rss_first_mb` on are of the points after the warm-up."""

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
    troubles: tuple[str, ...]  # what grew; empty: nothing did
    points: tuple[SoakPoint, ...]


def run_soak(
    setup: BenchSetup, streams: int, hours: float, usable: frozenset[int], progress: Progress, stopped: threading.Event
) -> Soak:
    """Send some hours of ECG of each stream, at most at the speed of the setup.

    The service runs on the `usable` cores. When `stopped` is set the result covers the ECG sent so far.

    Raises
    ------
    EdgeError
        When the service or the broker fails, or it is stopped before the warm-up is over.
    """
    points: list[SoakPoint] = []
    latencies_s: list[list[float]] = []  # of the alerts before each point
    began_s, total_s = time.monotonic(), 3600 * hours
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="ecg-nat-soak-"))
        setup = replace(setup, predictions=True, extra_config=_STORAGE.format(Path(state).as_posix()))
        service = stack.enter_context(ServiceProcess(setup.config(streams), usable))
        await_ready(setup.broker, service)
        load = stack.enter_context(Load(replace(setup.load(streams), most_ahead_s=_AHEAD_S)))
        load.start()
        while load.sent_s < total_s and not stopped.is_set():
            _wait_for_ecg(load, min(load.sent_s + total_s / _POINTS, total_s), total_s, progress, stopped)
            latencies_s.append(load.received.take_latencies())
            points.append(_read_point(service, load, latencies_s[-1]))
        load.stop()
        stopped.wait(_DRAIN_S)
        report = service.stop()
    first = int(_WARM_UP * len(points))
    settled = points[first:]
    if len(settled) < FEWEST:
        raise BenchError("stopped before the warm-up was over, so there are no figures")
    hours_at, memory = [point.hours for point in settled], [point.rss_mb for point in settled]
    slope, latencies = slope_of(hours_at, memory), [latency_of(each) for each in quarters(latencies_s[first:])]
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
        troubles=find_growth(slope, descriptors, threads, latencies),
        points=tuple(points),
    )


def _range(counts: Sequence[int]) -> tuple[int, int]:
    return min(counts), max(counts)


def _wait_for_ecg(load: Load, until_s: float, total_s: float, progress: Progress, stopped: threading.Event) -> None:
    while load.sent_s < until_s and not stopped.wait(_TICK_S):
        load.check()
        progress("soak", load.sent_s, total_s)


def _read_point(service: ServiceProcess, load: Load, latencies_s: list[float]) -> SoakPoint:
    usage = service.usage()
    return SoakPoint(
        hours=round(load.sent_s / 3600, 3),
        rss_mb=usage.rss_mb,
        descriptors=usage.descriptors,
        threads=usage.threads,
        cpu_s=usage.cpu_s,
        alerts=len(latencies_s),
        end_to_end_ms=latency_of(latencies_s),
    )
