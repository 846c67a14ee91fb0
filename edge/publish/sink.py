"""Puts together what brings the word of the runtime to the broker: publisher, outbox, alert log, Home Assistant."""

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

_PLAIN = PublishConfig()


class AlertSink:
    """Hands alarm events, and predictions where wanted, to the publisher, which never blocks."""

    def __init__(self, publisher: Publisher, *, predictions: bool = False, then: Sink | None = None) -> None:
        self._publisher = publisher
        self._then = then
        self._predictions = predictions

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


def new_publisher(broker: BrokerConfig, device: str, bundle: Bundle, config: PublishConfig = _PLAIN) -> Publisher:
    """Return a publisher for a device and its bundle, not yet started; ConfigError where a file's folder is missing."""
    outbox = (
        None
        if config.outbox is None
        else Outbox(Path(config.outbox), config.outbox_messages, max_bytes=config.outbox_mb << 20)
    )
    alert_log = None if config.alert_log is None else AlertLog(Path(config.alert_log), config.alert_log_mb << 20)
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


def new_home(
    config: PublishConfig, device: str, specs: Sequence[AlarmSpec], publisher: Publisher
) -> HomeAssistant | None:
    """Return what tells Home Assistant, where the configuration asks for it."""
    home = config.home_assistant
    if home is None:
        return None
    return HomeAssistant(
        publisher.retain,
        device,
        __version__,
        specs=specs,
        rhythms=rhythms(config, specs),
        prefix=home.prefix,
        remove_at_end=home.remove_at_end,
    )


def rhythms(config: PublishConfig, specs: Sequence[AlarmSpec]) -> list[str] | None:
    """Return the rhythms that Home Assistant is told of; None where predictions are not published."""
    return [spec.label for spec in specs if spec.label in RHYTHMS] if config.predictions else None
