"""The service: starts and connects all parts, watches them, and stops them in order.

source threads ──► runtime (windows, classifier, alarms) ──► publisher ──► broker
"""

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from edge.alarms.machine import AlarmSpec
from edge.alarms.specs import bundle_specs
from edge.beats.networks import beat_networks
from edge.bundle.manifest import Bundle
from edge.classifiers.base import ActiveBackend
from edge.classifiers.opening import open_classifier
from edge.core.errors import ConfigError
from edge.core.loops import Loop
from edge.core.samples import Block
from edge.monitor.runtime import MonitorRuntime
from edge.mqtt.client import BrokerConfig
from edge.publish.sink import AlertSink, new_home_assistant, new_publisher, rhythms
from edge.service.config import ServiceConfig
from edge.service.health.probe import HealthProbe
from edge.service.health.watchdog import Watchdog
from edge.service.report import ServiceReport
from edge.service.source_threads import SourceThreads
from edge.service.swap.store import store_of
from edge.service.swap.stored_hour import StoredHour
from edge.service.swap.swapper import SwapHooks, Swapper
from edge.service.systemd import Notifier
from edge.sources.config import MqttConfig, SourceConfig

_LOG = logging.getLogger(__name__)
_POLL_S = 0.5  # how often the watchdog and the swapper are called
_CPU_BATCH = 4  # on a CPU a window costs the same in any batch; a small batch answers sooner and needs less memory


class Service:
    """Runs until `stop`, or until every source has ended.

    Parameters
    ----------
    config : of the service
    bundle : that classifies
    """

    def __init__(self, config: ServiceConfig, bundle: Bundle) -> None:
        self._config = config
        self._bundle = bundle
        self._stopping = threading.Event()
        self._publisher = new_publisher(config.broker, config.device.id, bundle, config.publish)
        specs = bundle_specs(bundle.manifest, config.alarm)
        self._home_assistant = new_home_assistant(config.publish, config.device.id, specs, self._publisher)
        self.runtime = self._new_runtime(specs)
        self._publisher.on_command(self.runtime.command)
        self.swapper = self._new_swapper()
        # Last of the parts that blocks go through, so that a block finds all of them.
        sources = [_with_broker(source, config.broker) for source in config.source]
        self.sources = SourceThreads(sources, self._push, self._stopping)
        self.health = HealthProbe(
            self.runtime,
            self._publisher,
            bundle.ref,
            lambda: self.sources.state,
            lambda: 0 if self.swapper is None else self.swapper.stored_hour.lost,
        )
        self._next_health_s = 0.0

    def stop(self) -> None:
        """Make `run` return soon; may be called from any thread, or from a signal handler."""
        self._stopping.set()

    def report(self) -> ServiceReport:
        """Return the account of all streams so far."""
        state = self.sources.state
        return ServiceReport.of(
            self.runtime, self._bundle, refused_blocks=state.blocks_refused, counters=dict(state.events)
        )

    def run(self) -> None:
        """Run the service.

        Raises
        ------
        EdgeError
            When a source's configuration is wrong, or when the classifier cannot be opened or fails.
        Exception
            Whatever else ended a source's thread.
        """
        self.sources.open()  # before anything is announced, so that a wrong configuration ends the service at once
        import scipy.signal  # noqa: F401  slow to import, so now and not while the first samples wait

        with ExitStack() as stack:
            self._start_parts(stack)
            self.sources.start()
            _LOG.info("%d sources, bundle %s", len(self._config.source), self._bundle.manifest.name)
            notifier = stack.enter_context(Notifier())
            notifier.ready()
            self._watch(notifier)
            notifier.stopping()
            self.sources.close()
            if self.sources.failure is not None:
                raise self.sources.failure

    def _start_parts(self, stack: ExitStack) -> None:
        """Start everything but the sources; at the end `stack` stops the parts in reverse order."""
        if self.swapper is not None:
            stack.enter_context(self.swapper)
        self._publisher.start()
        stack.callback(self._publisher.close)
        if self._home_assistant is not None:
            stack.enter_context(self._home_assistant)
        # Both run after the runtime has classified what was left, and before the publisher has closed.
        stack.callback(self._log_account)
        stack.callback(self._fall_back)
        stack.enter_context(self.runtime)
        self._serve_metrics(stack)

    def _watch(self, notifier: Notifier) -> None:
        """Return when the service should stop, or has nothing left to do."""
        watchdog = Watchdog(
            notifier, loops=self._loops, oldest_s=lambda: self.runtime.backlog.oldest_s, status_line=self._status_line
        )
        while self.runtime.alive and self.sources.alive:
            watchdog.check()
            if self._stopping.wait(_POLL_S):
                return
            self._publish_health()
            if self.swapper is not None:
                self.swapper.poll(notifier)

    def _push(self, block: Block) -> None:
        """Pass a block on; called in the threads of the sources. StreamError when it contradicts its stream."""
        self.runtime.push(block)
        if self.swapper is not None:
            self.swapper.stored_hour.put(block)

    def _new_runtime(self, specs: Sequence[AlarmSpec]) -> MonitorRuntime:
        config, bundle = self._config, self._bundle
        return MonitorRuntime(
            bundle.manifest,
            lambda: open_classifier(bundle, config.classifier, self._set_classifier),
            specs,
            AlertSink(self._publisher, predictions=config.publish.predictions, then=self._home_assistant),
            sha256=bundle.sha256,
            open_beats=beat_networks(bundle),
            max_batch=_CPU_BATCH if config.classifier.backend == "onnxruntime" else config.classifier.max_batch,
            session=uuid.uuid4().hex[:8],  # another one at each start, so that the ids of alarms are new
            shed=True,  # live sources do not wait
        )

    def _new_swapper(self) -> Swapper | None:
        store = store_of(self._config)
        if store is None:
            return None
        return Swapper(
            self._config,
            self._bundle,
            store,
            StoredHour(store.state / "history"),
            self.runtime,
            SwapHooks(self._switch_model, self._publisher.publish_swap, self._set_classifier),
        )

    def _fall_back(self) -> None:
        if self.swapper is not None and self.runtime.failure is not None:
            self.swapper.fall_back(self.runtime.failure)

    def _loops(self) -> list[Loop]:
        """Return every loop that the watchdog watches."""
        return [self.runtime.loop, *self._publisher.loops, *self.sources.loops]

    def _status_line(self) -> str:
        """Return one line for `systemctl status`."""
        waiting = self._publisher.health.queued
        broker = self._publisher.trouble or f"{self._config.broker.address}: connected"
        return f"streams: {self.runtime.streams}; broker {broker}" + (f"; {waiting} messages wait" if waiting else "")

    def _set_classifier(self, serving: ActiveBackend) -> None:
        """Report which back end runs the graph; called in the classifier's thread."""
        self.health.set_classifier(serving)
        self._publisher.set_classifier(str(serving))

    def _switch_model(self, bundle: Bundle) -> None:
        """Report another bundle from now on; called in the classifier's thread."""
        self._bundle = bundle
        self._publisher.set_bundle(bundle.ref)
        self.health.set_bundle(bundle.ref)
        if self._home_assistant is not None:
            specs = bundle_specs(bundle.manifest, self._config.alarm)
            self._home_assistant.switch_model(specs, rhythms(self._config.publish, specs))

    def _serve_metrics(self, stack: ExitStack) -> None:
        """Serve the metrics if they are configured. A port that is taken must not keep the monitor from its work."""
        health = self._config.health
        if health.metrics_port:
            from edge.service.health.metrics import MetricsServer

            try:
                stack.enter_context(MetricsServer(self.health.read, health.metrics_host, health.metrics_port))
            except ConfigError as exc:
                _LOG.error("%s; continuing without metrics", exc)

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
            self.sources.state.blocks_refused,
            self._publisher.health,
        )


def _with_broker(source: SourceConfig, broker: BrokerConfig) -> SourceConfig:
    """Return the source with the service's broker where it names none of its own."""
    if isinstance(source, MqttConfig) and source.broker is None:
        # Without the client id: the publisher uses it, and a broker disconnects the older of two clients with one id.
        return msgspec.structs.replace(source, broker=msgspec.structs.replace(broker, client_id=""))
    return source
