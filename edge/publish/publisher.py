"""Publishes alerts, alarm states, predictions and the device's status; never makes its caller wait for the network.

    caller ──► outgoing: outbox, bounded queue, states ──► sender thread ──► paho's thread ──► broker

All goes with QoS 1. The status is retained, is the last will too, and is sent again on every connect, as are the states
of alarms that are on. States that an earlier run of the same device left behind are removed. With an outbox, alerts
wait on disk until the broker has acknowledged them; without one, what stays in the queue when the program ends is
counted and lost. Alerts are told in order: after a lost connection nothing new goes out before all that was in flight
is acknowledged. An alert that waited longer than `LATE_S`, or that an earlier run made, is flagged `historical`; the
few that were in flight when a connection broke are repeated as they were.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent
from edge.bundle.manifest import BundleRef
from edge.core.errors import BrokerError, FrameError
from edge.core.loops import Loop
from edge.mqtt import topics
from edge.mqtt.client import IN_FLIGHT, BrokerClient, BrokerConfig, new_client, open_connection
from edge.publish.alert_log import AlertLog
from edge.publish.cloud_events import CLOUD_EVENTS, alert_event, as_historical, device_event
from edge.publish.commands import Commands, OnCommand
from edge.publish.in_flight import InFlight
from edge.publish.outbox import Outbox
from edge.publish.outgoing import Outgoing
from edge.publish.payloads import DeviceStatus, Payload, alarm_state, encode, prediction
from edge.publish.queue import RANKS, Message
from edge.publish.swap_outcome import Final

_LOG = logging.getLogger(__name__)
_LOOP_LIMIT_S = 30.0  # how long handing one message to paho may take
LATE_S = 30.0  # an alert that goes out later than this is of the past


class Counts(msgspec.Struct, frozen=True):
    """What became of the messages so far."""

    queued: int  # alerts and predictions that wait, here or in the outbox
    outbox: int | None  # of those, alerts in the outbox; None: there is none
    sent: int  # acknowledged by the broker, status and states included
    connects: int
    failures: int  # connections that failed or were refused
    commands: dict[str, int]  # by what became of them: taken, refused, bad
    dropped: dict[str, int]  # by cause: queue_full, refused, closed, damaged; of the outbox: evicted, disk
    unlogged: int  # alerts that the alert log could not keep


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Publisher:
    """The device's side of MQTT. Call `start` or `connect` once, and `close` at the end; any thread may publish.

    Parameters
    ----------
    config : the broker
    device : opaque id of this device, unique on the broker
    version : of this program
    bundle : the model whose alerts these are, unless they say another
    capacity : messages that wait at most while the broker is away
    outbox : where alerts wait; without one they wait in memory, with the predictions
    alert_log : keeps the last alerts on this device
    evidence : whether alerts carry the window that decided
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
        self._config = config
        self._device = device
        self._bundle = bundle
        self._now = now
        self._clock_s = clock_s
        self._outbox = outbox
        self._alert_log = alert_log
        self._evidence = evidence
        status = DeviceStatus(state="online", version=version, bundle=bundle, since=now())
        self._commands = Commands()
        self._wake = threading.Condition()  # guards all below; never held while paho is called
        self._outgoing = Outgoing(device, status, capacity, outbox)
        self._connected = self._stopped = False
        self._flight = InFlight(IN_FLIGHT)
        self._sent = self._connects = self._failures = 0
        self._loop = Loop("publisher", _LOOP_LIMIT_S)
        self._client = self._new_client()
        self._sender = threading.Thread(target=self._send, name="mqtt-sender", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and is there."""
        with self._wake:
            return self._connected

    @property
    def trouble(self) -> str:
        """Why the broker is not there, in one line; empty while it is."""
        return "" if self.connected else self._client.trouble or f"{self._config.address}: connecting"

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops that bring messages to the broker."""
        return (self._loop, self._client.network, *(() if self._outbox is None else (self._outbox.loop,)))

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        outbox, alert_log = self._outbox, self._alert_log
        stored, lost = (None, {}) if outbox is None else (len(outbox), outbox.lost)
        with self._wake:
            return Counts(
                queued=self._outgoing.queued + (stored or 0),
                outbox=stored,
                sent=self._sent,
                connects=self._connects,
                failures=self._failures,
                commands=self._commands.counts,
                dropped=dict(self._outgoing.dropped + Counter(lost)),
                unlogged=0 if alert_log is None else alert_log.lost,
            )

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost; needs no broker to be there yet."""
        self._client.connect_async(self._config.host, self._config.port, self._config.keepalive_s)
        self._client.loop_start()
        self._start_sending()

    def connect(self, timeout_s: float = 10.0) -> None:
        """Connect now; later losses are mended in the background.

        Raises
        ------
        BrokerError
            When the broker cannot be reached or refuses.
        """
        open_connection(self._client, self._config)
        self._start_sending()
        with self._wake:
            answered = self._wake.wait_for(lambda: self._connected or self._client.trouble, timeout_s)
            error = self._client.trouble if answered else f"{self._config.address}: no answer within {timeout_s:g} s"
            if self._connected:
                return
        self.close(0.0)
        raise BrokerError(error)

    def on_command(self, on_command: OnCommand) -> None:
        """Let commands reach `on_command(stream, command)`, which says whether it could be passed on; before `start`.

        It is called in paho's thread, and must return at once.
        """
        self._commands.on_command(on_command)

    def publish_event(
        self,
        event: AlarmEvent,
        *,
        sample_rate_hz: float,
        latency_ms: float | None = None,
        bundle: BundleRef | None = None,
    ) -> None:
        """Queue the alert of an event and bring the alarm's retained state up to date."""
        time, changes = self._now(), event.what in {"raised", "acknowledged", "cleared"}
        alert = alert_event(
            event,
            device=self._device,
            sample_rate_hz=sample_rate_hz,
            bundle=bundle or self._bundle,
            time=time,
            latency_ms=latency_ms,
            evidence=self._evidence,
        )
        payload, alerts_topic = encode(alert), topics.alerts_topic(self._device, event.stream)
        if self._alert_log is not None:
            self._alert_log.put(alerts_topic, payload)
        state = alarm_state(event, time=time)
        topic = topics.alarm_topic(self._device, event.stream, event.spec.label)
        with self._wake:
            self._outgoing.put_alert(alerts_topic, payload, RANKS[event.spec.priority], self._clock_s())
            if changes:
                self._outgoing.retain(topic, b"" if state is None else encode(state))
            self._wake.notify_all()

    def publish_prediction(self, decision: Decision, *, epoch: str, labels: tuple[str, ...]) -> None:
        """Queue the probabilities of one window; the first to be given up when the queue is full."""
        payload = encode(prediction(decision, epoch=epoch, labels=labels))
        with self._wake:
            self._outgoing.put_prediction(topics.predictions_topic(self._device, decision.stream), payload)
            self._wake.notify_all()

    def publish_health(self, health: Payload) -> None:
        """Let the broker keep how the service does; one that was not sent yet is replaced."""
        payload = encode(health)
        with self._wake:
            self._outgoing.put_health(payload)
            self._wake.notify_all()

    def retain(self, topic: str, payload: bytes) -> None:
        """Let the broker keep a message, now and after every connect; an empty one removes it."""
        with self._wake:
            self._outgoing.retain(topic, payload)
            self._wake.notify_all()

    def set_classifier(self, what: str) -> None:
        """Say in the status which back end classifies."""
        with self._wake:
            self._outgoing.set_status(classifier=what)
            self._wake.notify_all()

    def set_bundle(self, bundle: BundleRef) -> None:
        """Say in the status, and in the last will from the next connection on, that another bundle serves."""
        with self._wake:
            self._bundle = bundle
            self._outgoing.set_status(bundle=bundle)
            self._set_will(self._client)
            self._wake.notify_all()

    def publish_swap(self, outcome: Final, bundle: str, why: str) -> None:
        """Queue what came of a bundle that was to take over, and say so in the status."""
        event = device_event(outcome, bundle, why, device=self._device, time=self._now())
        payload, topic = encode(event), topics.events_topic(self._device)
        said = ": ".join(filter(None, (f"{outcome.replace('_', ' ')} {bundle}".strip(), why)))
        with self._wake:
            self._outgoing.put_alert(topic, payload, RANKS["medium"], self._clock_s())
            self._outgoing.set_status(swap=said)
            self._wake.notify_all()

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits while the broker is there, say offline, and disconnect."""
        with self._wake:
            if self._stopped:
                return
            self._outgoing.close()
            self._wake.wait_for(lambda: not self._connected or self._idle, timeout_s)
            self._outgoing.set_status(state="offline", since=self._now())
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._connected or self._idle, min(timeout_s, 1.0))
            self._stopped = True
            self._outgoing.give_up()
            self._wake.notify_all()
        if self._sender.ident is not None:
            self._sender.join()
        self._client.disconnect()
        self._client.loop_stop()
        if self._outbox is not None:
            self._outbox.close()
        if self._alert_log is not None:
            self._alert_log.close()

    def _start_sending(self) -> None:
        self._sender.start()
        if self._outbox is not None:
            self._outbox.start(self._stir)

    def _stir(self) -> None:
        with self._wake:
            self._wake.notify_all()

    @property
    def _idle(self) -> bool:
        return self._outgoing.idle and not self._flight

    @property
    def _ready(self) -> bool:
        return self._connected and self._flight.open and self._outgoing.ready

    def _send(self) -> None:
        while True:
            self._loop.rest()
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._ready)
                if self._stopped:
                    return
                self._loop.turn()
                message = self._outgoing.take()
                self._flight.leave()
            self._publish(message)

    def _publish(self, message: Message) -> None:
        payload = message.payload
        if message.content_type == CLOUD_EVENTS and (message.earlier or self._clock_s() - message.put_s > LATE_S):
            try:
                payload = as_historical(payload)
            except FrameError as exc:
                self._give_up(message, exc)
                return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ContentType = message.content_type
        sent = self._client.publish(message.topic, payload, qos=1, retain=message.retain, properties=properties)
        with self._wake:
            self._outgoing.done(self._flight.name(sent.mid, message))

    def _give_up(self, message: Message, why: FrameError) -> None:
        _LOG.error("an alert of the outbox is damaged: %s", why)
        with self._wake:
            self._flight.drop()
            self._outgoing.dropped["damaged"] += 1
            self._outgoing.done(message)
            self._wake.notify_all()

    def _new_client(self) -> BrokerClient:
        client = new_client(self._config)
        self._set_will(client)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _set_will(self, client: Client) -> None:
        will = msgspec.structs.replace(self._outgoing.status, state="offline", since=None, swap=None)
        client.will_set(topics.status_topic(self._device), encode(will), qos=1, retain=True)

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._wake:
            if not self._client.accepted(code):
                self._failures += 1
                self._log_trouble()
            else:
                self._connects += 1
                self._connected = True
                self._outgoing.resend_all()
                _LOG.info("%s: connected", self._config.address)
            self._wake.notify_all()
        if not code.is_failure:
            wanted = [*topics.alarms_filters(self._device)]
            if self._commands.wanted:
                wanted.append(topics.commands_filter(self._device))
            client.subscribe([(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in wanted])

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        with self._wake:
            self._failures += 1
            self._log_trouble()
            self._wake.notify_all()

    def _log_trouble(self) -> None:
        """Log why there is no broker, once for each reason: it is tried again for as long as it takes."""
        news = self._client.news()
        if news:
            _LOG.warning("%s; alerts wait here meanwhile, and it is tried again", news)

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._wake:
            self._connected = False
            self._failures += self._client.lost(code)
            self._log_trouble()
            self._flight.lose_connection()
            self._wake.notify_all()

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._wake:
            self._outgoing.done(self._flight.land(mid))
            if code.is_failure:
                self._outgoing.dropped["refused"] += 1
                _LOG.error("%s: the broker refused a message: %s", self._config.address, code)
            else:
                self._sent += 1
            self._wake.notify_all()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        where = topics.parse_topic(message.topic)
        if where is not None and where.kind == "command":
            self._commands.take(where.stream, message)
            return
        if not message.retain or not message.payload:
            return
        with self._wake:
            if self._outgoing.clear_stale(message.topic):
                self._wake.notify_all()
