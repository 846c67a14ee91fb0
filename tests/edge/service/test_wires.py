"""The service with sources of every kind: a subprocess, a real broker, a real pty."""

import math
import os
import threading
import tty

import numpy as np
import pytest
from running import LOUD, config_text, has_open, service, stop, write_all
from waiting import free_port, wait_until

from edge.core.errors import StreamError
from edge.core.samples import Block
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.service.config import ServiceConfig
from edge.service.supervisor import Service
from edge.sources.base import SourceBase
from edge.sources.config import MqttConfig, SerialConfig, SyntheticConfig
from edge.sources.formats.frame import FrameWriter
from edge.sources.formats.mqtt_payload import PayloadWriter
from edge.sources.pace import Pace
from edge.sources.synthetic import SyntheticSource


def test_sources_of_every_kind_at_once(tmp_path, broker, device, watcher, tiny_bundle_path):
    """A synthetic source, a pty and the broker: each stream raises its alarm, and the service stops cleanly."""
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    topic = f"test/{device}"
    sources = f"""
[[source]]
kind = "synthetic"
scenario = "{LOUD}"
speed = 50
[[source]]
kind = "serial"
port = "{os.ttyname(far)}"
stream = "bedside"
[[source]]
kind = "mqtt"
topic = "{topic}/+/samples"
"""
    recording = SyntheticSource(LOUD, leads=("II",))
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(lambda: has_open(process.pid, os.ttyname(far)), what="the service to open the port")
        frames, writer = b"", FrameWriter(recording.spec)
        for block in recording.adc_blocks():
            frames += writer.encode(block)
        threading.Thread(target=write_all, args=(near, frames), daemon=True).start()
        wait_until(
            lambda: {alert["source"].rpartition("/")[2] for alert in watcher.alerts()} >= {"synthetic", "bedside"},
            what="alerts of the synthetic source and of the pty",
        )
        client = new_client(BrokerConfig(host=broker[0], port=broker[1]))
        open_connection(client, BrokerConfig(host=broker[0], port=broker[1]))
        payloads = PayloadWriter(recording.spec)
        for block in recording.adc_blocks():
            for payload in payloads.encode(block):
                client.publish(f"{topic}/phone/samples", payload, qos=1)
        wait_until(
            lambda: any(alert["source"].endswith("/phone") for alert in watcher.alerts()), what="alerts of the phone"
        )
        client.disconnect()
        client.loop_stop()
        stop(process)
    assert watcher.raised() >= {"LEAD_OFF"}
    wait_until(lambda: watcher.states()[-1] == "offline", what="the service to say offline")
    os.close(near)
    os.close(far)


def test_a_quiet_port_raises_an_alarm_that_ends_when_samples_come(tmp_path, broker, device, watcher, tiny_bundle_path):
    """Missing at first, then plugged in and sending: NO_DATA is raised, then cleared."""
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    port = tmp_path / "usb-ECG-if00"
    sources = f"""
[alarm.NO_DATA]
on_delay_s = 0.0
[[source]]
kind = "serial"
port = "{port}"
leads = ["II"]
silent_after_s = 0.5
"""
    recording = SyntheticSource("sinus:30", leads=("II",))
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(lambda: "NO_DATA" in watcher.raised(), timeout_s=60.0, what="the alarm of a port that is not there")
        port.symlink_to(os.ttyname(far))
        wait_until(lambda: has_open(process.pid, os.ttyname(far)), timeout_s=60.0, what="the service to open the port")
        writer = FrameWriter(recording.spec, session=9)
        frames = b"".join(map(writer.encode, recording.adc_blocks()))
        threading.Thread(target=write_all, args=(near, frames), daemon=True).start()
        wait_until(
            lambda: any(alert["type"].endswith("cleared") for alert in watcher.alerts()), what="the end of the alarm"
        )
        log = stop(process)
    assert "trying again" in log
    os.close(near)
    os.close(far)


def test_hostile_payloads_do_not_stop_the_others(tmp_path, broker, device, watcher, tiny_bundle_path):
    topic = f"test/{device}"
    sources = f'[[source]]\nkind = "mqtt"\ntopic = "{topic}/+/samples"\n'
    address = BrokerConfig(host=broker[0], port=broker[1])
    recording = SyntheticSource(LOUD, leads=("II",))
    hostile = [
        b"",
        b"\x00" * 1000,
        b"{" * 60_000,
        b"[" * 60_000,
        np.random.default_rng(0).bytes(10 << 20),
        b'{"version": 1, "sample_rate_hz": 1e308, "leads": ["II"], "samples": [[0]]}',
        b'{"version": 1, "sample_rate_hz": 250, "leads": ["II"], "samples": [[NaN]]}',
        b'{"version": 1, "sample_rate_hz": 250, "leads": ["II"], "samples": [[1e300]]}',
        b'{"version": 1, "sample_rate_hz": 250, "leads": ["resp"], "samples": [[0]]}',
        b'{"version": 1, "sample_rate_hz": 40, "leads": ["II"], "samples": [[0]]}',
        b'{"version": 1, "sample_rate_hz": 99, "leads": ["II"], "first_sample": 9000000000000000000, "samples": [[0]]}',
    ]
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(lambda: "online" in watcher.states(), what="the service to be online")
        client = new_client(address)
        open_connection(client, address)
        payloads = PayloadWriter(recording.spec)
        for number, block in enumerate(recording.adc_blocks()):
            for payload in payloads.encode(block):
                client.publish(f"{topic}/good/samples", payload, qos=1).wait_for_publish(10)
            client.publish(f"{topic}/bad-{number % 7}/samples", hostile[number % len(hostile)], qos=1)
        wait_until(lambda: "LEAD_OFF" in watcher.raised(), what="the good device's alarm")
        client.disconnect()
        client.loop_stop()
        log = stop(process)
    assert {alert["source"].rpartition("/")[2] for alert in watcher.alerts()} == {"good"}
    assert "Traceback" not in log


def new_service(bundle, *sources):
    return Service(ServiceConfig(source=sources, broker=BrokerConfig(port=free_port())), bundle)


def test_an_mqtt_device_cannot_feed_the_stream_of_a_configured_source(tiny_bundle):
    """The samples of a device with the bedside monitor's stream id used to be mixed into the patient's."""
    sample = np.zeros((1, 1), np.float32)
    block = Block("bed", 250, ("II",), 0, sample, np.zeros(sample.shape, np.uint8), 0.0, last=True)
    service = new_service(tiny_bundle, MqttConfig(), SerialConfig(port="/dev/none", stream="bed"))
    for _ in range(2):
        with pytest.raises(StreamError, match="another source"):
            service.sources._check_owner(0, block)
        service.sources._check_owner(1, block)


class FaultySource(SourceBase):
    """A source with an unexpected fault."""

    def blocks(self):
        raise ZeroDivisionError("an unexpected fault")


def test_a_source_with_an_unexpected_fault_ends_the_service(monkeypatch, tiny_bundle):
    """Its thread used to end, and the service continued without a source."""
    monkeypatch.setattr("edge.service.source_threads.open_source", lambda _: FaultySource())
    service = new_service(tiny_bundle, SyntheticConfig())
    with pytest.raises(ZeroDivisionError):
        service.run()


def test_a_record_is_replayed_at_its_configured_speed(monkeypatch, tiny_bundle):
    """Without a pace, a record overloaded the classifier, and most of its windows were shed."""
    waits = []

    class Noted(Pace):
        def __init__(self, speed, stopped):
            super().__init__(math.inf, stopped)
            self.speed = speed

        def wait(self, stream_s):
            waits.append((self.speed, stream_s))

    monkeypatch.setattr("edge.service.source_threads.Pace", Noted)
    new_service(tiny_bundle, SyntheticConfig(scenario="sinus:60", speed=20)).run()
    assert {speed for speed, _ in waits} == {20}
    assert waits[-1][1] == 60
