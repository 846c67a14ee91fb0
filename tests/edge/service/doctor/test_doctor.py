"""`ecg-edge doctor` on this machine, with a real Mosquitto, with and without TLS."""

import gc
import json
import subprocess

import pytest
from command_line import ecg_edge
from waiting import free_port

from edge.mqtt.client import BrokerConfig
from edge.service.doctor.broker import check_broker, probe_broker


def diagnose(tmp_path, text):
    """Return the exit code, the findings by check, and what was printed."""
    path, out = tmp_path / "c.toml", tmp_path / "report.json"
    path.write_text(text)
    result = ecg_edge("doctor", "--config", path, "--json", out)
    report = json.loads(out.read_text())
    found = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    assert report["ok"] == (result.returncode == 0)
    assert sum(report["counts"].values()) == len(report["findings"])
    return result.returncode, found, result.stdout


def test_a_machine_without_failures(tmp_path, broker, tiny_bundle_path):
    code, found, printed = diagnose(
        tmp_path,
        f"""
model = "{tiny_bundle_path}"
[broker]
host = "{broker[0]}"
port = {broker[1]}
[publish]
outbox = "{tmp_path}/outbox.db"
[[source]]
kind = "mqtt"
""",
    )
    assert code == 0, printed
    assert {"configuration", "python", "accelerator", "bundle", "golden windows", "broker", "clock", "disk"} < set(
        found
    )
    assert found["broker"][0]["level"] == "ok"
    assert f"{broker[0]}:{broker[1]}: accepts us" in printed


def test_each_failure_has_a_fix(tmp_path, tiny_bundle_path):
    code, found, printed = diagnose(
        tmp_path,
        f"""
model = "{tiny_bundle_path}"
[classifier]
precision = "int8"
[broker]
host = "127.0.0.1"
port = {free_port()}
[publish]
outbox = "{tmp_path}/none/outbox.db"
[[source]]
kind = "serial"
port = "usb-that-is-not-there"
""",
    )
    assert code == 1
    for check in ("golden windows", "broker", "disk", "serial ports"):
        assert [finding["level"] for finding in found[check]] == ["fail"], check
        assert found[check][0]["mend"] in printed


def test_a_configuration_that_cannot_be_read_is_a_finding(tmp_path):
    code, found, _ = diagnose(tmp_path, "[brokr]\n[[source]]\nkind = 'synthetic'")
    assert code == 1
    assert "did you mean `broker`" in found["configuration"][0]["what"]
    assert "golden windows" in found, "the rest is checked all the same"


@pytest.fixture
def certificate(tmp_path):
    """Return a function that makes a certificate for a host, valid for ten days, and its key."""

    def make(host):
        path = tmp_path / f"{host}.pem"
        command = f"openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 10 -subj /CN={host}"
        files = ["-addext", f"subjectAltName=DNS:{host}", "-keyout", path.with_suffix(".key"), "-out", path]
        subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=30)
        return path

    return make


def with_tls(mosquitto, certificate):
    """Start the broker anew with a certificate; return how to probe it by the name localhost."""
    mosquitto.stop()
    mosquitto._config.write_text(
        f"user root\nlistener {mosquitto.port} 127.0.0.1\nallow_anonymous true\n"
        f"certfile {certificate}\nkeyfile {certificate.with_suffix('.key')}\n"
    )
    mosquitto.start()
    return BrokerConfig(host="localhost", port=mosquitto.port, ca_file=str(certificate))


def test_a_certificate_that_ends_soon(mosquitto, certificate):
    config = with_tls(mosquitto, certificate("localhost"))
    probe = probe_broker(config, "ecg-nat/v1/x/+/commands")
    assert probe.trouble == ""
    taken, ends = check_broker(probe, probe.expires_s - 10 * 86_400)
    assert (taken.level, ends.level) == ("ok", "warn")
    assert "expires in 10 days" in ends.message


def test_the_devices_own_certificate_is_read(mosquitto, certificate):
    own = certificate("localhost")
    config = with_tls(mosquitto, own)
    with_own = BrokerConfig(
        host="localhost",
        port=mosquitto.port,
        ca_file=str(own),
        cert_file=str(own),
        key_file=str(own.with_suffix(".key")),
    )
    probe = probe_broker(with_own, "x")
    assert probe.own == str(own)
    assert probe.own_expires_s == probe.expires_s == probe_broker(config, "x").expires_s


@pytest.mark.filterwarnings("ignore:Exception ignored in. <(ssl.SSLS|s)ocket")  # paho does not close its sockets
def test_a_certificate_for_another_host(mosquitto, certificate):
    config = with_tls(mosquitto, certificate("elsewhere"))
    (finding,) = check_broker(probe_broker(config, "x"), 0.0)
    assert finding.level == "fail"
    assert "certificate" in finding.message
    assert "host" in finding.message
    gc.collect()
