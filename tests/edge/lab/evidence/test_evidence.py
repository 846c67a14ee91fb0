"""The evidence of an alert: what the model saw, of limited size, and only for windows with an event."""

from contextlib import nullcontext
from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest
from hearts import beating
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarms.evidence import FLOOR, MAX_PROBABILITIES, MAX_SAMPLES, Evidence, window_evidence
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import BundleRef, InputSpec
from edge.core.leads import LEADS
from edge.core.samples import Block, Cause
from edge.monitor import stream_monitor
from edge.monitor.model import Model
from edge.monitor.stream_monitor import StreamMonitor
from edge.publish.cloud_events import AlertEvent, alert_event
from edge.publish.payloads import MAX_PAYLOAD_BYTES, decode, encode
from edge.signal.windows import Window

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
LIMIT_MV = 10.0
SPEC = InputSpec(sample_rate_hz=100, window_s=10, hop_s=1, min_coverage=0.9)


def window(signal, cause=Cause.PRESENT):
    places = tuple(range(len(signal)))
    return Window(
        first_sample=0,
        end_sample=2500,
        settled_sample=250,
        cause=cause,
        overload=False,
        spec=SPEC,
        positions=places,
        signal=signal.astype(np.float32),
        all_positions=places,
        present=np.ones(len(places)),
    )


@given(st.integers(1, 12), st.integers(1, 6000), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_samples_are_those_of_the_window_to_half_a_microvolt(leads, samples, seed):
    signal = np.random.default_rng(seed).uniform(-LIMIT_MV, LIMIT_MV, (leads, samples))
    shown = window_evidence(window(signal), np.array([0.5], np.float32), ("A",), 100.0).signal_mv()
    assert shown.size <= MAX_SAMPLES
    assert shown.shape == (leads, min(samples, MAX_SAMPLES // leads))
    np.testing.assert_allclose(shown, signal[:, -shown.shape[1] :], atol=0.00051)


def test_probabilities_are_named_and_bounded():
    outputs = np.linspace(0, 1, 1000, dtype=np.float32)
    names = [f"L{index}" for index in range(1000)]
    named = window_evidence(window(np.zeros((1, 10))), outputs, names, 100.0).probabilities
    assert list(named) == names[-MAX_PROBABILITIES:]
    few = window_evidence(window(np.zeros((1, 10))), np.array([0.5, FLOOR / 2, 0.03], np.float32), "ABC", 100.0)
    assert few.probabilities == {"A": 0.5, "C": 0.03}


class Patient:
    """A stream of loud or quiet windows for the tiny bundle, one second a step."""

    def __init__(self, bundle, leads=("II", "V1")):
        self.leads = leads
        manifest = bundle.manifest
        model = Model(manifest, nullcontext, alarm_specs(manifest.labels))  # its graph is never run
        self.monitor = StreamMonitor(self.block(0, 0), "e", model, (model.input,))
        self.seconds = 0

    def block(self, seconds, first):
        samples, _ = beating(seconds, leads=len(self.leads), rate=100, seed=first)
        return Block("s", 100.0, self.leads, first, samples, np.zeros(samples.shape, np.uint8), first / 100.0)

    def listen(self, seconds, probability):
        """Yield the events and the window of each decision."""
        block = self.block(seconds, 100 * self.seconds)
        self.seconds += seconds
        for got in self.monitor.push(block):
            outputs = np.full(4, probability, np.float32)
            outputs[3] = 0.0
            yield self.monitor.decide(got, outputs)[1], got


def test_an_alert_of_twelve_leads_fits_a_message(tiny_bundle):
    patient = Patient(tiny_bundle, LEADS)
    (events, got), *_ = [pair for pair in patient.listen(14, 0.9) if pair[0]]
    bundle = BundleRef(name="b", version="1", sha256="0" * 64)
    alert = alert_event(events[0], device="d", sample_rate_hz=100.0, bundle=bundle, time=NOON)
    raw = encode(alert)
    assert 32_000 < len(raw) < MAX_PAYLOAD_BYTES
    again = decode(raw, AlertEvent)
    assert again == alert
    np.testing.assert_allclose(again.data.evidence.signal_mv(), got.signal, atol=0.00051)
    small = alert_event(events[0], device="d", sample_rate_hz=100.0, bundle=bundle, time=NOON, evidence=False)
    assert len(encode(small)) < 2000


def test_a_window_without_an_event_makes_no_evidence(tiny_bundle, monkeypatch):
    made = []

    def count(*args):
        made.append(window_evidence(*args))
        return made[-1]

    monkeypatch.setattr(stream_monitor, "window_evidence", count)
    patient = Patient(tiny_bundle)
    quiet = [events for events, _ in patient.listen(40, 0.1)]
    assert (len(quiet), made) == (31, [])
    loud = [events for events, _ in patient.listen(10, 0.9) if events]
    assert len(made) == len(loud) == 2  # VT at once, AF after its delay
    assert [event.evidence for events in loud for event in events] == made
    assert all(event.evidence is None for event in patient.monitor.close())


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": bytes(2 * MAX_SAMPLES + 2)},
        {"sample_rate_hz": 1.0},
        {"units_per_mv": 0},
        {"leads": [{"lead": "../II", "kept": True, "present": 1.0}]},
        {"more": 1},
    ],
)
def test_malformed_evidence_is_refused(raised, changes):
    raw = msgspec.to_builtins(raised.evidence) | changes
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(raw), type=Evidence)
