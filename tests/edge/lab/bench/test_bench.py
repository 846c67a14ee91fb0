"""The bench: a real service on one core under a real load, and its figures."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edge.bundle.shipped import BUNDLES
from edge.commands.bench import bench
from edge.core.errors import BundleError
from edge.lab.bench.patients import Patient
from edge.lab.bench.search import kept_up, search_capacity
from edge.lab.bench.trial import Trial
from edge.monitor.latencies import Latency
from edge.sources.formats.mqtt_payload import PayloadStream, decode_payload

EDGE = Path(sys.executable).with_name("ecg-edge")
KEYS = {
    "streams_per_core",
    "window_latency_ms",
    "end_to_end_ms",
    "cpu_s_per_stream_hour",
    "peak_rss_mb",
    "start_s",
    "backend",
    "precision",
}


def test_a_trial_of_three_streams(tmp_path, tiny_bundle_path):
    """Broker, service and devices are real; each window of each stream is there, and nothing is lost."""
    figures = tmp_path / "bench.json"
    options = ["--no-search", "--streams", "3", "--seconds", "1", "--model", tiny_bundle_path, "--json", figures]
    run = subprocess.run([EDGE, "bench", *options], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    report = json.loads(figures.read_text())
    trial = report["trials"][0]
    assert set(report) >= KEYS
    assert report["streams_per_core"] is None
    assert report["precision"] == "fp32"
    assert trial["kept_up"]
    assert trial["windows"] >= 3
    assert (trial["shed_windows"], trial["missing"]) == (0, {})
    assert 0 < trial["window_latency_ms"]["p50"] <= trial["window_latency_ms"]["p99"]
    assert 0 < report["start_s"] < 60
    assert "3 streams" in run.stdout


def test_a_short_soak_with_a_stand_in(tmp_path):
    """The stand-in's bundle is valid, alarms come and go, and the resources of the process are read and checked."""
    model, figures = tmp_path / "stand-in", tmp_path / "soak.json"
    stand_in = Path(__file__).parents[4] / "scripts" / "lib" / "stand_in.py"
    subprocess.run([sys.executable, stand_in, BUNDLES / "rhythm", model], check=True)
    options = ["--soak", "0.02", "--speed", "30", "--streams", "2", "--model", model, "--json", figures]
    run = subprocess.run([EDGE, "bench", *options], capture_output=True, text=True)
    soak = json.loads(figures.read_text())
    assert run.returncode == bool(soak["troubles"]), run.stderr
    assert soak["windows"] >= 2 * 60
    assert soak["missing"] == {}
    assert soak["alerts"] > 0
    assert soak["points"][-1]["hours"] >= 0.02
    assert soak["rss_slope"]["low"] <= soak["rss_slope"]["per_day"] <= soak["rss_slope"]["high"]
    assert len(soak["end_to_end_ms"]) == 4
    assert "MB per day of ECG" in run.stdout


def test_a_missing_precision_is_an_error_before_anything_starts(tiny_bundle_path):
    with pytest.raises(BundleError, match="int3"):
        bench.main(["--model", str(tiny_bundle_path), "--precision", "int3"], standalone_mode=False)


def test_a_patient_has_no_end_and_no_gap():
    """Payloads follow on each other across the end of the scenario, which then starts again."""
    patient, stream, counters = Patient(9, 250.0, ("II", "V1")), None, Counter()
    stream = PayloadStream("s", counters)
    blocks = [
        block for k in range(130) for block in stream.add(decode_payload(patient.payload(250 * k, 250 * (k + 1))))
    ]
    assert [block.first_sample for block in blocks] == [250 * k for k in range(130)]
    assert all(block.samples.shape == (2, 250) and not block.missing.any() for block in blocks)
    assert (blocks[0].samples == blocks[120].samples).all()
    assert not counters


def trial(streams, capacity):
    nothing = Latency(0.0, 0.0, 0.0)
    return Trial(
        streams=streams,
        seconds=1.0,
        kept_up=streams <= capacity,
        windows=streams,
        shed_windows=max(0, streams - capacity),
        missing={},
        counters={},
        alerts=0,
        window_latency_ms=nothing,
        end_to_end_ms=nothing,
        last_sample_ms=nothing,
        cpu_share=min(1.0, streams / capacity),
        cpu_s_per_stream_hour=1.0,
        peak_rss_mb=1.0,
        start_s=1.0,
        load_behind_ms=0.0,
    )


@pytest.mark.parametrize("capacity", [1, 7, 49, 50, 173, 401, 4000, 100_000])
def test_the_search_finds_the_capacity_in_few_trials(capacity):
    trials = search_capacity(lambda streams: trial(streams, capacity), trial(50, capacity))
    found = kept_up(trials)
    assert min(capacity, 4096) / 1.07 - 1 <= found <= capacity
    assert len(trials) <= 12
    assert len({each.streams for each in trials}) == len(trials)
