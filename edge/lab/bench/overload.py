"""Overload test: twice as many streams as the service can take, then half as many until it has recovered."""

import threading
import time
from collections import Counter
from dataclasses import replace

import msgspec

from edge.lab.bench.load import Load
from edge.lab.bench.process import ServiceProcess
from edge.lab.bench.trial import BenchSetup, Progress, await_ready, wait
from edge.monitor.latencies import Latency

_RECOVERY_TIMEOUT_S = 120.0
_AFTERWARDS_S = 5.0  # after the recovery, when nothing should be shed any more


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """The result of twice the load, as seen at the broker."""

    streams: int  # twice the capacity
    streams_after: int  # half of it
    windows: int  # in all, with those that were shed
    shed_windows: int
    shed_share: float  # of all windows while the load was too high
    least_shed_share: float  # of the stream that lost least
    most_shed_share: float  # of the stream that lost most
    raised: int  # streams on which OVERLOAD was raised
    most_raised: int  # most times on one stream; 1: the alarm did not flap
    cleared: int  # streams on which it was cleared, and not raised again
    recovered_s: float | None  # from the drop of the load until the last alarm was cleared; None: not in time
    shed_afterwards: int
    missing: dict[str, int]  # sample instants by cause
    counters: dict[str, int]
    window_latency_ms: Latency
    peak_rss_mb: float


def run_overload(
    setup: BenchSetup, capacity: int, seconds: float, progress: Progress, stopped: threading.Event
) -> Overload:
    """Load a service with twice its capacity for some seconds, then with half of it until it has recovered.

    Raises
    ------
    EdgeError
        When the service or the broker fails.
    """
    setup = replace(setup, predictions=True)
    streams, few = 2 * capacity, max(1, capacity // 2)
    with ServiceProcess(setup.config(streams), frozenset({setup.core})) as service:
        await_ready(setup.broker, service)
        with Load(setup.load(streams)) as load:
            load.start()
            wait(f"{streams} streams", seconds, progress, stopped)
            shares = shed_shares(load)
            load.reduce_to(few)
            recovered_s = _await_recovery(load, f"{few} streams", progress, stopped)
            before = _shed(load)
            wait(f"{few} streams", _AFTERWARDS_S, progress, stopped)
            shed_afterwards = _shed(load) - before
            peak_rss_mb = service.usage().peak_rss_mb
            load.stop()
            report = service.stop()
    raised, cleared = _overload_events(load, "raised"), _overload_events(load, "cleared")
    return Overload(
        streams=streams,
        streams_after=few,
        windows=report.windows,
        shed_windows=report.shed_windows,
        shed_share=round(sum(shares) / len(shares), 3),
        least_shed_share=round(min(shares), 3),
        most_shed_share=round(max(shares), 3),
        raised=len(raised),
        most_raised=max(raised.values(), default=0),
        cleared=sum(cleared[stream] >= times for stream, times in raised.items()),
        recovered_s=recovered_s,
        shed_afterwards=shed_afterwards,
        missing=report.missing,
        counters=report.counters,
        window_latency_ms=report.latency_ms,
        peak_rss_mb=peak_rss_mb,
    )


def shed_shares(load: Load) -> list[float]:
    """Return for each stream the share of its windows that was shed so far."""
    windows = dict(load.received.windows)
    shares = []
    for name in load.names:
        total = sum(count for (stream, _), count in windows.items() if stream == name)
        shares.append(windows.get((name, "shed"), 0) / total if total else 1.0)
    return shares


def _shed(load: Load) -> int:
    return sum(count for (_, cause), count in tuple(load.received.windows.items()) if cause == "shed")


def _overload_events(load: Load, wanted: str) -> Counter[str]:
    """Return how often OVERLOAD was raised, or cleared, on each stream."""
    events = load.received.events.copy()  # the load's own thread goes on counting
    overload = {stream: n for (stream, label, event), n in events.items() if (label, event) == ("OVERLOAD", wanted)}
    return Counter(overload)


def _await_recovery(load: Load, title: str, progress: Progress, stopped: threading.Event) -> float | None:
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < _RECOVERY_TIMEOUT_S:
        if _overload_events(load, "cleared") == _overload_events(load, "raised"):
            return round(passed_s, 1)
        wait(title, 0.2, lambda title, done_s, _: progress(title, passed_s + done_s, _RECOVERY_TIMEOUT_S), stopped)
    return None
