"""Publisher and subscriber over real brokers that stop, come back and refuse."""

import gc
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from waiting import free_port, wait_until

from edge.alarms.machine import AlarmEvent
from edge.core.errors import BrokerError, ConfigError
from edge.mqtt import topics
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.publish.payloads import DeviceStatus, decode
from edge.publish.publisher import Publisher


class Inbox:
    """Collects the messages of a subscriber."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.messages: list[tuple[str, Any, bool]] = []
        self._subscriber = subscriber

    def until(self, count: int) -> list[tuple[str, Any, bool]]:
        """Wait until `count` messages are there and return them as (last part of the topic, JSON or None, retained)."""

        def enough() -> bool:
            while len(self.messages) < count and (message := self._subscriber.get(0.01)) is not None:
                payload = msgspec.json.decode(message.payload) if message.payload else None
                self.messages.append((message.topic.split("/")[-1], payload, message.retained))
            return len(self.messages) >= count

        wait_until(enough)
        return self.messages


@pytest.fixture
def device() -> str:
    """Give a device of this test's own."""
    return f"d-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def publisher(device, bundle) -> Iterator[Callable[..., Publisher]]:
    """Give the function that makes a publisher, and close them all at the end."""
    made = []

    def new(config: BrokerConfig, **options: object) -> Publisher:
        made.append(Publisher(config, device, version="0.1", bundle=bundle, **options))
        return made[-1]

    yield new
    for sender in made:
        sender.close(0.0)


@pytest.fixture
def open_side(publisher) -> Callable[[str, BrokerConfig], None]:
    """Give the function that connects a publisher or a subscriber."""

    def connect(side: str, config: BrokerConfig) -> None:
        if side == "publisher":
            publisher(config).connect()
        else:
            with Subscriber(config, topics.filters()):
                pass

    return connect


def publish(sender: Publisher, events: list[AlarmEvent]) -> None:
    for event in events:
        sender.publish_event(event, sample_rate_hz=250.0)


def test_status_alert_and_state_from_start_to_end(config, device, publisher, events) -> None:
    raised, cleared = events()
    sender = publisher(config)
    with Subscriber(config, topics.filters(device)) as subscriber:
        inbox = Inbox(subscriber)
        sender.connect()
        assert [(part, body["state"]) for part, body, _ in inbox.until(1)] == [("status", "online")]
        sender.publish_event(raised, sample_rate_hz=250.0, latency_ms=3.0)
        messages = inbox.until(3)[1:]
        assert [part for part, _, _ in messages] == ["alerts", "AF"]
        assert messages[0][1]["id"] == str(raised.id)
        with Subscriber(config, topics.filters(device)) as late:
            assert sorted((part, kept) for part, _, kept in Inbox(late).until(2)) == [("AF", True), ("status", True)]
        sender.publish_event(cleared, sample_rate_hz=250.0)
        assert [(part, body is None) for part, body, _ in inbox.until(5)[3:]] == [("alerts", False), ("AF", True)]
        sender.close()
        assert [(part, body["state"]) for part, body, _ in inbox.until(6)[5:]] == [("status", "offline")]
    with Subscriber(config, topics.filters(device)) as late:
        assert [(part, body["state"]) for part, body, _ in Inbox(late).until(1)] == [("status", "offline")]
        assert late.get(0.2) is None  # neither the alert nor the ended alarm was kept
    assert sender.health.sent == 6
    assert sender.health.dropped == {}


def test_a_device_that_vanishes_is_offline_by_its_will(config, device, publisher) -> None:
    sender = publisher(config)
    sender.connect()
    with Subscriber(config, topics.filters(device)) as subscriber:
        inbox = Inbox(subscriber)
        assert inbox.until(1)[0][1]["state"] == "online"
        sender._connection._client._thread_terminate = True  # as dead as kill -9: no DISCONNECT, no reconnect
        sender._connection._client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender._connection._client._sock.shutdown(socket.SHUT_RDWR)
        status = inbox.until(2)[1][1]
        assert (status["state"], status["since"]) == ("offline", None)
    sender.close(0.0)


def test_predictions_are_published(config, device, publisher, decision) -> None:
    sender = publisher(config)
    with Subscriber(config, [topics.predictions_topic(device, "s1")]) as subscriber:
        sender.connect()
        sender.publish_prediction(decision(0, 0.25), epoch="e1", labels=("AF",))
        assert Inbox(subscriber).until(1)[0][1]["probabilities"] == {"AF": 0.25}
    sender.close()


def test_many_alerts_arrive_in_order(config, device, publisher, events) -> None:
    sender = publisher(config)
    with Subscriber(config, [topics.alerts_topic(device, "s1")]) as subscriber:
        sender.connect()
        publish(sender, events(300))
        received = [body["id"] for _, body, _ in Inbox(subscriber).until(600)]
    sender.close()
    assert received == [str(event.id) for event in events(300)]


def test_a_state_left_behind_by_an_earlier_run_is_removed(config, device, publisher, events) -> None:
    """A service killed while an alarm was on leaves its retained state; nothing else would ever remove it."""
    killed = publisher(config)
    killed.connect()
    killed.publish_event(events()[0], sample_rate_hz=250.0)
    wait_until(lambda: killed.health.sent == 3)
    killed.close()
    with Subscriber(config, [topics.alarm_topic(device, "s1", "AF")]) as subscriber:
        inbox = Inbox(subscriber)
        assert inbox.until(1)[0][2]
        second = publisher(config)
        second.connect()
        assert inbox.until(2)[1][1] is None
        second.close()


def test_alerts_wait_while_the_broker_is_away_and_states_are_sent_again(mosquitto, device, publisher, events) -> None:
    config = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    raised, cleared = events()
    sender = publisher(config)
    sender.connect()
    sender.publish_event(raised, sample_rate_hz=250.0)
    wait_until(lambda: sender.health.sent == 3)
    mosquitto.stop()
    wait_until(lambda: not sender.connected)
    sender.publish_event(cleared, sample_rate_hz=250.0)
    sender.publish_event(events(2)[2], sample_rate_hz=250.0)
    mosquitto.start()
    with Subscriber(config, topics.filters(device)) as subscriber:
        wait_until(lambda: sender.connected)
        messages = Inbox(subscriber).until(4)
    sender.close()
    assert [body["id"] for part, body, _ in messages if part == "alerts"] == [str(cleared.id), str(events(2)[2].id)]
    assert [body["alarm_id"] for part, body, _ in messages if part == "AF"] == [str(events(2)[2].alarm_id)]
    assert [body["state"] for part, body, _ in messages if part == "status"] == ["online"]
    assert sender.health.connects == 2


def test_what_is_in_flight_when_the_broker_dies_is_sent_again(mosquitto, publisher, events) -> None:
    config = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    sender = publisher(config)
    sender.connect()
    publish(sender, events(100))
    wait_until(lambda: sender.health.sent >= 5)
    mosquitto.stop()
    mosquitto.start()
    wait_until(lambda: sender.health.connects == 2)
    wait_until(lambda: sender._connection.idle)
    counts = sender.health
    sender.close()
    assert counts.sent >= 200 + 2
    assert counts.queued == 0
    assert counts.dropped == {}


def test_a_service_starts_without_a_broker_and_counts_what_it_drops(publisher, events) -> None:
    sender = publisher(BrokerConfig(host="127.0.0.1", port=free_port()), capacity=4)
    sender.start()
    publish(sender, events(5))
    wait_until(lambda: sender.health.failures >= 1)
    sender.close()
    assert sender.health.dropped == {"queue_full": 6, "closed": 4}
    publish(sender, events(1))
    assert sender.health.dropped == {"queue_full": 6, "closed": 6}


@pytest.mark.parametrize("side", ["publisher", "subscriber"])
def test_connecting_to_an_absent_broker_fails_at_once(side, open_side) -> None:
    config = BrokerConfig(host="127.0.0.1", port=free_port())
    with pytest.raises(BrokerError, match=f"127.0.0.1:{config.port}: nothing listens there"):
        open_side(side, config)


@pytest.mark.parametrize("side", ["publisher", "subscriber"])
def test_a_wrong_password_is_named(side, open_side, mosquitto, tmp_path) -> None:
    mosquitto.stop()
    mosquitto._config.write_text(f"listener {mosquitto.port} 127.0.0.1\nallow_anonymous false\n")
    mosquitto.start()
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    config = BrokerConfig(host="127.0.0.1", port=mosquitto.port, username="u", password_file=str(secret))
    with pytest.raises(BrokerError, match="refuses: not authorized; check username"):
        open_side(side, config)


# paho leaves to the collector its TLS socket, and the loopback pair by which it wakes its thread
@pytest.mark.filterwarnings("ignore:Exception ignored in. <(ssl.SSLS|socket.s)ocket")
def test_a_port_that_speaks_no_tls_is_named(mosquitto, publisher) -> None:
    with pytest.raises(BrokerError, match="TLS"):
        publisher(BrokerConfig(host="127.0.0.1", port=mosquitto.port, tls=True)).connect()
    gc.collect()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"ca_file": "/nowhere.pem"}, ConfigError),
        ({"username": "u", "password_file": "/nowhere"}, ConfigError),
        ({"port": 0}, ValueError),
        ({"keepalive_s": 1}, ValueError),
        ({"key_file": "k.pem"}, ValueError),
    ],
)
def test_impossible_settings_are_refused(settings, error, publisher) -> None:
    with pytest.raises(error):
        publisher(BrokerConfig(**settings))


def test_the_status_names_the_active_back_end(publisher, device, config) -> None:
    sender = publisher(config)
    sender.set_classifier("before the broker was there")
    sender.connect()
    with Subscriber(config, topics.filters(device)) as subscriber:
        inbox = Inbox(subscriber)
        inbox.until(1)
        sender.set_classifier("onnxruntime fp32 serves instead of tensorrt fp16: no GPU")
        descriptions = [payload["classifier"] for _, payload, _ in inbox.until(2)]
    assert descriptions == ["before the broker was there", "onnxruntime fp32 serves instead of tensorrt fp16: no GPU"]


def test_the_broker_retains_the_latest_health(publisher, device, config) -> None:
    sender = publisher(config)
    for state in ("first", "second"):
        sender.publish_health(DeviceStatus(state="online", version=state, bundle=None, since=None))
    sender.connect()
    wait_until(lambda: sender.health.sent == 2, what="status and health")
    with Subscriber(config, [topics.health_topic(device)]) as subscriber:
        kept = subscriber.get(5)
    assert kept.retained
    assert decode(kept.payload, DeviceStatus).version == "second"
