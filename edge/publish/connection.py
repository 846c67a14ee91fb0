"""The connection to the broker: sends the waiting messages in order, and receives commands.

    Outgoing ──► sender thread ──► paho's thread ──► broker
                                   paho's thread ◄── broker: acknowledgements, commands, retained states

Every message has QoS 1. After a lost connection nothing new is sent before all that was in flight is acknowledged, so
alerts arrive in order. On every connect the status and the states of all alarms that are on are sent again, and states
that an earlier run of this device left on the broker are removed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.core.errors import BrokerError, FrameError
from edge.core.loops import Loop
from edge.mqtt import topics
from edge.mqtt.client import IN_FLIGHT, BrokerConfig, new_client, open_connection
from edge.publish.cloud_events import CLOUD_EVENTS, as_historical
from edge.publish.commands import CommandReceiver
from edge.publish.in_flight import InFlight
from edge.publish.outgoing import Outgoing
from edge.publish.queue import Message

_LOG = logging.getLogger(__name__)
_LOOP_LIMIT_S = 30.0  # how long handing one message to paho may take
LATE_S = 30.0  # an alert that is sent later than this is flagged `historical`


class ConnectionCounts(NamedTuple):
    """Totals since the start."""

    sent: int  # acknowledged by the broker
    connects: int
    failures: int  # connections that failed or were refused


class Connection:
    """Call `start` or `connect` once, and `stop` at the end.

    Parameters
    ----------
    config : the broker
    device : opaque id of this device, unique on the broker
    outgoing : the waiting messages; others reach them through `locked`
    commands : receives the commands to this device
    clock_s : gives monotonic time
    """

    def __init__(
        self,
        config: BrokerConfig,
        device: str,
        outgoing: Outgoing,
        commands: CommandReceiver,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._device = device
        self._commands = commands
        self._clock_s = clock_s
        self._client = new_client(config)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        # Guards what follows. It is never held while paho is called: paho holds locks of its own during callbacks.
        self._changed = threading.Condition()
        self._outgoing = outgoing
        self._in_flight = InFlight(IN_FLIGHT)
        self._connected = self._stopped = False
        self._sent = self._connects = self._failures = 0
        self._loop = Loop("publisher", _LOOP_LIMIT_S)
        # paho's `publish` may write to the socket, and so wait for the network. This thread waits, no caller does.
        self._sender = threading.Thread(target=self._send_forever, name="mqtt-sender", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it still stands."""
        with self._changed:
            return self._connected

    @property
    def trouble(self) -> str:
        """Why there is no connection, in one line; empty while there is one."""
        return "" if self.connected else self._client.trouble or f"{self._config.address}: connecting"

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return self._outgoing.idle and not self._in_flight

    @property
    def loops(self) -> tuple[Loop, Loop]:
        """The loops of the sender thread and of paho's thread."""
        return self._loop, self._client.network

    @property
    def counts(self) -> ConnectionCounts:
        """Totals since the start."""
        with self._changed:
            return ConnectionCounts(self._sent, self._connects, self._failures)

    @contextmanager
    def locked(self) -> Iterator[Outgoing]:
        """Give the waiting messages, locked; when the block ends, the sender looks for something to send."""
        with self._changed:
            yield self._outgoing
            self._changed.notify_all()

    def wake(self) -> None:
        """Let the sender look for something to send."""
        with self._changed:
            self._changed.notify_all()

    def set_will(self, payload: bytes) -> None:
        """Set the status that the broker publishes if this device vanishes; valid from the next connection on."""
        self._client.will_set(topics.status_topic(self._device), payload, qos=1, retain=True)

    def start(self) -> None:
        """Connect in the background, and again after every loss; the broker need not be there yet."""
        self._client.connect_async(self._config.host, self._config.port, self._config.keepalive_s)
        self._client.loop_start()
        self._sender.start()

    def connect(self, timeout_s: float) -> None:
        """Connect now; after later losses it connects again in the background.

        Raises
        ------
        BrokerError
            When the broker cannot be reached, refuses, or does not answer in time.
        """
        open_connection(self._client, self._config)
        self._sender.start()
        with self._changed:
            # The callbacks below set one of the two, in paho's thread.
            answered = self._changed.wait_for(lambda: self._connected or self._client.trouble, timeout_s)
            if not self._connected:
                no_answer = f"{self._config.address}: no answer within {timeout_s:g} s"
                raise BrokerError(self._client.trouble if answered else no_answer)

    def wait_until_idle(self, timeout_s: float) -> None:
        """Return when everything is sent, when there is no connection, or after a time."""
        with self._changed:
            # Without a connection nothing can be sent, so there is nothing to wait for.
            self._changed.wait_for(lambda: not self._connected or self.idle, timeout_s)

    def stop(self) -> None:
        """Disconnect, and end both threads; what still waits in memory is counted as dropped."""
        with self.locked() as outgoing:
            self._stopped = True
            outgoing.drop_all()
        if self._sender.ident is not None:  # it was started
            self._sender.join()  # before the client ends: the sender may be publishing
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def _ready(self) -> bool:
        return self._connected and self._in_flight.has_room and self._outgoing.ready

    def _send_forever(self) -> None:
        while True:
            self._loop.rest()  # waiting for a message or for the broker may take any time
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._ready)
                if self._stopped:
                    return
                self._loop.turn()
                message = self._outgoing.take()
                # Counted before paho gets it: its thread may report the acknowledgement at once.
                self._in_flight.add()
            self._send(message)

    def _send(self, message: Message) -> None:
        try:
            payload = self._payload(message)
        except FrameError as exc:
            _LOG.error("an alert of the outbox is damaged: %s", exc)
            # Without this the outbox would offer the same alert again at every start.
            with self.locked() as outgoing:
                self._in_flight.remove()
                outgoing.dropped["damaged"] += 1
                outgoing.done(message)
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ContentType = message.content_type
        sent = self._client.publish(message.topic, payload, qos=1, retain=message.retain, properties=properties)
        with self._changed:
            self._outgoing.done(self._in_flight.identify(sent.mid, message))

    def _payload(self, message: Message) -> bytes:
        """Return the payload, flagged `historical` if it is late; FrameError when it is damaged."""
        # Monotonic time means nothing across runs, so whatever an earlier run left behind counts as late.
        late = message.earlier or self._clock_s() - message.put_s > LATE_S
        return as_historical(message.payload) if late and message.content_type == CLOUD_EVENTS else message.payload

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if not self._client.note_answer(code):
            self._fail()
            return
        with self.locked() as outgoing:
            self._connects += 1
            self._connected = True
            outgoing.resend_all()
        _LOG.info("%s: connected", self._config.address)
        wanted = [*topics.alarms_filters(self._device)]  # to find the states that an earlier run left behind
        if self._commands.handler is not None:
            wanted.append(topics.commands_filter(self._device))
        # noLocal: otherwise the broker would send back every state that this device publishes.
        client.subscribe([(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in wanted])

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        self._fail()

    def _fail(self) -> None:
        with self._changed:
            self._failures += 1
            self._changed.notify_all()
        self._log_trouble()

    def _log_trouble(self) -> None:
        """Log why there is no connection, once per reason: paho tries again for as long as it takes."""
        trouble = self._client.new_trouble()
        if trouble:
            _LOG.warning("%s; alerts wait here meanwhile, and it is tried again", trouble)

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = False
            self._failures += self._client.note_disconnect(code)
            self._in_flight.lose_connection()  # paho keeps these messages, and repeats them once it is connected
            self._changed.notify_all()
        self._log_trouble()

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self.locked() as outgoing:
            outgoing.done(self._in_flight.acknowledge(mid))
            if code.is_failure:
                outgoing.dropped["refused"] += 1
            else:
                self._sent += 1
        if code.is_failure:
            _LOG.error("%s: the broker refused a message: %s", self._config.address, code)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        # In paho's thread, which also handles acknowledgements: neither branch may wait.
        topic = topics.parse_topic(message.topic)
        if topic is not None and topic.kind == "command":
            self._commands.receive(topic.stream, message)
        elif message.retain and message.payload:
            with self.locked() as outgoing:
                outgoing.clear_stale(message.topic)
