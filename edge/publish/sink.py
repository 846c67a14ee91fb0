"""Builds the publisher and the Home Assistant announcer from the configuration, and feeds them stream updates."""

from collections.abc import Sequence
from pathlib import Path

from edge import __version__
from edge.alarms.machine import AlarmSpec
from edge.bundle.manifest import Bundle
from edge.monitor.update import Sink, StreamUpdate
from edge.mqtt.client import BrokerConfig
from edge.publish.alert_log import AlertLog
from edge.publish.config import PublishConfig
from edge.publish.home_assistant import RHYTHMS, HomeAssistant
from edge.publish.outbox import Outbox
from edge.publish.publisher import Publisher

_DEFAULTS = PublishConfig()


class AlertSink:
    """Publishes the alarm events of each update, and its predictions where they are switched on.

    Parameters
    ----------
    publisher : never makes its caller wait
    predictions : whether to publish them
    then : the next sink, called with the same update
    """

    def __init__(self, publisher: Publisher, *, predictions: bool = False, then: Sink | None = None) -> None:
        self._publisher = publisher
        self._predictions = predictions
        self._then = then

    def __call__(self, update: StreamUpdate) -> None:
        """Publish one update."""
        monitor, decision = update.monitor, update.decision
        model = monitor.model
        for event in update.events:
            self._publisher.publish_event(
                event,
                sample_rate_hz=monitor.sample_rate_hz,
                latency_ms=round(1e3 * update.latency_s, 3),
                bundle=model.ref,
            )
        if self._predictions and decision is not None:
            labels = tuple(label.abbreviation for label in model.manifest.labels)
            self._publisher.publish_prediction(decision, epoch=monitor.epoch, labels=labels)
        if self._then is not None:
            self._then(update)


def new_publisher(broker: BrokerConfig, device: str, bundle: Bundle, config: PublishConfig = _DEFAULTS) -> Publisher:
    """Return a publisher that is not started yet; ConfigError where the folder of a file is missing."""
    outbox = alert_log = None
    if config.outbox is not None:
        outbox = Outbox(Path(config.outbox), config.outbox_messages, max_bytes=config.outbox_mb << 20)
    if config.alert_log is not None:
        alert_log = AlertLog(Path(config.alert_log), config.alert_log_mb << 20)
    return Publisher(
        broker,
        device,
        version=__version__,
        bundle=bundle.ref,
        capacity=config.queue_messages,
        outbox=outbox,
        alert_log=alert_log,
        evidence=config.evidence,
    )


def new_home_assistant(
    config: PublishConfig, device: str, specs: Sequence[AlarmSpec], publisher: Publisher
) -> HomeAssistant | None:
    """Return the announcer, or None where the configuration does not ask for one."""
    options = config.home_assistant
    if options is None:
        return None
    return HomeAssistant(
        publisher.retain,
        device,
        __version__,
        specs=specs,
        rhythms=rhythms(config, specs),
        prefix=options.prefix,
        remove_at_end=options.remove_at_end,
    )


def rhythms(config: PublishConfig, specs: Sequence[AlarmSpec]) -> list[str] | None:
    """Return the rhythms to announce to Home Assistant; None where predictions are not published."""
    return [spec.label for spec in specs if spec.label in RHYTHMS] if config.predictions else None
