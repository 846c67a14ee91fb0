"""`ecg-edge watch` as a user runs it: a process, a broker, Ctrl-C."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from command_line import ecg_edge
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from waiting import free_port

from edge.mqtt import topics
from edge.publish.publisher import Publisher


@pytest.fixture
def watch() -> Iterator:
    """Give the function that starts the command."""
    started = []

    def start(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge", "watch", *args]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_each_fact_once_and_ends_cleanly(config, bundle, events, watch, number) -> None:
    device = f"d-{uuid.uuid4().hex[:8]}"
    sender = Publisher(config, device, version="0.1", bundle=bundle)
    sender.connect()
    process = watch("--broker", config.address, "--device", device, "--json")
    lines = [json.loads(process.stdout.readline())]
    assert (lines[0]["retained"], lines[0]["payload"]["state"]) == (True, "online")  # so it is subscribed now
    intruder = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    intruder.connect(config.host, config.port)
    intruder.loop_start()
    intruder.publish(topics.alerts_topic(device, "s1"), b"\xff" * 100, qos=1).wait_for_publish(5)
    intruder.disconnect()
    intruder.loop_stop()
    assert process.stderr.readline().startswith("invalid: ")
    for event in events():
        sender.publish_event(event, sample_rate_hz=250.0)
    sender.close()
    lines += [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [line["payload"].get("type", line["payload"].get("state")) for line in lines[1:]] == [
        "ecg-nat.alarm.raised",
        "ecg-nat.alarm.cleared",
        "offline",
    ]
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
    assert errors.strip() == "invalid messages: 1 by payload"


def test_people_get_plain_lines(config, bundle, events, watch) -> None:
    device = f"d-{uuid.uuid4().hex[:8]}"
    sender = Publisher(config, device, version="0.1", bundle=bundle)
    sender.connect()
    sender.publish_event(events()[0], sample_rate_hz=250.0)
    process = watch("--broker", config.address, "--device", device)
    lines = {process.stdout.readline().strip() for _ in range(2)}
    sender.close()
    assert any(f"{device}/s1  ON  Atrial fibrillation  since 10.0 s" in line for line in lines)
    assert any(f"{device}  ONLINE" in line for line in lines)


def test_without_a_broker_it_fails_in_one_line() -> None:
    result = ecg_edge("watch", "--broker", f"127.0.0.1:{free_port()}")
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.strip().splitlines()) == 1
    assert "nothing listens there" in result.stderr


@pytest.mark.parametrize("args", [("--broker", "host:port"), ("--broker", "a:0"), ("--broker", ":1")])
def test_a_broker_that_is_no_address_is_bad_usage(args) -> None:
    result = ecg_edge("watch", *args)
    assert result.returncode == 2
    assert "localhost:1883" in result.stderr
