"""Publishes alerts, alarm states, predictions, health and the device's status. No method waits for the network.

    caller ──► Publisher: payload and topic ──► Outgoing: outbox, bounded queue, states ──► Connection ──► broker

The status is retained and is the last will too. With an outbox, alerts wait on disk until the broker has acknowledged
them. Without one, the alerts that still wait when the program ends are lost and counted. An alert that waited longer
than `LATE_S`, or that an earlier run made, is flagged `historical`; alerts that were in flight when a connection broke
are repeated as they were.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent
from edge.bundle.manifest import BundleRef
from edge.core.errors import BrokerError
from edge.core.loops import Loop
from edge.mqtt import topics
from edge.mqtt.client import BrokerConfig
from edge.publish.alert_log import AlertLog
from edge.publish.cloud_events import alert_event, device_event
from edge.publish.commands import CommandReceiver, OnCommand
from edge.publish.connection import Connection
from edge.publish.health import PublisherHealth
from edge.publish.outbox import Outbox
from edge.publish.outgoing import Outgoing
from edge.publish.payloads import DeviceStatus, Payload, alarm_state, encode, last_will, prediction
from edge.publish.queue import RANKS
from edge.publish.swap_outcome import SwapResult


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Publisher:
    """The device's side of MQTT. Call `start` or `connect` once, and `close` at the end; any thread may publish.

    Parameters
    ----------
    config : the broker
    device : opaque id of this device, unique on the broker
    version : of this program
    bundle : the bundle that decides, where an alert does not name another one
    capacity : messages that wait at most while the broker is away
    outbox : where alerts wait; without one they wait in memory, with the predictions
    alert_log : keeps the last alerts on this device
    evidence : whether alerts carry the deciding window
    now : gives aware wall time
    clock_s : gives monotonic time
    """

    def __init__(  # noqa: PLR0913  each by its name, and the last six have defaults
        self,
        config: BrokerConfig,
        device: str,
        *,
        version: str,
        bundle: BundleRef,
        capacity: int = 10_000,
        outbox: Outbox | None = None,
        alert_log: AlertLog | None = None,
        evidence: bool = True,
        now: Callable[[], datetime] = _now,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device = device
        self._bundle = bundle
        self._outbox = outbox
        self._alert_log = alert_log
        self._evidence = evidence
        self._now = now
        self._clock_s = clock_s
        self._closed = False
        self._commands = CommandReceiver()
        status = DeviceStatus(state="online", version=version, bundle=bundle, since=now())
        outgoing = Outgoing(device, status, capacity, outbox)
        self._connection = Connection(config, device, outgoing, self._commands, clock_s)
        self._connection.set_will(encode(last_will(status)))

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._connection.connected

    @property
    def trouble(self) -> str:
        """Why there is no connection, in one line; empty while there is one."""
        return self._connection.trouble

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops that bring messages to the broker."""
        return (*self._connection.loops, *(() if self._outbox is None else (self._outbox.loop,)))

    @property
    def health(self) -> PublisherHealth:
        """The connection, and what became of the messages so far."""
        stored = None if self._outbox is None else len(self._outbox)
        counts = self._connection.counts
        with self._connection.locked() as outgoing:
            queued, dropped = outgoing.queued, outgoing.dropped.copy()
        return PublisherHealth(
            connected=self._connection.connected,
            queued=queued + (stored or 0),
            outbox=stored,
            sent=counts.sent,
            connects=counts.connects,
            failures=counts.failures,
            commands=self._commands.counts,
            dropped=dict(dropped + Counter({} if self._outbox is None else self._outbox.lost)),
            unlogged=0 if self._alert_log is None else self._alert_log.lost,
        )

    def start(self) -> None:
        """Connect in the background, and again after every loss; the broker need not be there yet."""
        self._start_outbox()
        self._connection.start()

    def connect(self, timeout_s: float = 10.0) -> None:
        """Connect now; after later losses it connects again in the background.

        Raises
        ------
        BrokerError
            When the broker cannot be reached, refuses, or does not answer in time. The publisher is closed then.
        """
        self._start_outbox()
        try:
            self._connection.connect(timeout_s)
        except BrokerError:
            self.close(0.0)
            raise

    def on_command(self, handler: OnCommand) -> None:
        """Pass commands to `handler(stream, command)`, which returns whether it accepted; call this before `start`.

        The handler is called in paho's thread and must return at once.
        """
        self._commands.handler = handler

    def publish_event(
        self,
        event: AlarmEvent,
        *,
        sample_rate_hz: float,
        latency_ms: float | None = None,
        bundle: BundleRef | None = None,
    ) -> None:
        """Queue the alert of an event, and update the alarm's retained state."""
        now = self._now()
        alert = alert_event(
            event,
            device=self._device,
            sample_rate_hz=sample_rate_hz,
            bundle=bundle or self._bundle,
            time=now,
            latency_ms=latency_ms,
            evidence=self._evidence,
        )
        payload, topic = encode(alert), topics.alerts_topic(self._device, event.stream)
        # The log gets every alert, whatever becomes of it on the way to the broker.
        if self._alert_log is not None:
            self._alert_log.put(topic, payload)
        state_topic = topics.alarm_topic(self._device, event.stream, event.spec.label)
        state = alarm_state(event, time=now)
        # Under one lock, so that the sender never sees the new state without the alert that led to it.
        with self._connection.locked() as outgoing:
            outgoing.put_event(topic, payload, RANKS[event.spec.priority], self._clock_s())
            # Escalated and silenced do not change whether the alarm is on or acknowledged.
            if event.kind in {"raised", "acknowledged", "cleared"}:
                outgoing.retain(state_topic, b"" if state is None else encode(state))

    def publish_prediction(self, decision: Decision, *, epoch: str, labels: tuple[str, ...]) -> None:
        """Queue the probabilities of one window. Predictions are the first to be dropped when the queue is full."""
        payload = encode(prediction(decision, epoch=epoch, labels=labels))
        with self._connection.locked() as outgoing:
            outgoing.put_prediction(topics.predictions_topic(self._device, decision.stream), payload)

    def publish_health(self, health: Payload) -> None:
        """Publish the health, retained. It replaces an earlier one that was not sent yet."""
        payload = encode(health)
        with self._connection.locked() as outgoing:
            outgoing.put_health(payload)

    def publish_swap(self, result: SwapResult, bundle: str, why: str) -> None:
        """Queue the event for the result of a bundle swap, and name it in the status."""
        event = device_event(result, bundle, why, device=self._device, time=self._now())
        summary = ": ".join(filter(None, (f"{result.replace('_', ' ')} {bundle}".strip(), why)))
        with self._connection.locked() as outgoing:
            outgoing.put_event(topics.events_topic(self._device), encode(event), RANKS["medium"], self._clock_s())
            outgoing.set_status(swap=summary)

    def retain(self, topic: str, payload: bytes) -> None:
        """Publish a retained message, now and after every connect; an empty payload removes it."""
        with self._connection.locked() as outgoing:
            outgoing.retain(topic, payload)

    def set_classifier(self, description: str) -> None:
        """Publish in the status which back end classifies."""
        with self._connection.locked() as outgoing:
            outgoing.set_status(classifier=description)

    def set_bundle(self, bundle: BundleRef) -> None:
        """Publish in the status, and from the next connection on in the last will, that another bundle decides."""
        with self._connection.locked() as outgoing:
            self._bundle = bundle
            outgoing.set_status(bundle=bundle)
            will = last_will(outgoing.status)
        # MQTT cannot change the will of an open connection.
        self._connection.set_will(encode(will))

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits while there is a connection, publish that the device is offline, and disconnect."""
        if self._closed:
            return
        self._closed = True
        with self._connection.locked() as outgoing:
            outgoing.close()
        self._connection.wait_until_idle(timeout_s)
        # Last, for subscribers: after "offline" nothing more may come from this device.
        with self._connection.locked() as outgoing:
            outgoing.set_status(state="offline", since=self._now())
        self._connection.wait_until_idle(min(timeout_s, 1.0))
        self._connection.stop()
        if self._outbox is not None:
            self._outbox.close()  # after the connection, whose acknowledgements delete alerts from it
        if self._alert_log is not None:
            self._alert_log.close()

    def _start_outbox(self) -> None:
        if self._outbox is not None:
            self._outbox.start(self._connection.wake)
