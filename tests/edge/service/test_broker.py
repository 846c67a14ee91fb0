"""The service with an absent broker, its last will, and the classifier in its status."""

import os
import re

import pytest
from running import LOUD, Watcher, config_text, service, stop
from waiting import wait_until

from edge.publish.outbox_database import OutboxDatabase


def test_the_service_waits_for_an_absent_broker(tmp_path, mosquitto, tiny_bundle_path):
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


def test_the_last_will_reports_a_killed_service(tmp_path, broker, device, watcher, tiny_bundle_path):
    text = config_text(broker, device, tiny_bundle_path, '[[source]]\nkind = "serial"\nport = "/dev/none"')
    with service(tmp_path, text) as process:
        wait_until(lambda: "online" in watcher.states(), what="the service to be online")
        process.kill()
        wait_until(lambda: watcher.states()[-1] == "offline", what="the last will")


def test_alerts_wait_in_the_outbox_for_the_next_run(tmp_path, mosquitto, tiny_bundle_path):
    """A whole recording without a broker: the next run publishes its alerts, marked as historical."""
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
    database = OutboxDatabase(tmp_path / "outbox.db")
    assert database.count == 0
    database.close()


@pytest.fixture
def no_tensorrt(tmp_path, monkeypatch):
    """Make TensorRT absent for the processes that this test starts, wherever it runs."""
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "tensorrt.py").write_text("raise ImportError('No module named tensorrt')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'absent'}:{os.environ.get('PYTHONPATH', '')}")


@pytest.mark.usefixtures("no_tensorrt")
def test_without_tensorrt_the_status_names_the_fallback(tmp_path, broker, device, watcher, tiny_bundle_path):
    sources = '[[source]]\nkind = "serial"\nport = "/dev/none"\n[classifier]\nbackend = "tensorrt"\n'
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(
            lambda: any("instead of tensorrt" in classifier for classifier in watcher.classifiers()), 60, "the status"
        )
        log = stop(process)
    assert "ONNX Runtime serves instead of TensorRT: TensorRT cannot be imported" in log


@pytest.mark.usefixtures("no_tensorrt")
def test_without_tensorrt_and_fallback_it_does_not_start(tmp_path, broker, device, tiny_bundle_path):
    sources = '[[source]]\nkind = "serial"\nport = "/dev/none"\n[classifier]\nbackend = "tensorrt"\nfallback = false\n'
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        _, log = process.communicate(timeout=100)
    assert process.returncode == 1
    assert log.splitlines()[-1].startswith("ecg-edge: TensorRT cannot be imported")
