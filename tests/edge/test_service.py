"""The service as systemd runs it: a subprocess with a configuration file, a real broker, a real pty."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import tty
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from waiting import free_port, wait_until

from edge.config import ServiceConfig, find_bundle, read_config
from edge.errors import BundleError, ConfigError, StreamError
from edge.framing.frame import FrameWriter
from edge.framing.payload import PayloadWriter
from edge.publish.client import BrokerConfig, new_client, open_connection
from edge.publish.store import Store
from edge.publish.subscriber import Subscriber
from edge.publish.topics import filters
from edge.samples import Block
from edge.service import Service
from edge.sources.base import SourceBase
from edge.sources.config import MqttConfig, SerialConfig, SyntheticConfig
from edge.sources.synthetic import SyntheticSource
from edge.wires import Pace

EDGE = Path(sys.executable).with_name("ecg-edge")
ROOT = Path(__file__).parents[2]
LOUD = "sinus:12 lead_off:15 sinus:15"


def config_text(broker, device, model, sources):
    return f"""
model = "{model}"
[device]
id = "{device}"
[broker]
host = "{broker[0]}"
port = {broker[1]}
client_id = "{device}"
{sources}
"""


class Watcher(threading.Thread):
    """Keeps what a subscriber to one device receives."""

    def __init__(self, broker, device):
        super().__init__(daemon=True)
        self._subscriber = Subscriber(BrokerConfig(host=broker[0], port=broker[1]), filters(device))
        self._done = threading.Event()
        self._ready = threading.Event()
        self.messages = []
        self.start()
        assert self._ready.wait(10)

    def run(self):
        with self._subscriber as subscriber:
            self._ready.set()
            while not self._done.is_set():
                message = subscriber.get(0.1)
                if message is not None:
                    self.messages.append(message)

    def alerts(self):
        return [json.loads(m.payload) for m in self.messages if m.topic.endswith("/alerts")]

    def raised(self):
        return {alert["subject"] for alert in self.alerts() if alert["type"].endswith("raised")}

    def states(self):
        return [json.loads(m.payload)["state"] for m in self.messages if m.topic.endswith("/status")]

    def classifiers(self):
        statuses = [json.loads(m.payload) for m in self.messages if m.topic.endswith("/status")]
        return [status["classifier"] or "" for status in statuses]

    def close(self):
        self._done.set()
        self.join()


@contextmanager
def service(tmp_path, text, *arguments):
    path = tmp_path / "ecg-edge.toml"
    path.write_text(text)
    process = subprocess.Popen([EDGE, "run", "--config", path, "-v", *arguments], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def device(request):
    return re.sub(r"[^A-Za-z0-9_-]", "-", request.node.name)[-60:]


@pytest.fixture
def watcher(broker, device):
    watcher = Watcher(broker, device)
    yield watcher
    watcher.close()


def stop(process):
    """End the service as systemd does and return what it logged."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    account = re.search(r"samples (\d+) = classified (\d+) \+ missing \((.*?)\) \+ pending 0", log)
    assert account, log
    missing = sum(int(count) for count in re.findall(r"\w+ (\d+)", account[3]))
    assert int(account[1]) == int(account[2]) + missing
    return log


def test_sources_of_every_kind_at_once(tmp_path, broker, device, watcher, tiny_bundle_path):
    """A synthetic source, a pty and the broker; each stream raises its alarm, and the service ends cleanly."""
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
        wait_until(lambda: _has_open(process.pid, os.ttyname(far)), what="the service to open the port")
        frames, writer = b"", FrameWriter(recording.spec)
        for block in recording.adc_blocks():
            frames += writer.encode(block)
        threading.Thread(target=_write_all, args=(near, frames), daemon=True).start()
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


def _has_open(pid, path):
    return any(os.path.realpath(link) == path for link in Path(f"/proc/{pid}/fd").iterdir())


def _write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def test_a_port_that_goes_quiet_raises_an_alarm_that_ends_when_it_speaks_again(
    tmp_path, broker, device, watcher, tiny_bundle_path
):
    """Unplugged before it ever spoke, plugged in, heard: NO_DATA is raised, and cleared."""
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
        wait_until(lambda: "NO_DATA" in watcher.raised(), timeout_s=30.0, what="the alarm of a port that is not there")
        port.symlink_to(os.ttyname(far))
        wait_until(lambda: _has_open(process.pid, os.ttyname(far)), timeout_s=40.0, what="the service to open the port")
        writer = FrameWriter(recording.spec, session=9)
        frames = b"".join(map(writer.encode, recording.adc_blocks()))
        threading.Thread(target=_write_all, args=(near, frames), daemon=True).start()
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


def test_a_stranger_cannot_feed_the_stream_of_a_configured_source(tiny_bundle):
    """A device that called itself as the bedside monitor is called had its samples mixed into the patient's."""
    sample = np.zeros((1, 1), np.float32)
    block = Block("bed", 250, ("II",), 0, sample, np.zeros(sample.shape, np.uint8), 0.0, last=True)
    service = new_service(tiny_bundle, MqttConfig(), SerialConfig(port="/dev/none", stream="bed"))
    for _ in range(2):
        with pytest.raises(StreamError, match="another source"):
            service._claim(0, block)
        service._claim(1, block)


class Odd(SourceBase):
    """A source with a fault that nobody thought of."""

    def blocks(self):
        raise ZeroDivisionError("a fault that nobody thought of")


def test_a_source_that_ends_by_a_fault_ends_the_service(monkeypatch, tiny_bundle):
    """Its thread ended, and the service went on with nothing to listen to."""
    monkeypatch.setattr("edge.service.open_source", lambda _: Odd())
    service = new_service(tiny_bundle, SyntheticConfig())
    with pytest.raises(ZeroDivisionError):
        service.run()


def test_a_record_is_played_at_its_speed(monkeypatch, tiny_bundle):
    """Read as fast as the disk gives it, a record overran the classifier, and most of its windows were shed."""
    waits = []

    class Noted(Pace):
        def __init__(self, speed, stopped):
            super().__init__(math.inf, stopped)
            self.speed = speed

        def wait(self, stream_s):
            waits.append((self.speed, stream_s))

    monkeypatch.setattr("edge.service.Pace", Noted)
    new_service(tiny_bundle, SyntheticConfig(scenario="sinus:60", speed=20)).run()
    assert {speed for speed, _ in waits} == {20}
    assert waits[-1][1] == 60


def test_a_broker_that_is_absent_is_waited_for(tmp_path, mosquitto, tiny_bundle_path):
    mosquitto.stop()
    text = config_text(
        (mosquitto.host, mosquitto.port), "patient", tiny_bundle_path, '[[source]]\nkind = "serial"\nport = "/dev/none"'
    )
    with service(tmp_path, text) as process:
        line = process.stderr.readline()
        while "trying again" not in line and line:
            line = process.stderr.readline()
        assert "/dev/none" in line
        mosquitto.start()
        watcher = Watcher((mosquitto.host, mosquitto.port), "patient")
        wait_until(lambda: "online" in watcher.states(), what="the service to be online")
        watcher.close()
        stop(process)


def test_a_killed_service_is_reported_by_its_will(tmp_path, broker, device, watcher, tiny_bundle_path):
    text = config_text(broker, device, tiny_bundle_path, '[[source]]\nkind = "serial"\nport = "/dev/none"')
    with service(tmp_path, text) as process:
        wait_until(lambda: "online" in watcher.states(), what="the service to be online")
        process.kill()
        wait_until(lambda: watcher.states()[-1] == "offline", what="the last will")


@pytest.fixture
def no_tensorrt(tmp_path, monkeypatch):
    """Make TensorRT absent for the processes that this test starts, wherever it runs."""
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "tensorrt.py").write_text("raise ImportError('No module named tensorrt')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'absent'}:{os.environ.get('PYTHONPATH', '')}")


@pytest.mark.usefixtures("no_tensorrt")
def test_without_tensorrt_the_status_says_what_serves_instead(tmp_path, broker, device, watcher, tiny_bundle_path):
    sources = '[[source]]\nkind = "serial"\nport = "/dev/none"\n[classifier]\nbackend = "tensorrt"\n'
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(lambda: any("instead of tensorrt" in said for said in watcher.classifiers()), 30, "the status")
        log = stop(process)
    assert "ONNX Runtime serves instead of TensorRT: TensorRT cannot be imported" in log


@pytest.mark.usefixtures("no_tensorrt")
def test_without_tensorrt_and_without_leave_it_does_not_start(tmp_path, broker, device, tiny_bundle_path):
    sources = '[[source]]\nkind = "serial"\nport = "/dev/none"\n[classifier]\nbackend = "tensorrt"\nfallback = false\n'
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert log.splitlines()[-1].startswith("ecg-edge: TensorRT cannot be imported")


def test_alerts_wait_in_the_outbox_for_the_next_run(tmp_path, mosquitto, tiny_bundle_path):
    """A whole recording without a broker; the next run of the service tells its alerts, flagged as historical."""
    mosquitto.stop()
    address = mosquitto.host, mosquitto.port
    outbox = f'[publish]\noutbox = "{tmp_path}/outbox.db"\n'
    sources = f'{outbox}[[source]]\nkind = "synthetic"\nscenario = "{LOUD}"\nspeed = 50\n'
    with service(tmp_path, config_text(address, "patient", tiny_bundle_path, sources)) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    waiting = int(re.search(r"queued=(\d+)", log)[1])
    assert waiting > 0
    mosquitto.start()
    watcher = Watcher(address, "patient")
    sources = f'{outbox}[[source]]\nkind = "serial"\nport = "/dev/none"\n'
    with service(tmp_path, config_text(address, "patient", tiny_bundle_path, sources)) as process:
        wait_until(lambda: len(watcher.alerts()) == waiting, what="the alerts of the run before")
        stop(process)
    watcher.close()
    assert all(alert["data"]["historical"] for alert in watcher.alerts())
    assert "LEAD_OFF" in watcher.raised()
    store = Store(tmp_path / "outbox.db")
    assert store.count == 0
    store.close()


def test_the_example_configuration_is_valid_and_shows_the_defaults():
    text = (ROOT / "deploy" / "ecg-edge.example.toml").read_text()
    config = read_config(ROOT / "deploy" / "ecg-edge.example.toml")
    assert config == ServiceConfig(source=config.source)
    for key in (
        "ca_file",
        "cert_file",
        "key_file",
        "username",
        "password_file",
        "scenario",
        "record",
        "baud",
        "latch",
        "outbox",
    ):
        assert re.search(rf"\b{key} = ", text), f"{key} is not shown"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "source"),
        ("[[source]]\nkind = 'pigeon'", "pigeon"),
        ("[[source]]\nkind = 'wfdb'\nrecrod = 'x'", "did you mean `record`"),
        ("[brokr]\n[[source]]\nkind = 'synthetic'", "did you mean `broker`"),
        ("[broker]\nport = 0\n[[source]]\nkind = 'synthetic'", "address"),
        ("[device]\nid = 'Jane Doe'\n[[source]]\nkind = 'synthetic'", "Jane Doe"),
        ("[publish]\noutbox_messages = 0\n[[source]]\nkind = 'synthetic'", "outbox_messages"),
        ("source = [", "Invalid"),
        ("[classifier]\nthreads = 0\n[[source]]\nkind = 'synthetic'", "threads"),
        ("\xff", "toml"),
        ("[[source]]\nkind = 'synthetic'\n[[source]]\nkind = 'synthetic'", "stream of its own"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nstream = 'Jane Doe'", "Jane Doe"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nbaud = 0", "baud"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nadc_max = 99999999999", "adc_max"),
        ("[[source]]\nkind = 'mqtt'\nqueue_payloads = 0", "queue_payloads"),
        ("[[source]]\nkind = 'mqtt'\nmax_streams = 0", "max_streams"),
        ("[[source]]\nkind = 'wfdb'\nrecord = 'a/b'\nblock_s = -1", "block_s"),
        ("[[source]]\nkind = 'synthetic'\nspeed = nan", "speed"),
        ("[publish]\nqueue_messages = 0\n[[source]]\nkind = 'synthetic'", "queue_messages"),
        ("[publish]\noutbox_messages = 1000001\n[[source]]\nkind = 'synthetic'", "outbox_messages"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(tmp_path, text, word):
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert word in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_alarm_that_does_not_exist_is_refused(tmp_path, tiny_bundle_path):
    path = tmp_path / "c.toml"
    path.write_text(f'model = "{tiny_bundle_path}"\n[alarm.AFF]\nlatch = true\n[[source]]\nkind = "synthetic"')
    result = subprocess.run([EDGE, "run", "--config", path, "--check"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "did you mean 'AF'" in result.stderr


def test_an_unknown_bundle_names_those_that_are_shipped():
    with pytest.raises(BundleError, match="rhythm"):
        find_bundle("rythm")


def test_the_unit_is_valid(tmp_path):
    """Systemd itself reads the unit; the program's path is put in place of the one where it will be installed."""
    unit = (ROOT / "deploy" / "systemd" / "ecg-edge.service").read_text()
    (tmp_path / "ecg-edge.service").write_text(unit.replace("/opt/ecg-nat/venv/bin/ecg-edge", str(EDGE)))
    try:
        result = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / "ecg-edge.service"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.skip("no systemd-analyze; install systemd")
    complaints = [line for line in result.stderr.splitlines() if "ecg-edge" in line]
    assert result.returncode == 0, result.stderr
    assert not complaints
