"""The service as a subprocess with a configuration file, and a subscriber to it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import filters

EDGE = Path(sys.executable).with_name("ecg-edge")
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
    """Records what a subscriber to one device receives."""

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


def stop(process):
    """Stop the service as systemd does and return its log."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=100)
    assert process.returncode == 0, log
    account = re.search(r"samples (\d+) = classified (\d+) \+ missing \((.*?)\) \+ pending 0", log)
    assert account, log
    missing = sum(int(count) for count in re.findall(r"\w+ (\d+)", account[3]))
    assert int(account[1]) == int(account[2]) + missing
    return log


def has_open(pid, path):
    return any(os.path.realpath(link) == path for link in Path(f"/proc/{pid}/fd").iterdir())


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
