"""One trial: a service, a broker and a number of streams for some seconds, and the figures of it.

core A   the service under test
core B   broker, devices, and the listener to their alerts
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edge.bundle.manifest import Bundle
from edge.core.errors import BenchError
from edge.lab.bench.load import Load, LoadConfig
from edge.lab.bench.process import ServiceProcess, Usage
from edge.monitor.latencies import Latency, latency_of
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import status_topic
from edge.publish.payloads import DeviceStatus, decode
from edge.service.report import ServiceReport
from edge.signal.resample import look_ahead

DEVICE = "bench"
TOPIC = "bench/+/samples"
_READY_S = 60.0
_SETTLE_S = 2.0  # for the first windows of all streams, and the cost of starting so many
_DRAIN_S = 1.0  # for the alerts of the last windows
_TICK_S = 0.2
_BEHIND_S = 0.5  # a load later than this was not in real time

Progress = Callable[[str, float, float], None]  # title, seconds done, seconds in all


@dataclass(frozen=True, kw_only=True)
class BenchSetup:
    """What all trials of a bench have in common."""

    bundle: Bundle
    broker: BrokerConfig
    core: int
    precision: str
    sample_rate_hz: float = 250.0
    leads: tuple[str, ...] = ("II",)
    block_s: float = 1.0
    speed: float = 1.0
    predictions: bool = False
    extra_config: str = ""  # TOML: more keys of [publish], then more tables

    def config(self, streams: int) -> str:
        """Return the configuration of the service under test as TOML."""
        return f"""
model = "{self.bundle.path}"
[device]
id = "{DEVICE}"
[classifier]
precision = "{self.precision}"
[broker]
host = "{self.broker.host}"
port = {self.broker.port}
[publish]
predictions = {str(self.predictions).lower()}
{self.extra_config}
[[source]]
kind = "mqtt"
topic = "{TOPIC}"
max_streams = {streams}
max_payloads_per_s = inf
"""

    def load(self, streams: int) -> LoadConfig:
        """Return the devices; each sends the samples before its first window's end at once."""
        spec = self.bundle.manifest.input
        return LoadConfig(
            broker=self.broker,
            topic=TOPIC,
            device=DEVICE,
            streams=streams,
            look_ahead=look_ahead(self.sample_rate_hz, spec.sample_rate_hz),
            sample_rate_hz=self.sample_rate_hz,
            leads=self.leads,
            block_s=self.block_s,
            history_s=spec.window_s - spec.hop_s,
            hop_s=spec.hop_s,
            speed=self.speed,
        )


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one number of streams."""

    streams: int
    seconds: float  # measured
    kept_up: bool  # nothing was shed or lost, and p99 of the latency stayed below a hop
    windows: int
    shed_windows: int
    missing: dict[str, int]  # sample instants by cause
    counters: dict[str, int]
    alerts: int
    window_latency_ms: Latency  # from the arrival of a window's last sample to its decision
    end_to_end_ms: Latency  # from the publication of the last sample that a window needs to its alert's arrival
    last_sample_ms: Latency  # the same from the window's own last sample; the resampler needs 0.1 s more
    cpu_share: float  # of the core
    cpu_s_per_stream_hour: float
    peak_rss_mb: float
    start_s: float
    load_behind_ms: float  # how late the devices were at most

    @classmethod
    def of(
        cls,
        setup: BenchSetup,
        load: Load,
        report: ServiceReport,
        usage: tuple[Usage, Usage],
        *,
        seconds: float,
        start_s: float,
    ) -> "Trial":
        """Compute the figures of a trial that has ended."""
        streams, received = len(load.names), load.received
        lost = report.shed_windows + sum(report.missing.values()) - report.missing.get("tail", 0)
        hop_ms = 1e3 * setup.bundle.manifest.input.hop_s
        cpu_s = usage[1].cpu_s - usage[0].cpu_s
        return cls(
            streams=streams,
            seconds=round(seconds, 1),
            kept_up=not lost and not report.counters.get("overrun_payloads") and report.latency_ms.p99 < hop_ms,
            windows=report.windows,
            shed_windows=report.shed_windows,
            missing=report.missing,
            counters=report.counters,
            alerts=len(received.end_to_end_s),
            window_latency_ms=report.latency_ms,
            end_to_end_ms=latency_of(received.end_to_end_s),
            last_sample_ms=latency_of(received.last_sample_s),
            cpu_share=round(cpu_s / seconds, 3),
            cpu_s_per_stream_hour=round(3600 * cpu_s / seconds / streams / setup.speed, 2),
            peak_rss_mb=usage[1].peak_rss_mb,
            start_s=start_s,
            load_behind_ms=round(1e3 * load.behind_s, 1),
        )


def run_trial(setup: BenchSetup, streams: int, seconds: float, progress: Progress, stopped: threading.Event) -> Trial:
    """Run one trial; it takes some five seconds longer than `seconds`.

    Raises
    ------
    EdgeError
        When the service or the broker fails, or the devices could not send in real time.
    """
    title = f"{streams} streams"
    with ServiceProcess(setup.config(streams), frozenset({setup.core})) as service:
        start_s = await_ready(setup.broker, service)
        with Load(setup.load(streams)) as load:
            load.start()
            wait(title, _SETTLE_S, progress, stopped)
            before, began_s = service.usage(), time.monotonic()
            wait(title, seconds, progress, stopped)
            after, measured_s = service.usage(), time.monotonic() - began_s
            load.stop()
            stopped.wait(_DRAIN_S)
            report = service.stop()
    if load.behind_s > _BEHIND_S:
        raise BenchError(
            f"{streams} streams: this machine is too slow to make the load; it was up to {load.behind_s:.1f} s late"
        )
    return Trial.of(setup, load, report, (before, after), seconds=measured_s, start_s=start_s)


def await_ready(broker: BrokerConfig, service: ServiceProcess) -> float:
    """Return the seconds from the start of the process until its status says that the classifier runs.

    Raises
    ------
    BenchError
        When that takes too long, or the service ends.
    """
    with Subscriber(broker, [status_topic(DEVICE)]) as subscriber:
        while time.monotonic() - service.started_s < _READY_S:
            message = subscriber.get(_TICK_S)
            if message is None:
                service.usage()  # raises when the service has ended
                continue
            status = decode(message.payload, DeviceStatus)
            if not message.retained and status.state == "online" and status.classifier is not None:
                return round(time.monotonic() - service.started_s, 2)
    raise BenchError(f"the service was not ready within {_READY_S:g} s: {service.last_log_line}")


def wait(title: str, seconds: float, progress: Progress, stopped: threading.Event) -> None:
    """Wait some seconds and report progress; raises BenchError when stopped."""
    began_s = time.monotonic()
    while (done_s := time.monotonic() - began_s) < seconds:
        progress(title, done_s, seconds)
        if stopped.wait(min(_TICK_S, seconds - done_s)):
            raise BenchError("stopped before the end, so there are no figures")
