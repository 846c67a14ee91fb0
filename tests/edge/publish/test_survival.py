"""Alerts survive kill -9, a broker that is away for a day, and a full disk; with a real broker and real processes."""

import logging
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from waiting import wait_until

from edge.mqtt import topics
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.publish.cloud_events import AlertEvent
from edge.publish.connection import LATE_S
from edge.publish.outbox import INCOMING, Outbox
from edge.publish.outbox_database import _open
from edge.publish.payloads import decode
from edge.publish.publisher import Publisher

SOURCE = Path(__file__).parents[2] / "support" / "alert_source.py"
KILLS = 8


class Listener:
    """Collects the alerts of one device as they arrive."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.alerts: list[AlertEvent] = []
        self._subscriber = subscriber

    def until(self, enough: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
        """Listen until `enough` holds."""

        def received() -> bool:
            while (message := self._subscriber.get(0.005)) is not None:
                self.alerts.append(decode(message.payload, AlertEvent))
                if enough():
                    return True
            return enough()

        wait_until(received, timeout_s, what)

    def of(self, epoch: str) -> int:
        """Count the alerts of one epoch."""
        return sum(alert.data.epoch == epoch for alert in self.alerts)

    @property
    def first_time(self) -> list[AlertEvent]:
        """The alerts without repetitions, in order of arrival."""
        return list({alert.id: alert for alert in reversed(self.alerts)}.values())[::-1]


def committed(path: Path) -> set[str]:
    """Return the ids of the alerts that a killed program left in its outbox."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT payload FROM message").fetchall()
    database.close()
    return {msgspec.json.decode(payload)["id"] for (payload,) in rows}


@pytest.fixture
def device() -> str:
    """Give a device of this test's own."""
    return f"d-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def new_publisher(device, bundle, tmp_path) -> Iterator[Callable[..., Publisher]]:
    """Give the function that makes a publisher, with an outbox in the test's folder by default."""
    made = []

    def new(
        port: int, capacity: int = 1000, *, incoming: int = INCOMING, on_disk: bool = True, **options: object
    ) -> Publisher:
        outbox = Outbox(tmp_path / "outbox.db", capacity, incoming=incoming) if on_disk else None
        config = BrokerConfig(host="127.0.0.1", port=port)
        made.append(Publisher(config, device, version="1", bundle=bundle, outbox=outbox, **options))
        return made[-1]

    yield new
    for publisher in made:
        publisher.close(0.0)


def test_every_committed_alert_arrives_although_the_program_is_killed_again_and_again(broker, device, tmp_path) -> None:
    """SIGKILL at any instant: no committed alert is lost, none overtakes another, and repetitions have the same id."""
    chance, path, left = np.random.default_rng(0), tmp_path / "outbox.db", set()
    command = [sys.executable, SOURCE, str(broker[1]), device, path]
    with Subscriber(BrokerConfig(host=broker[0], port=broker[1]), [f"ecg-nat/v1/{device}/+/alerts"]) as subscriber:
        listener = Listener(subscriber)
        for run in range(KILLS):
            goal = int(chance.integers(1, 300))
            with subprocess.Popen([*command, f"run{run}"]) as process:
                listener.until(lambda run=run, goal=goal: listener.of(f"run{run}") >= goal, "alerts of the program")
                process.send_signal(signal.SIGKILL)
            left |= committed(path)
        last = subprocess.run([*command, "none", "drain"], capture_output=True, text=True, timeout=60)
        assert last.returncode == 0, last.stderr
        listener.until(lambda: left <= {alert.id for alert in listener.alerts}, "what the kills left behind")
    assert not committed(path)
    by_stream = defaultdict(list)
    for alert in listener.first_time:
        by_stream[alert.source].append((alert.data.epoch, alert.data.first_sample))
    assert len(by_stream) == 3
    for alerts in by_stream.values():
        runs = [(epoch, [sample for _, sample in part]) for epoch, part in groupby(alerts, lambda pair: pair[0])]
        assert [epoch for epoch, _ in runs] == [f"run{run}" for run in range(KILLS)]  # in the order of the runs
        for _, samples in runs:
            assert samples == list(range(0, 250 * len(samples), 250))  # and each without a hole
    assert left
    repeated = [alert for alert in listener.alerts if alert not in listener.first_time]
    assert all(alert.data.historical for alert in repeated)


def test_a_broker_that_was_away_for_a_day_gets_all_flagged_as_historical(mosquitto, device, new_publisher, events):
    mosquitto.stop()
    now = SimpleNamespace(s=0.0)
    publisher = new_publisher(mosquitto.port, clock_s=lambda: now.s)
    publisher.start()
    for event in events(100):
        publisher.publish_event(event, sample_rate_hz=250.0)
    wait_until(lambda: len(publisher._outbox) == 200 and not publisher._outbox._committing)
    now.s = 86_400.0
    late = events(101)[200:]
    for event in late:
        publisher.publish_event(event, sample_rate_hz=250.0)
    publisher.close()
    assert publisher.health.queued == 202
    mosquitto.start()
    with Subscriber(BrokerConfig(port=mosquitto.port), [topics.alerts_topic(device, "s1")]) as subscriber:
        listener = Listener(subscriber)
        again = new_publisher(mosquitto.port)
        again.start()
        listener.until(lambda: len(listener.alerts) == 202, "the alerts of the day")
    again.close()
    assert [alert.id for alert in listener.alerts] == [str(event.id) for event in events(101)]
    assert all(alert.data.historical for alert in listener.alerts)
    assert again.health.queued == 0


@pytest.mark.parametrize("on_disk", [True, False])
def test_late_within_one_run(mosquitto, device, new_publisher, events, on_disk) -> None:
    """An alert that waited for the broker is historical, a later one is not, in memory as on disk."""
    mosquitto.stop()
    now = SimpleNamespace(s=0.0)
    publisher = new_publisher(mosquitto.port, on_disk=on_disk, clock_s=lambda: now.s)
    raised, cleared = events()
    publisher.publish_event(raised, sample_rate_hz=250.0)
    now.s += LATE_S + 1
    publisher.publish_event(cleared, sample_rate_hz=250.0)
    mosquitto.start()
    with Subscriber(BrokerConfig(port=mosquitto.port), [topics.alerts_topic(device, "s1")]) as subscriber:
        publisher.connect()
        listener = Listener(subscriber)
        listener.until(lambda: len(listener.alerts) == 2, "both alerts")
    assert [alert.data.historical for alert in listener.alerts] == [True, False]


def test_a_broker_without_memory_gets_status_and_states_again(mosquitto, device, new_publisher, events) -> None:
    """After a restart without persistence, the broker gets the alarm that is on again."""
    publisher = new_publisher(mosquitto.port)
    publisher.connect()
    for event in events(20)[:39]:
        publisher.publish_event(event, sample_rate_hz=250.0)
    wait_until(lambda: publisher._connection.idle)
    mosquitto.stop()
    wait_until(lambda: not publisher.connected)
    mosquitto.start()
    with Subscriber(BrokerConfig(port=mosquitto.port), topics.filters(device)) as subscriber:
        wait_until(lambda: publisher.connected)
        states = {}
        while (message := subscriber.get(1.0)) is not None:
            states[message.topic] = msgspec.json.decode(message.payload)
            if len(states) == 2:
                break
    assert states[topics.status_topic(device)]["state"] == "online"
    assert states[topics.alarm_topic(device, "s1", "AF")]["alarm_id"] == str(events(20)[38].alarm_id)


def test_a_full_disk_loses_nothing_while_the_broker_is_there(
    broker, device, new_publisher, events, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("edge.publish.outbox_database._open", opener(SimpleNamespace(most=12)))
    publisher = new_publisher(broker[1])
    with Subscriber(BrokerConfig(port=broker[1]), [topics.alerts_topic(device, "s1")]) as subscriber:
        listener = Listener(subscriber)
        publisher.start()
        for event in events(100):
            publisher.publish_event(event, sample_rate_hz=250.0)
        listener.until(lambda: len(listener.alerts) >= 200, "every alert")
    publisher.close()
    assert [alert.id for alert in listener.first_time] == [str(event.id) for event in events(100)]
    assert publisher.health.dropped == {}
    # Once: the acknowledged alerts make room again, and then a warning may report that the disk has recovered.
    assert [record.levelname for record in caplog.records if "disk is full" in record.message] == ["ERROR"]


def test_on_a_full_disk_without_a_broker_the_loss_is_counted_and_the_rest_goes_on(
    mosquitto, device, new_publisher, events, monkeypatch, caplog
) -> None:
    caplog.set_level(logging.WARNING, "edge.publish.outbox")
    mosquitto.stop()
    pages = SimpleNamespace(most=12)
    monkeypatch.setattr("edge.publish.outbox_database._open", opener(pages))
    publisher = new_publisher(mosquitto.port, incoming=50)
    publisher.start()
    sent = events(200)
    for event in sent:
        publisher.publish_event(event, sample_rate_hz=250.0)
        if event.kind == "raised":  # no faster than the writer tries
            wait_until(lambda: not publisher._outbox._incoming or bool(publisher._outbox._disk_error))
    wait_until(lambda: bool(publisher._outbox._disk_error) and not publisher._outbox._committing)
    wait_until(lambda: publisher._outbox.lost.get("disk", 0) > 0)
    pages.most = 10_000  # room again
    wait_until(lambda: not publisher._outbox._disk_error)
    lost = publisher.health.dropped
    kept = publisher.health.queued
    assert set(lost) == {"disk"}
    assert kept + lost["disk"] == len(sent)
    mosquitto.start()
    with Subscriber(BrokerConfig(port=mosquitto.port), [topics.alerts_topic(device, "s1")]) as subscriber:
        listener = Listener(subscriber)
        listener.until(lambda: len(listener.alerts) == kept, "what was kept")
    order = [str(event.id) for event in sent]
    positions = [order.index(alert.id) for alert in listener.alerts]
    assert positions == sorted(positions)
    assert [record.levelname for record in caplog.records if "outbox" in record.message] == ["ERROR", "WARNING"]


def opener(pages: SimpleNamespace) -> Callable[[Path], sqlite3.Connection]:
    """Return a database opener that limits the file's size: SQLite then reports a full disk."""

    def open_small(path: Path) -> sqlite3.Connection:
        database = _open(path)
        database.execute(f"PRAGMA max_page_count = {pages.most}")
        return database

    return open_small
