"""A real MQTT 5 broker that starts and ends with the program, for the demo, the bench and replays without a broker.

It is iotcore 0.4 (rumqttd; MIT licence, 5 MB wheels for x86-64 and aarch64). It supports what we need: retained
messages and their removal, the last will, and QoS 1 in order. It listens on 127.0.0.1 only, and without passwords: it
is not for a network.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.core.errors import BrokerError

HOST = "127.0.0.1"
_CONFIG = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 10
[v5.1]
name = "local"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
_MOSQUITTO_CONFIG = """
listener {port} {host}
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
"""
_MOSQUITTO_FOLDERS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # searched after the PATH
_START_TIMEOUT_S = 10.0
_POLL_S = 0.05


class LocalBroker(NamedTuple):
    """A running broker."""

    host: str
    port: int
    name: str  # for people


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    # Another program may take the port before the broker does; then the broker's error says so.
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def embedded_broker() -> Iterator[tuple[str, int]]:
    """Run the embedded broker on a free port; gives host and port.

    Raises
    ------
    BrokerError
        When it is not installed or does not start.
    """
    try:
        from iotcore import Broker
    except ImportError as exc:
        raise BrokerError(
            "the embedded broker is not installed; pip install 'ecg-nat[demo]', or name --broker"
        ) from exc
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ecg-nat-broker-") as folder:
        config = Path(folder) / "broker.toml"
        config.write_text(_CONFIG.format(host=HOST, port=port), encoding="utf-8")
        broker = Broker(config_path=str(config))
        try:
            broker.start()
        except (OSError, RuntimeError) as exc:
            raise BrokerError(f"the embedded broker does not start: {exc}") from exc
        try:
            yield HOST, port
        finally:
            broker.stop()


@contextlib.contextmanager
def local_broker() -> Iterator[LocalBroker]:
    """Run Mosquitto on a free port where it is installed, else the embedded broker.

    Raises
    ------
    BrokerError
        When neither is installed, or the broker does not start.
    """
    # Debian installs it in /usr/sbin, which is not on every user's PATH.
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_MOSQUITTO_FOLDERS)
    if program is None:
        with embedded_broker() as (host, port):
            yield LocalBroker(host, port, "the embedded broker")
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ecg-nat-broker-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(_MOSQUITTO_CONFIG.format(host=HOST, port=port), encoding="utf-8")
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([program, "-c", str(config)], stdout=quiet, stderr=quiet)  # noqa: S603  as installed
        try:
            _wait_for_port(process, port)
            yield LocalBroker(HOST, port, "Mosquitto")
        finally:
            process.terminate()
            process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until_s:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(_POLL_S)
    raise BrokerError("Mosquitto does not start; try: mosquitto -p 1883")
