"""The service: every configured source into one runtime, every alarm event out to the broker, until told to stop.

Knows how parts are put together and kept alive; what each does is its own.
"""

import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Bundle
from edge.classifiers.base import Serving
from edge.classifiers.opening import open_classifier
from edge.core.errors import BrokerError, ConfigError, SourceError, StreamError
from edge.core.loops import Loop
from edge.core.samples import Block
from edge.monitor.runtime import Runtime
from edge.mqtt.client import BrokerConfig
from edge.publish.sink import AlertSink, new_home_assistant, new_publisher, rhythms
from edge.service.config import ServiceConfig
from edge.service.health.probe import HealthProbe, SourcesState
from edge.service.health.watchdog import Watchdog
from edge.service.report import ServiceReport
from edge.service.swap.history import History
from edge.service.swap.store import store_of
from edge.service.swap.swapper import Swapper
from edge.service.systemd import Notifier
from edge.sources.base import Source
from edge.sources.config import MqttConfig, SourceConfig, SyntheticConfig, WfdbConfig
from edge.sources.opening import open_source
from edge.sources.pace import Pace

_LOG = logging.getLogger(__name__)
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # waits before a source that failed is opened again; the last one repeats
_POLL_S = 0.5
_SMALL_BATCH = 4  # on a CPU a window costs the same in any batch; a small one answers sooner, in less memory
_TELL_EVERY_S = 1.0  # a stream that cannot be used is logged this often at most


def _with_broker(source: SourceConfig, broker: BrokerConfig) -> SourceConfig:
    """Return the source with the service's broker where it names none of its own; a broker has one client of a name."""
    if isinstance(source, MqttConfig) and source.broker is None:
        return msgspec.structs.replace(source, broker=msgspec.structs.replace(broker, client_id=""))
    return source


class Service:
    """Runs until `stop`, or until every source has ended.

    Parameters
    ----------
    config : of the service
    bundle : what classifies
    """

    def __init__(self, config: ServiceConfig, bundle: Bundle) -> None:
        self._config = config
        self._bundle = bundle
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Source] = set()
        # stream -> the number of the source that feeds it; the names in the configuration are taken from the start
        self._owners = {
            source.stream_id: number
            for number, source in enumerate(config.source)
            if not isinstance(source, MqttConfig)
        }
        self._failure: BaseException | None = None
        self._refused_blocks = 0
        self._source_events: Counter[str] = Counter()  # of sources that were closed
        self._told_s = float("-inf")
        self._publisher = new_publisher(config.broker, config.device.id, bundle, config.publish)
        specs = alarm_specs(bundle.manifest.labels, config.alarm)
        self._home = new_home_assistant(config.publish, config.device.id, specs, self._publisher)
        sink = AlertSink(self._publisher, predictions=config.publish.predictions, then=self._home)
        self.runtime = Runtime(
            bundle.manifest,
            lambda: open_classifier(bundle, config.classifier, self._set_classifier),
            specs,
            sink,
            sha256=bundle.sha256,
            max_batch=_SMALL_BATCH if config.classifier.backend == "onnxruntime" else config.classifier.max_batch,
            session=uuid.uuid4().hex[:8],
            shed=True,
        )
        self._publisher.on_command(self.runtime.command)
        self.health = HealthProbe(self.runtime, self._publisher, bundle.ref, self._sources_state)
        self._next_health_s = 0.0
        self.swapper = self._new_swapper()

    def stop(self) -> None:
        """Make `run` return soon; may be called from any thread, or from a signal handler."""
        self._stopping.set()

    def report(self) -> ServiceReport:
        """Return the account of all streams so far."""
        with self._lock:
            counters = dict(self._source_events)
        return ServiceReport.of(self.runtime, self._bundle, refused_blocks=self._refused_blocks, counters=counters)

    def run(self) -> None:
        """Run the sources, each in a thread of its own.

        Raises
        ------
        EdgeError
            When a source's configuration cannot be meant, or when the classifier cannot be opened or fails.
        Exception
            What else ended a source's thread; a service that no longer listens must not seem to.
        """
        configs = [_with_broker(source, self._config.broker) for source in self._config.source]
        sources = [open_source(config) for config in configs]
        with ExitStack() as stack:
            if self.swapper is not None:
                stack.enter_context(self.swapper)
            self._publisher.start()
            stack.callback(self._publisher.close)
            if self._home is not None:
                stack.enter_context(self._home)
            stack.callback(self._log_account)
            stack.callback(self._fall_back)
            stack.enter_context(self.runtime)
            self._serve_metrics(stack)
            threads = [
                threading.Thread(target=self._feed, args=(number, config, source), name=f"source-{number}", daemon=True)
                for number, (config, source) in enumerate(zip(configs, sources, strict=True))
            ]
            for thread in threads:
                thread.start()
            _LOG.info("%d sources, bundle %s", len(threads), self._bundle.manifest.name)
            notifier = stack.enter_context(Notifier())
            watchdog = Watchdog(
                notifier, loops=self._loops, oldest_s=lambda: self.runtime.backlog.oldest_s, state=self._state
            )
            notifier.ready()
            self._watch(threads, watchdog, notifier)
            notifier.stopping()
            self._stopping.set()
            with self._lock:
                for source in self._open:
                    source.stop()
            for thread in threads:
                thread.join()
            if self._failure is not None:
                raise self._failure

    def _watch(self, threads: Sequence[threading.Thread], watchdog: Watchdog, notifier: Notifier) -> None:
        """Return when the service is to stop, or has nothing left to do."""
        while self.runtime.alive and any(thread.is_alive() for thread in threads):
            watchdog.check()
            if self._stopping.wait(_POLL_S):
                return
            self._publish_health()
            if self.swapper is not None:
                self.swapper.poll(notifier)

    def _new_swapper(self) -> Swapper | None:
        store = store_of(self._config)
        if store is None:
            return None
        return Swapper(
            self._config,
            self._bundle,
            store,
            History(store.state / "history"),
            self.runtime,
            self._switch_model,
            self._publisher.publish_swap,
            self._set_classifier,
        )

    def _fall_back(self) -> None:
        if self.swapper is not None and self.runtime.failure is not None:
            self.swapper.fall_back(self.runtime.failure)

    def _loops(self) -> list[Loop]:
        """Return every loop that must turn."""
        with self._lock:
            sources = list(self._open)
        return [self.runtime.loop, *self._publisher.loops, *(loop for source in sources for loop in source.loops)]

    def _state(self) -> str:
        """Return one line for `systemctl status`."""
        streams = self.runtime.streams
        waiting = self._publisher.health.queued
        broker = self._publisher.trouble or f"{self._config.broker.address}: connected"
        return f"streams: {streams}; broker {broker}" + (f"; {waiting} messages wait" if waiting else "")

    def _feed(self, number: int, config: SourceConfig, source: Source) -> None:
        """Feed from one source until it ends; nothing that fails here goes unseen."""
        try:
            self._read_again_and_again(number, config, source)
        except BaseException as exc:  # noqa: BLE001  kept, and raised by `run`
            self._failure = exc
            self._stopping.set()

    def _read_again_and_again(self, number: int, config: SourceConfig, first: Source) -> None:
        """Read one source until it ends; open it again, a little later each time, when it fails."""
        failures, source = 0, first
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                if failures:
                    source = open_source(config)
                self._read(number, config, source)
            except (SourceError, BrokerError) as exc:
                if time.monotonic() - began_s > _RETRY_S[-1]:
                    failures = 0
                wait_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                failures += 1
                _LOG.warning("%s; trying again in %g s", exc, wait_s)
                self._stopping.wait(wait_s)
            else:
                return

    def _read(self, number: int, config: SourceConfig, source: Source) -> None:
        pace = Pace(config.speed if isinstance(config, WfdbConfig | SyntheticConfig) else math.inf, self._stopping)
        with self._lock:
            self._open.add(source)
        try:
            source.loop.name = f"source {number + 1}"
            source.loop.turn()
            with source:
                for block in () if self._stopping.is_set() else source.blocks():
                    source.loop.rest()
                    pace.wait(block.end_sample / block.sample_rate_hz)
                    source.loop.turn()
                    try:
                        self._claim(number, block)
                        self.runtime.push(block)
                        if self.swapper is not None:
                            self.swapper.history.put(block)
                    except StreamError as exc:
                        self._refuse(exc)
        finally:
            with self._lock:
                self._open.discard(source)
                self._source_events.update(source.counters)

    def _claim(self, number: int, block: Block) -> None:
        """Raise StreamError when another source feeds the block's stream: mixed, both would be garbage."""
        with self._lock:
            owner = self._owners.setdefault(block.stream, number)
            if owner == number and block.last and isinstance(self._config.source[number], MqttConfig):
                del self._owners[block.stream]
        if owner != number:
            raise StreamError(f"stream {block.stream} comes from another source; give each stream an id of its own")

    def _refuse(self, why: StreamError) -> None:
        with self._lock:
            self._refused_blocks += 1
            tell = time.monotonic() - self._told_s > _TELL_EVERY_S
            if tell:
                self._told_s = time.monotonic()
        if tell:
            _LOG.warning("block refused (%d so far): %s", self._refused_blocks, why)

    def _set_classifier(self, serving: Serving) -> None:
        self.health.set_classifier(serving)
        self._publisher.set_classifier(str(serving))

    def _switch_model(self, bundle: Bundle) -> None:
        """Name another bundle from now on; called in the classifier's thread."""
        self._bundle = bundle
        self._publisher.set_bundle(bundle.ref)
        self.health.set_bundle(bundle.ref)
        if self._home is not None:
            specs = alarm_specs(bundle.manifest.labels, self._config.alarm)
            self._home.switch_model(specs, rhythms(self._config.publish, specs))

    def _sources_state(self) -> SourcesState:
        with self._lock:
            events, sources = self._source_events.copy(), tuple(self._open)
        rates: dict[str, float] = {}
        for source in sources:
            events.update(source.counters)
            rates.update(source.true_rates_hz)
        unkept = 0 if self.swapper is None else self.swapper.history.lost
        return SourcesState(events, rates, self._refused_blocks, unkept)

    def _serve_metrics(self, stack: ExitStack) -> None:
        """Offer the metrics where they are wanted; that a port is taken must not keep the monitor from its work."""
        health = self._config.health
        if health.metrics_port:
            from edge.service.health.metrics import MetricsServer

            try:
                stack.enter_context(MetricsServer(self.health.read, health.metrics_host, health.metrics_port))
            except ConfigError as exc:
                _LOG.error("%s; going on without", exc)

    def _publish_health(self) -> None:
        now_s, interval_s = time.monotonic(), self._config.health.interval_s
        if interval_s and now_s >= self._next_health_s:
            self._next_health_s = now_s + interval_s
            self._publisher.publish_health(self.health.read())

    def _log_account(self) -> None:
        totals = self.runtime.totals()
        _LOG.info(
            "stopped: %s; windows %d, shed %d; blocks refused %d; messages %s",
            totals.equation(),
            totals.windows,
            totals.shed_windows,
            self._refused_blocks,
            self._publisher.health,
        )
