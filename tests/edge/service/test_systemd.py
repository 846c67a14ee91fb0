"""Notifications to systemd: a real datagram socket, and the service as a subprocess."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import free_port

from edge.service.systemd import Notifier

EDGE = Path(sys.executable).with_name("ecg-edge")
HUNG = Path(__file__).parents[2] / "support" / "hung_service.py"
SYNTHETIC = '[[source]]\nkind = "synthetic"\nscenario = "sinus:3600"\nspeed = 10\n'
SILENT = '[[source]]\nkind = "serial"\nport = "/dev/none"\nsilent_after_s = 0.1\n'


class Systemd:
    """The socket of systemd; an abstract one, because the path of a temporary folder may be too long."""

    def __init__(self):
        self.name = f"@ecg-nat-{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:])
        self._socket.settimeout(90)

    def next(self):
        """Return the next message as a mapping."""
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, key, *words):
        """Return all messages up to the first with the key, and with the words in its value."""
        messages = [self.next()]
        while key not in messages[-1] or not all(word in messages[-1][key] for word in words):
            messages.append(self.next())
        return messages

    def close(self):
        self._socket.close()


@pytest.fixture
def systemd():
    systemd = Systemd()
    yield systemd
    systemd.close()


@contextmanager
def service(systemd, tmp_path, model, sources, program=(EDGE, "run", "--config"), *more):
    path = tmp_path / "ecg-edge.toml"
    path.write_text(f'model = "{model}"\n[broker]\nhost = "127.0.0.1"\nport = {free_port()}\n{sources}')
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "400000"}
    process = subprocess.Popen([*program, path, *more], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def test_an_absent_broker_and_a_silent_sensor_do_not_stop_the_pings(systemd, tmp_path, tiny_bundle_path):
    """Then the service is killed as by the watchdog, and its log shows where each thread was."""
    with service(systemd, tmp_path, tiny_bundle_path, SILENT) as process:
        assert systemd.next() == {"READY": "1"}
        systemd.until("STATUS", "streams: 1", "nothing listens there; is the broker running?")
        systemd.until("WATCHDOG")
        process.send_signal(signal.SIGABRT)
        _, log = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGABRT
    assert "in _read_until_end" in log
    assert "in _classify_forever" in log


def test_a_hung_classifier_stops_the_pings_until_it_continues(systemd, tmp_path, tiny_bundle_path):
    hang = tmp_path / "hang"
    with service(systemd, tmp_path, tiny_bundle_path, SYNTHETIC, (sys.executable, HUNG), hang) as process:
        systemd.until("WATCHDOG")
        hang.touch()
        systemd.until("STATUS", "stuck: classifier has not turned for")
        messages = systemd.until("STATUS") + systemd.until("STATUS")  # two seconds without a ping, at 10 pings a second
        assert [message for message in messages if "WATCHDOG" in message] == []
        assert all(message["STATUS"].startswith("stuck: classifier") for message in messages)
        hang.unlink()
        systemd.until("WATCHDOG")
        systemd.until("STATUS", "streams: 1")
        process.send_signal(signal.SIGTERM)
        systemd.until("STOPPING")
        assert process.wait(30) == 0


def test_reloading_has_a_time_stamp(systemd):
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with Notifier({"NOTIFY_SOCKET": systemd.name}) as notifier:
        notifier.reloading()
        notifier.ready()
    message = systemd.next()
    assert message["RELOADING"] == "1"
    assert before_us <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.next() == {"READY": "1"}


def test_a_status_is_one_line(systemd):
    with Notifier({"NOTIFY_SOCKET": systemd.name}) as notifier:
        notifier.status("two\nREADY=1\nlines")
    assert systemd.next() == {"STATUS": "two READY=1 lines"}


def test_a_socket_in_the_file_system(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind("notify")
    if len(str(tmp_path / "notify")) > 100:
        pytest.skip("the temporary folder's path is too long for a socket")
    with Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}) as notifier:
        notifier.ping()
    assert listener.recv(100) == b"WATCHDOG=1"
    listener.close()


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_period_of_systemd(environment, period_s):
    assert Notifier(environment).watchdog_s == period_s


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/notify", "@nobody-listens-here"])
def test_without_systemd_nothing_is_sent(address):
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        notifier.ready()
        notifier.ping()
