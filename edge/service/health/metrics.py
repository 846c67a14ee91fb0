"""The health as Prometheus metrics: `http://HOST:PORT/metrics`.

The account may be corrected (silence that turns out to be a restarted device), so its figures are gauges; figures that
only grow are counters. One thread serves one reader at a time, each for a few seconds at most. A reader that holds its
connection open delays other readers, and nothing else.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from socketserver import BaseRequestHandler, TCPServer
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from edge.core.errors import ConfigError
from edge.publish.health import DeviceHealth

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_PREFIX = "ecg_nat_"
_POLL_S = 0.2  # how often the server checks whether it should stop
_READER_TIMEOUT_S = 3.0  # for a reader that does not send its request or take the answer
Values = Mapping[tuple[str, ...], float]  # by label values


class HealthCollector(Collector):
    """Reads the health at each scrape and turns it into metric families."""

    def __init__(self, read: Callable[[], DeviceHealth]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        health = self._read()
        yield from _device(health)
        yield from _account(health)
        yield from _delivery(health)
        yield from _streams(health)


class MetricsServer:
    """Serves the metrics from its own thread, as a context manager.

    Parameters
    ----------
    read : gives the health
    host, port : where to listen; port 0 chooses a free port

    Raises
    ------
    ConfigError
        When the address cannot be used.
    """

    def __init__(self, read: Callable[[], DeviceHealth], host: str, port: int) -> None:
        registry = CollectorRegistry()
        registry.register(HealthCollector(read))
        ProcessCollector(registry=registry)
        try:
            self._server = _Server((host, port), _Handler)
        except (OSError, OverflowError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise ConfigError(f"metrics on {host}:{port}: {reason}; set metrics_host and metrics_port") from exc
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)

    @property
    def url(self) -> str:
        """The address of the metrics."""
        host = self._server.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def __enter__(self) -> "Self":
        self._thread.start()
        _LOG.info("metrics on %s", self.url)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(WSGIServer):
    def __init__(self, address: tuple[str, int], handler: type[BaseRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without a name server look-up, which HTTPServer does and which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """Log at debug level instead of printing a traceback: a reader that goes away is not an error."""
        _LOG.debug("a reader of the metrics was not served", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = _READER_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's signature
        """Do not log each scrape."""


def _gauge(name: str, text: str, values: Values | float | None, labels: tuple[str, ...] = ()) -> Metric:
    return _fill(GaugeMetricFamily(_PREFIX + name, text, labels=labels), values)


def _counter(name: str, text: str, values: Values | float | None, labels: tuple[str, ...] = ()) -> Metric:
    return _fill(CounterMetricFamily(_PREFIX + name, text, labels=labels), values)


def _fill(family: GaugeMetricFamily | CounterMetricFamily, values: Values | float | None) -> Metric:
    """Add the samples to a family; None adds none."""
    if isinstance(values, Mapping):
        for labels, value in values.items():
            family.add_metric(labels, value)
    elif values is not None:
        family.add_metric((), values)
    return family


def _by(counts: dict[str, int]) -> Values:
    return {(name,): count for name, count in counts.items()}


def _device(health: DeviceHealth) -> Iterator[Metric]:
    bundle = health.bundle
    labels = {
        "version": health.version,
        "bundle": bundle.name,
        "bundle_version": bundle.version,
        "bundle_sha256": bundle.sha256,
        "backend": health.backend or "",
        "precision": health.precision or "",
    }
    yield _gauge("info", "Version, bundle, back end and precision.", {tuple(labels.values()): 1}, tuple(labels))
    yield _gauge("uptime_seconds", "Time since the service was started.", health.uptime_s)
    yield _gauge("cpu_temperature_celsius", "Temperature of the hottest CPU zone.", health.cpu_temperature_c)


def _account(health: DeviceHealth) -> Iterator[Metric]:
    yield _gauge("samples_in", "Sample instants received: classified, missing or pending.", health.samples_in)
    yield _gauge("samples_classified", "Sample instants in a classified window.", health.classified)
    yield _gauge("samples_pending", "Sample instants that wait for their window.", health.pending)
    yield _gauge(
        "samples_missing", "Sample instants that could not be classified, by cause.", _by(health.missing), ("cause",)
    )
    yield _counter("duplicate_samples", "Sample instants that arrived twice.", health.duplicates)
    yield _counter("blocks_unkept", "Blocks that the stored hour for swaps lacks.", health.blocks_unkept)
    yield _counter("blocks_refused", "Blocks that contradict their stream.", health.blocks_refused)
    yield _counter(
        "source_events",
        "Events of the sources, such as damaged frames and reconnects.",
        _by(health.source_events),
        ("event",),
    )
    yield _counter("windows", "Windows decided.", health.windows)
    yield _counter("windows_shed", "Windows dropped under overload.", health.shed_windows)
    latency: Values = {
        (quantile,): each / 1e3
        for quantile, each in (("0.5", health.latency.p50_ms), ("0.99", health.latency.p99_ms))
        if each is not None
    }
    yield _gauge(
        "window_latency_seconds",
        "Time from the last sample of a window to its decision, over the last minutes.",
        latency,
        ("quantile",),
    )
    yield _gauge("queue_windows", "Windows that wait for the classifier.", health.queue.windows)
    yield _gauge("queue_oldest_seconds", "Age of the oldest undecided window.", health.queue.oldest_s)


def _delivery(health: DeviceHealth) -> Iterator[Metric]:
    publisher = health.publisher
    yield _gauge("broker_connected", "Whether the broker is connected.", publisher.connected)
    yield _gauge("messages_queued", "Alerts and predictions that wait.", publisher.queued)
    yield _gauge("outbox_messages", "Alerts that wait in the outbox.", publisher.outbox)
    yield _counter("messages_sent", "Messages that the broker has acknowledged.", publisher.sent)
    yield _counter("messages_dropped", "Messages dropped, by cause.", _by(publisher.dropped), ("cause",))
    yield _counter("alerts_unlogged", "Alerts that the alert log could not keep.", publisher.unlogged)
    yield _counter("commands", "Commands received, by result.", _by(publisher.commands), ("outcome",))
    yield _counter("broker_connects", "Connections made.", publisher.connects)
    yield _counter("broker_failures", "Connections that failed or were refused.", publisher.failures)


def _streams(health: DeviceHealth) -> Iterator[Metric]:
    yield _gauge("streams", "Streams that are open.", health.streams_open)
    streams = health.streams
    samples: dict[tuple[str, ...], float] = {}
    for name, each in streams.items():
        states = ("classified", each.classified), ("pending", each.pending), ("missing", sum(each.missing.values()))
        samples |= {(name, state): count for state, count in states}
    nominal: Values = {(name,): each.sample_rate_hz for name, each in streams.items()}
    true: Values = {(name,): each.true_rate_hz for name, each in streams.items() if each.true_rate_hz is not None}
    windows: Values = {(name,): each.windows for name, each in streams.items()}
    yield _gauge(
        "stream_samples", "Sample instants of a stream: classified, missing or pending.", samples, ("stream", "state")
    )
    yield _gauge("stream_windows", "Windows decided since the stream was opened.", windows, ("stream",))
    yield _gauge("stream_sample_rate_hertz", "Sample rate that the device states.", nominal, ("stream",))
    yield _gauge("stream_true_sample_rate_hertz", "Sample rate measured from arrival.", true, ("stream",))
