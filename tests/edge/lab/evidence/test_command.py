"""`ecg-edge evidence` from the alert log of a killed service and from a report, and its errors."""

import json
import subprocess
import sys

import pytest
from command_line import ecg_edge
from waiting import wait_until

from edge.core.output import write_json
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import alerts_topic


def evidence(*args):
    return ecg_edge("evidence", *args)


def test_the_log_of_a_killed_service_has_what_it_sent(broker, tiny_bundle_path, tmp_path):
    """The alert on the broker and the one in the log are the same, evidence included, and the ECG can be drawn."""
    log, device = tmp_path / "alerts.jsonl", f"d-{tmp_path.parent.name[-8:]}-evidence"
    config = tmp_path / "edge.toml"
    config.write_text(f"""
model = "{tiny_bundle_path}"
device = {{ id = "{device}" }}
broker = {{ host = "{broker[0]}", port = {broker[1]} }}
publish = {{ alert_log = "{log}", outbox = "{tmp_path / "outbox.db"}" }}
source = [{{ kind = "synthetic", scenario = "sinus:12,vt:60", speed = 20.0, stream = "bed-7" }}]
""")
    with (
        Subscriber(BrokerConfig(host=broker[0], port=broker[1]), [alerts_topic(device, "bed-7")]) as subscriber,
        subprocess.Popen([sys.executable, "-m", "edge", "run", "--config", config]) as service,
    ):
        message = subscriber.get(30)
        assert message is not None
        wait_until(lambda: log.is_file() and log.read_bytes().endswith(b"\n"))
        service.kill()
    alert = json.loads(message.payload)
    assert alert["data"]["evidence"]["samples"]
    assert json.loads(log.read_bytes().splitlines()[0])["payload"] == alert
    done = evidence(alert["id"][:8], "--config", str(config), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.glob(f"{alert['id']}.*")} == {".hea", ".dat", ".alarms", ".png"}


def test_the_latest_of_a_report(report, tmp_path):
    write_json(report, tmp_path / "report.json")
    done = evidence("latest", "--from", str(tmp_path / "report.json"), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["latest"], 2, "give exactly one of"),
        (["../../etc/passwd", "--broker", "localhost:1"], 1, "is not the id of an alert"),
        (["latest", "--broker", "localhost:1"], 1, "is the broker running"),
    ],
)
def test_an_error_is_one_line(args, code, text):
    done = evidence(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr.splitlines()[-1]
