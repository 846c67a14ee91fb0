"""The same alerts over every transport and at any speed, and exact reports of faulty input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from command_line import ecg_edge
from waiting import wait_until

from edge.alarms.evidence import FLOOR
from edge.core.errors import BrokerError, BundleError, EdgeError, RecordError
from edge.core.samples import Cause
from edge.lab import transports
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.report import Report
from edge.mqtt.client import BrokerConfig
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.mqtt_payload import decode_payload
from edge.sources.recordings import open_recording

EDGE = Path(sys.executable).with_name("ecg-edge")
SCENARIO = "synthetic:sinus:15,af:20,noise:14,lead_off:9,vt:12,sinus:12"


def same_alerts(one, other):
    """Check that two reports are equal, samples included, except for 1e-5 in a probability (and its rounding)."""
    assert len(one.alerts) == len(other.alerts)
    for a, b in zip(one.alerts, other.alerts, strict=True):
        assert a.probability == pytest.approx(b.probability, abs=1e-5)
        assert (a.evidence is None) == (b.evidence is None)
        if a.evidence is not None:
            likely, other_likely = a.evidence.probabilities, b.evidence.probabilities
            for label in likely | other_likely:
                assert likely.get(label, FLOOR) == pytest.approx(other_likely.get(label, FLOOR), abs=1.1e-4)
        assert without_probabilities(a) == without_probabilities(b)


def without_probabilities(alert):
    evidence = alert.evidence and msgspec.structs.replace(alert.evidence, probabilities={})
    return msgspec.structs.replace(alert, probability=None, evidence=evidence)


def balanced(report):
    return report.samples_in == report.classified + sum(report.missing.values()) + report.pending


@pytest.fixture
def run(tiny_bundle, broker):
    address = BrokerConfig(host=broker[0], port=broker[1])

    def run(recording, record="r", **options):
        if isinstance(recording, str):
            record, recording = recording, open_recording(recording)
        return replay_recording(recording, tiny_bundle, ReplayConfig(record=record, broker=address, **options))

    return run


class Beginning:
    """The first minutes of a recording."""

    def __init__(self, recording, *, minutes):
        self.spec = recording.spec
        self.samples = round(60 * minutes * recording.spec.sample_rate_hz)
        self._recording = recording

    def adc_blocks(self):
        for block in self._recording.adc_blocks():
            count = min(block.end_sample, self.samples) - block.first_sample
            last = block.end_sample >= self.samples
            yield AdcBlock(
                block.first_sample, block.adc[:, :count], block.missing[:, :count], block.device_us, last=last
            )
            if last:
                return


@pytest.mark.parametrize("record", [SCENARIO, "mitdb/207"])
def test_equal_alerts_over_every_transport(run, data_dir, record):
    recording = open_recording(record)
    if record.startswith("mitdb"):
        recording = Beginning(recording, minutes=5)  # bigeminy, LBBB and ventricular flutter
    direct, serial, mqtt = (run(recording, record, via=via) for via in ("direct", "serial", "mqtt"))
    assert len(direct.alerts) >= 4
    same_alerts(direct, serial)
    same_alerts(direct, mqtt)
    for report in (direct, serial, mqtt):
        assert balanced(report)
        assert report.pending == 0
        assert report.samples_in == direct.samples_in
        assert report.missing == direct.missing
        assert not any(report.counters.values())


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
def test_equal_alerts_at_any_speed(run, via):
    fast, slow = run(SCENARIO, via=via), run(SCENARIO, via=via, speed=40)
    same_alerts(fast, slow)
    assert slow.realtime_factor <= 40


class Integers:
    """A recording made of given integers; `missing` holds the cause of each missing sample."""

    def __init__(self, adc, *, rate=250, leads=("II",), missing=None):
        self.spec = AdcSpec(leads, rate, (200.0,) * len(leads), (0,) * len(leads))
        self._adc = np.asarray(adc, np.int32).reshape(len(leads), -1)
        self._missing = np.zeros(self._adc.shape, np.uint8) if missing is None else missing
        self.samples = self._adc.shape[1]

    def adc_blocks(self):
        for first in range(0, self.samples, 100):
            part = slice(first, first + 100)
            yield AdcBlock(
                first, self._adc[:, part], self._missing[:, part], first * 4000, last=first + 100 >= self.samples
            )


def wave(seconds, rate=250):
    return (60 * np.sin(2 * np.pi * 8 * np.arange(int(seconds * rate)) / rate)).astype(int)


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
def test_samples_without_a_value_are_missing_over_every_transport(run, via):
    missing = np.zeros((1, 60 * 250), np.uint8)
    missing[:, 5000:5500] = Cause.INVALID
    missing[:, 9000:9100] = Cause.LEAD_OFF
    report = run(Integers(wave(60), missing=missing), via=via)
    assert report.missing == {"invalid": 500, "lead_off": 100}
    assert balanced(report)


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
@pytest.mark.parametrize("spec", [{"leads": ("resp",)}, {"rate": 40}, {"rate": 130.061}])
def test_leads_and_rates_that_cannot_be_used_are_one_clear_error(run, via, spec):
    with pytest.raises(EdgeError) as caught:
        run(Integers(wave(12), **spec), via=via)
    assert "\n" not in str(caught.value)


def test_a_recording_that_fails_midway_does_not_hang_the_replay(run):
    class Failing(Integers):
        def adc_blocks(self):
            yield from list(super().adc_blocks())[:20]
            raise RecordError("the disk is gone")

    for via in ("direct", "serial", "mqtt"):
        with pytest.raises(RecordError, match="the disk is gone"):
            run(Failing(wave(30)), via=via)


def test_a_broker_that_is_absent_is_one_clear_error(tiny_bundle):
    config = ReplayConfig(record="r", via="mqtt", broker=BrokerConfig(port=1))
    with pytest.raises(BrokerError, match="is the broker running"):
        replay_recording(Integers(wave(12)), tiny_bundle, config)


@pytest.mark.timeout(300)  # ten seconds on an idle machine
@pytest.mark.parametrize("part", range(6))  # so that several workers share the records
def test_every_record_of_mit_bih_goes_through_and_balances(run, data_dir, part):
    records = sorted((data_dir / "mitdb").glob("*.dat"))
    assert len(records) >= 26
    for path in records[part::6]:
        report = run(str(path.with_suffix("")))
        assert balanced(report), path
        assert report.pending == 0
        assert report.samples_in == 650_000
        assert report.windows == 1796 + 1  # the last one holds 9.6 s
        assert report.realtime_factor > 0


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(transports, "_STALL_TIMEOUT_S", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_dies_midway_is_one_clear_error(mosquitto, tiny_bundle):
    def progress(seconds):
        if seconds > 5:
            mosquitto.stop()

    config = ReplayConfig(record="r", via="mqtt", broker=BrokerConfig(host=mosquitto.host, port=mosquitto.port))
    with pytest.raises(BrokerError, match="no samples came back"):
        replay_recording(Integers(wave(600)), tiny_bundle, config, progress=progress)


@pytest.mark.usefixtures("impatient")
def test_a_last_payload_that_the_broker_lost_does_not_hang_the_replay(monkeypatch, run):
    publish = mqtt.Client.publish

    def lose_the_last(client, topic, payload, **options):
        if not decode_payload(payload).last:
            publish(client, topic, payload, **options)

    monkeypatch.setattr(mqtt.Client, "publish", lose_the_last)
    with pytest.raises(BrokerError, match="no samples came back"):
        run(Integers(wave(20)), via="mqtt")


class Broken:
    """A classifier that fails."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def classify(self, signal, keep):
        raise BundleError("the device is gone")


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
def test_a_classifier_that_fails_midway_leaves_no_sender_behind(monkeypatch, run, via):
    monkeypatch.setattr("edge.lab.replay.open_classifier", lambda *_: Broken())
    with pytest.raises(BundleError, match="the device is gone"):
        run(Integers(wave(3600)), via=via)
    assert not [thread for thread in threading.enumerate() if thread.name == "replay-sender"]


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
def test_the_missing_part_of_a_short_file_is_counted_over_every_transport(run, data_dir, tmp_path, via):
    for extension in ("hea", "dat"):
        shutil.copy(data_dir / f"mitdb/208.{extension}", tmp_path)
    os.truncate(tmp_path / "208.dat", 360 * 60 * 3)  # one of thirty minutes; format 212 has 3 bytes an instant
    report = run(str(tmp_path / "208"), via=via)
    assert (report.samples_in, report.classified) == (650_000, 360 * 60)
    assert report.missing == {"sequence_gap": 650_000 - 360 * 60}


def test_the_command_writes_the_report(tiny_bundle_path, tmp_path):
    out = tmp_path / "report.json"
    result = ecg_edge("replay", SCENARIO, "--model", str(tiny_bundle_path), "--json", str(out))
    assert result.returncode == 0, result.stderr
    assert "times real time" in result.stdout
    report = msgspec.json.decode(out.read_bytes(), type=Report)
    assert balanced(report)
    assert report.bundle.name == "tiny"
    assert report.latency_ms.p50 <= report.latency_ms.p99 <= report.latency_ms.max
    assert report.peak_rss_mb > 10
    assert {alert.label for alert in report.alerts} >= {"LEAD_OFF"}


def test_json_on_standard_output_is_json_alone(tiny_bundle_path):
    result = ecg_edge("replay", "synthetic:sinus:12", "--model", str(tiny_bundle_path), "--json", "-")
    assert json.loads(result.stdout)["record"] == "synthetic:sinus:12"


def test_without_a_broker_it_starts_its_own(tiny_bundle_path):
    result = ecg_edge("replay", SCENARIO, "--via", "mqtt", "--publish", "--model", str(tiny_bundle_path))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["replay", "mitdb/no-such-record"], "no-such-record"),
        (["replay", "no such record"], "no such record"),
        (["replay", "synthetic:sinsu:10"], "did you mean 'sinus'"),
        (["replay", "synthetic", "--model", "no-such-bundle"], "no bundle"),
        (["replay", "synthetic", "--via", "mqtt", "--broker", "localhost:1"], "is the broker running"),
        (["demo", "synthetic:sinus"], "RHYTHM:SECONDS"),
        (["run", "--config", "no-such-file.toml"], "no-such-file.toml"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(arguments, word, tiny_bundle_path):
    if arguments[0] == "replay" and "--model" not in arguments:
        arguments = [*arguments, "--model", str(tiny_bundle_path)]
    result = ecg_edge(*arguments)
    assert result.returncode == 1
    assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "x", "--speed", "0"],
        ["replay", "x", "--via", "pigeon"],
        ["replay", "synthetic", "--json", "no-such-folder/report.json"],  # was told after the replay, by a traceback
    ],
)
def test_bad_usage_exits_with_2(arguments):
    assert ecg_edge(*arguments).returncode == 2


@pytest.mark.parametrize("via", ["direct", "serial", "mqtt"])
def test_ctrl_c_ends_a_replay_cleanly_and_still_reports(tiny_bundle_path, tmp_path, via):
    out = tmp_path / "report.json"
    arguments = ["replay", "synthetic:sinus:600", "--speed", "20", "--via", via, "--json", str(out)]
    process = subprocess.Popen(
        [EDGE, *arguments, "--model", str(tiny_bundle_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: _catches_sigterm(process.pid), what="the command to be ready for signals")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    report = msgspec.json.decode(out.read_bytes(), type=Report)
    assert balanced(report)
    assert report.pending == 0
    assert report.seconds < 600


def _catches_sigterm(pid):
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
