"""Commands over a real broker: to the publisher, and from `ecg-edge ack`."""

import uuid
from collections.abc import Iterator

import msgspec
import pytest
from command_line import Finished, ecg_edge
from waiting import wait_until

from edge.alarms.command import Command
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Label
from edge.mqtt import topics
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.publish.publisher import Publisher


class Device:
    """A publisher whose only alarm executes commands at once."""

    def __init__(self, broker, bundle) -> None:
        self.name = f"d-{uuid.uuid4().hex[:8]}"
        self.taken: list[tuple[str, Command]] = []
        label = Label(abbreviation="AF", name="Atrial fibrillation", priority="high", latch=True)
        self.alarms = AlarmMachine("s1", "e1", alarm_specs((label,)))
        self.publisher = Publisher(BrokerConfig(host=broker[0], port=broker[1]), self.name, version="1", bundle=bundle)
        self.publisher.on_command(self.on_command)
        self.publisher.connect()
        wait_until(lambda: self.publisher._connection._client._last_mid > 0)

    def on_command(self, stream: str, command: Command) -> bool:
        self.taken.append((stream, command))
        for event in self.alarms.on_command(command):
            self.publisher.publish_event(event, sample_rate_hz=250.0)
        return stream == "s1"


@pytest.fixture
def device(broker, bundle) -> Iterator[Device]:
    """Give a device of this test's own."""
    device = Device(broker, bundle)
    yield device
    device.publisher.close()


def send(broker, topic: str, payloads: list[bytes], *, retain: bool = False) -> None:
    client = new_client(BrokerConfig())
    open_connection(client, BrokerConfig(host=broker[0], port=broker[1]))
    for payload in payloads:
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_only_valid_commands_are_accepted(broker, device) -> None:
    bad = [
        b"",
        b"{",
        b"[" * 900,
        b"x" * 5000,
        b'{"command": "reboot", "label": "AF"}',
        b'{"command": "acknowledge"}',
        b'{"command": "acknowledge", "label": 7}',
        b'{"command": "acknowledge", "label": "AF", "more": 1}',
        b'{"command": "silence", "label": "AF", "silence_s": 0}',
        b'{"command": "silence", "label": "AF", "silence_s": 1e9}',
    ]
    good = msgspec.json.encode(Command(command="silence", label="AF", silence_s=5.0))
    send(broker, topics.commands_topic(device.name, "s1"), [*bad, good])
    send(broker, topics.commands_topic(device.name, "s2"), [good])
    wait_until(lambda: sum(device.publisher.health.commands.values()) == len(bad) + 2)
    assert device.publisher.health.commands == {"bad": len(bad), "taken": 1, "refused": 1}
    assert [stream for stream, _ in device.taken] == ["s1", "s2"]


def test_a_retained_command_is_ignored(broker, bundle) -> None:
    first = Device(broker, bundle)
    topic = topics.commands_topic(first.name, "s1")
    good = msgspec.json.encode(Command(command="acknowledge", label="AF"))
    first.publisher.close()
    send(broker, topic, [good], retain=True)
    again = Publisher(
        BrokerConfig(host=broker[0], port=broker[1]), first.name, version="1", bundle=first.publisher._bundle
    )
    again.on_command(first.on_command)
    again.connect()
    wait_until(lambda: again.health.commands == {"bad": 1})
    again.close()
    assert first.taken == []
    send(broker, topic, [b""], retain=True)


def run_ack(broker, device: Device, *arguments: str) -> Finished:
    address = f"{broker[0]}:{broker[1]}"
    return ecg_edge("ack", "--broker", address, "--device", device.name, "--stream", "s1", *arguments)


def test_ack_ends_a_latched_alarm_and_reports_it(broker, device, decision) -> None:
    for window in (decision(0, 0.9), decision(1, 0.1)):
        for event in device.alarms.step(window):
            device.publisher.publish_event(event, sample_rate_hz=250.0)
    with Subscriber(
        BrokerConfig(host=broker[0], port=broker[1]), [topics.alerts_topic(device.name, "s1")]
    ) as subscriber:
        result = run_ack(broker, device, "AF", "--timeout", "60")
        assert (result.returncode, result.stdout) == (0, f"{device.name}/s1  ACKNOWLEDGED  Atrial fibrillation\n")
        kinds = []  # the raised alert may arrive first, if it was still in flight
        while "cleared" not in kinds:
            kinds.append(msgspec.json.decode(subscriber.get(10.0).payload)["type"].rpartition(".")[2])
    assert kinds[-2:] == ["acknowledged", "cleared"]


def test_ack_of_an_alarm_that_is_not_on_is_one_clear_line(broker, device, decision) -> None:
    device.alarms.step(decision(0, 0.1))
    result = run_ack(broker, device, "AF", "--timeout", "0.5")
    assert result.returncode == 1
    assert "is AF on" in result.stderr
    assert result.stderr.count("\n") == 1
