"""A chaos test of the service: faults of network, serial port and process while alerts flow, and then the count.

    devices ──► Mosquitto ◄─ TLS ─ wire that cuts, delays, throttles, corrupts ◄─► ecg-edge run, killed again and again
    pty that is unplugged, and damages bytes ─────────────────────────────────►

A subscriber is connected to the broker directly. It must have received every alert that a kill left in the outbox, and
every alert of the alert log that was older than the last commit before a kill.
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from bad_wire import BadWire
from energy_bundle import write_bundle
from waiting import free_port, wait_until

from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.publish.health import DeviceHealth
from edge.publish.payloads import decode
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.frame import FrameWriter
from edge.sources.formats.mqtt_payload import PayloadWriter

DEVICE = "chaos"
BEDS = ("bed-1", "bed-2", "bed-3")
SPEED = 20.0  # multiple of real time
SPEC = AdcSpec(("II",), 250.0, (1000.0,), (0,))
_BLOCK_S = 1.0
_EPISODE_S = 15  # of quiet and of loud ECG in turn, so that the alarms of the bundle begin and end
_DAMAGED = 0.02  # share of serial writes in which a byte is damaged
_NEW_ALERTS = 4  # that must arrive before the faults begin
_COMMIT_S = 2.0  # an older alert is in the outbox
_MAKE_CERTIFICATES = Path(__file__).parents[2] / "deploy" / "mosquitto" / "make-certificates"


@dataclasses.dataclass
class Figures:
    """The faults and their result; `lost`, `unequal` and `unbalanced` must be 0."""

    seconds: float = 0.0
    kills: int = 0
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    wire: dict[str, int] = dataclasses.field(default_factory=dict)
    received: int = 0  # alerts, with repetitions
    alerts: int = 0  # ids
    repeated: int = 0
    left_by_kills: int = 0  # ids that a kill left in the outbox
    in_commit: int = 0  # alerts of the log that were not committed yet when the service was killed
    lost: int = 0
    unequal: int = 0  # ids whose repetitions differ in more than `historical`, and events that have two ids
    accounts: int = 0  # accounts of samples received
    unbalanced: int = 0  # of them, those that do not add up
    samples_in: int = 0  # of the last run, as the next two
    classified: int = 0
    missing: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether alerts arrived and nothing was lost."""
        return self.alerts > 0 and self.accounts > 0 and not (self.lost or self.unequal or self.unbalanced)


def ecg() -> Iterator[AdcBlock]:
    """Yield seconds of an oscillation that is quiet and loud in turn, for ever."""
    count, index = int(_BLOCK_S * SPEC.sample_rate_hz), 0
    while True:
        time_s = np.arange(index * count, (index + 1) * count) / SPEC.sample_rate_hz
        loud = index // _EPISODE_S % 2
        adc = ((1500 if loud else 100) * np.sin(16 * np.pi * time_s)).astype(np.int32)[None]
        yield AdcBlock(index * count, adc, np.zeros(adc.shape, np.uint8), round(1e6 * time_s[0]))
        index += 1


class Devices(threading.Thread):
    """Publishes the samples of each bed, and writes those of another bed to a pty, until `stopped` is set."""

    def __init__(self, broker: BrokerConfig, port: Path, seed: int) -> None:
        super().__init__(name="devices", daemon=True)
        self.stopped = threading.Event()
        self._client = new_client(broker)
        open_connection(self._client, broker)
        self._port, self._random = port, np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._pty: tuple[int, int] | None = None
        self.plug()

    def plug(self) -> None:
        """Plug the serial device in."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._port.unlink(missing_ok=True)
        self._port.symlink_to(os.ttyname(theirs))
        with self._lock:
            self._pty = ours, theirs

    def unplug(self) -> None:
        """Unplug it."""
        with self._lock:
            pty, self._pty = self._pty, None
        self._port.unlink()
        for descriptor in pty or ():
            os.close(descriptor)

    def run(self) -> None:
        """Send."""
        payloads, frames = PayloadWriter(SPEC, session=1), FrameWriter(SPEC, session=1)
        for block in ecg():
            for payload in payloads.encode(block):
                for bed in BEDS:
                    self._client.publish(f"{DEVICE}/{bed}/samples", payload, qos=1)
            self._write(bytearray(frames.encode(block)))
            if self.stopped.wait(_BLOCK_S / SPEED):
                break
        self._client.disconnect()
        self._client.loop_stop()

    def _write(self, data: bytearray) -> None:
        if self._random.random() < _DAMAGED:
            data[self._random.integers(len(data))] ^= 0x55
        with self._lock:
            if self._pty is not None:
                with suppress(BlockingIOError):  # nobody reads: the bytes are lost, as on a wire
                    os.write(self._pty[0], data)


class Listener(threading.Thread):
    """Collects everything that the device publishes, until `close`."""

    def __init__(self, broker: BrokerConfig) -> None:
        super().__init__(name="listener", daemon=True)
        self.alerts: dict[str, list[bytes]] = {}  # payloads by id
        self.accounts = self.unbalanced = 0
        self._subscriber = Subscriber(broker, [f"ecg-nat/v1/{DEVICE}/#"], capacity=1_000_000)
        self._subscriber.__enter__()
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        """Receive messages."""
        while not self._done.is_set():
            message = self._subscriber.get(0.1)
            if message is None:
                continue
            if message.topic.endswith("/alerts"):
                self.alerts.setdefault(json.loads(message.payload)["id"], []).append(message.payload)
            elif message.topic.endswith("/health"):
                health = decode(message.payload, DeviceHealth)
                balanced = health.samples_in == health.classified + health.pending + sum(health.missing.values())
                self.accounts += 1
                self.unbalanced += not balanced

    def close(self) -> None:
        """Stop."""
        self._done.set()
        self.join()
        self._subscriber.__exit__()


class Chaos:
    """One chaos run, in a folder of its own; a fault lasts up to `fault_s`."""

    def __init__(self, folder: Path, seed: int, fault_s: float = 1.5) -> None:
        self.figures = Figures()
        self._fault_s = fault_s
        self._folder, self._seed, self._random = folder, seed, np.random.default_rng(seed)
        self._faults: Counter[str] = Counter()
        self._left_by_kills: set[str] = set()
        self._killed_at: list[datetime] = []
        self._plain_port, self._tls_port = free_port(), free_port()

    def run(self, seconds: float) -> Figures:
        """Run for at least this long, and return the figures."""
        began_s = time.monotonic()
        with ExitStack() as stack:
            self._start_broker(stack)
            wire = stack.enter_context(BadWire(self._tls_port, self._seed))
            broker = BrokerConfig(host="127.0.0.1", port=self._plain_port)
            listener = Listener(broker)
            stack.callback(listener.close)
            devices = Devices(broker, self._folder / "tty-ecg", self._seed)
            devices.start()
            stack.callback(devices.join)
            stack.callback(devices.stopped.set)
            config = self._configure(wire.port)
            while not self.figures.kills or time.monotonic() - began_s < seconds:
                self._run_and_kill(config, wire, devices, listener)
            wire.heal()
            self._run_to_the_end(config, devices, listener)
            self.figures.wire = dict(wire.totals)
        self._count(listener)
        self.figures.seconds = round(time.monotonic() - began_s, 1)
        return self.figures

    def _start_broker(self, stack: ExitStack) -> None:
        for arguments in (["ca"], ["server", "localhost", "127.0.0.1"]):
            subprocess.run([_MAKE_CERTIFICATES, self._folder, *arguments], check=True, capture_output=True, timeout=60)
        config = self._folder / "mosquitto.conf"
        pki = "".join(
            f"{key} {self._folder}/{file}\n"
            for key, file in (("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))
        )
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            f"allow_anonymous true\n{user}max_queued_messages 0\n"
            f"listener {self._plain_port} 127.0.0.1\nlistener {self._tls_port} 127.0.0.1\n{pki}"
        )
        binary = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise FileNotFoundError("no mosquitto program; install the package mosquitto")
        process = subprocess.Popen([binary, "-c", config], stderr=subprocess.DEVNULL)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        probe = BrokerConfig(host="127.0.0.1", port=self._plain_port)
        wait_until(lambda: _answers(probe), what="Mosquitto")

    def _configure(self, port: int) -> Path:
        path = self._folder / "ecg-edge.toml"
        path.write_text(f"""
model = "{write_bundle(self._folder / "tiny")}"
[device]
id = "{DEVICE}"
[broker]
host = "127.0.0.1"
port = {port}
ca_file = "{self._folder}/ca.pem"
client_id = "{DEVICE}"
keepalive_s = 5
[publish]
outbox = "{self._folder}/outbox.db"
alert_log = "{self._folder}/alerts.jsonl"
alert_log_mb = 1000
[health]
interval_s = 1
[alarm.ALARM_STORM]
priority = "none"
[[source]]
kind = "mqtt"
topic = "{DEVICE}/+/samples"
silent_after_s = 1.0
[[source]]
kind = "serial"
port = "{self._folder}/tty-ecg"
stream = "bed-4"
silent_after_s = 1.0
""")
        return path

    @contextmanager
    def _service(self, config: Path) -> Iterator["subprocess.Popen[bytes]"]:
        command = [Path(sys.executable).with_name("ecg-edge"), "run", "--config", config, "-v"]
        with (self._folder / "service.log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()

    def _run_and_kill(self, config: Path, wire: BadWire, devices: Devices, listener: Listener) -> None:
        """Start the service, wait for alerts, cause each fault, and kill the service."""
        known = self._left_by_kills | listener.alerts.keys()
        with self._service(config) as process:
            wait_until(lambda: len(listener.alerts.keys() - known) >= _NEW_ALERTS, 120, "alerts of the service")
            for fault in self._random.permutation(["cut", "delay", "throttle", "corrupt", "unplug"]).tolist():
                self._cause(fault, wire, devices)
                self._faults[fault] += 1
                devices.stopped.wait(self._random.uniform(0.1, self._fault_s))
                wire.heal()
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._killed_at.append(datetime.now(timezone.utc))
        self.figures.kills += 1
        self._left_by_kills |= self._in_outbox()

    def _cause(self, fault: str, wire: BadWire, devices: Devices) -> None:
        match fault:
            case "cut":
                wire.cut()
            case "delay":
                wire.delay_s = 0.3
            case "throttle":
                wire.bytes_per_s = 20_000.0
            case "corrupt":
                wire.corrupt = 0.2
            case "unplug":
                devices.unplug()
                devices.stopped.wait(self._random.uniform(0.1, 0.5))
                devices.plug()

    def _run_to_the_end(self, config: Path, devices: Devices, listener: Listener) -> None:
        """Let the service send what waits, end it as systemd does, and read its account."""
        known = self._left_by_kills | listener.alerts.keys()
        with self._service(config) as process:
            wait_until(lambda: len(listener.alerts.keys() - known) >= _NEW_ALERTS, 120, "alerts of the service")
            wait_until(lambda: self._left_by_kills <= listener.alerts.keys(), 120, "the alerts that kills left")
            devices.stopped.set()
            process.send_signal(signal.SIGTERM)
            assert process.wait(100) == 0, "the service did not end cleanly; see service.log"
        log = (self._folder / "service.log").read_text()
        account = re.findall(r"samples (\d+) = classified (\d+) \+ missing \((.*?)\) \+ pending 0", log)[-1]
        figures = self.figures
        figures.samples_in, figures.classified = int(account[0]), int(account[1])
        figures.missing = {cause: int(count) for cause, count in re.findall(r"(\w+) (\d+)", account[2])}
        figures.unbalanced += figures.samples_in != figures.classified + sum(figures.missing.values())
        figures.accounts += 1
        wait_until(lambda: self._in_outbox() <= set(listener.alerts), 30, "the last alerts")

    def _in_outbox(self) -> set[str]:
        with closing(sqlite3.connect(self._folder / "outbox.db")) as database:
            rows = database.execute("SELECT payload FROM message").fetchall()
        return {msgspec.json.decode(payload)["id"] for (payload,) in rows}

    def _count(self, listener: Listener) -> None:
        figures, arrived = self.figures, listener.alerts
        figures.faults = dict(self._faults)
        figures.alerts, figures.received = len(arrived), sum(map(len, arrived.values()))
        figures.repeated = figures.received - figures.alerts
        figures.left_by_kills = len(self._left_by_kills)
        versions = [set(map(_original, copies)) for copies in arrived.values()]
        events = Counter(_event(json.loads(copy)) for copies in versions for copy in copies)
        figures.unequal = sum(len(copies) > 1 for copies in versions) + sum(count > 1 for count in events.values())
        figures.accounts += listener.accounts
        figures.unbalanced += listener.unbalanced
        missing = {id_: time_ for id_, time_ in self._logged() if id_ not in arrived}
        uncommitted = {
            id_
            for id_, time_ in missing.items()
            if any(0 <= (killed - time_).total_seconds() < _COMMIT_S for killed in self._killed_at)
        } - self._left_by_kills
        figures.in_commit = len(uncommitted)
        figures.lost = len((missing.keys() | (self._left_by_kills - arrived.keys())) - uncommitted)

    def _logged(self) -> Iterator[tuple[str, datetime]]:
        for line in (self._folder / "alerts.jsonl").read_bytes().splitlines():
            try:
                alert = json.loads(line)["payload"]
            except ValueError:  # a line that a kill cut off
                continue
            yield alert["id"], msgspec.convert(alert["time"], datetime)


def _original(payload: bytes) -> str:
    """Return an alert without the flag in which repetitions may differ."""
    alert = json.loads(payload)
    alert["data"]["historical"] = False
    return json.dumps(alert, sort_keys=True)


def _event(alert: dict[str, Any]) -> tuple[str, str, str, int]:
    """Return what makes two alerts the same event."""
    return alert["source"], alert["type"], alert["data"]["alarm_id"], alert["data"]["end_sample"]


def _answers(broker: BrokerConfig) -> bool:
    client = new_client(broker)
    try:
        client.connect(broker.host, broker.port)
    except OSError:
        return False
    client.disconnect()
    return True


@click.command()
@click.option("--minutes", type=click.FloatRange(0), default=5.0, show_default=True, help="How long.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the faults.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON.")
def main(minutes: float, seed: int, json_path: Path | None) -> None:
    """Run the chaos test, print the figures, and exit with 1 where something was lost."""
    with tempfile.TemporaryDirectory(prefix="ecg-nat-chaos-") as folder:
        figures = Chaos(Path(folder), seed).run(60 * minutes)
    for name, value in dataclasses.asdict(figures).items():
        click.echo(f"{name:>14}  {value}")
    if json_path:
        json_path.write_text(json.dumps(dataclasses.asdict(figures), indent=2) + "\n")
    click.echo("sound: nothing was lost" if figures.sound else "not sound: see lost, unequal and unbalanced")
    sys.exit(not figures.sound)


if __name__ == "__main__":
    main()
