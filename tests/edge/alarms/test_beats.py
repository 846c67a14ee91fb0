"""Alarms of the beats, from samples to events: a heart that stops, is slow or fast, and signals that only look so."""

import numpy as np
import pytest
from hearts import RATE_HZ, beating, without_beats

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import InputSpec
from edge.core.errors import ConfigError
from edge.core.samples import Cause
from edge.signal.windows import WindowStream

SPEC = InputSpec(sample_rate_hz=100, window_s=10, hop_s=1, min_coverage=0.9)


def raised(signal, missing=None, overrides=None):
    """Return label and stream time of each alarm that the samples raise, with a model without labels."""
    stream = WindowStream(SPEC, RATE_HZ, ("II", "V1"))
    machine = AlarmMachine("s", "e", alarm_specs((), overrides))
    missing = np.zeros(signal.shape, np.uint8) if missing is None else missing
    events = []
    for window in stream.push(signal, missing):
        good = window.cause is Cause.PRESENT
        events += machine.step(
            Decision(
                stream="s",
                first_sample=window.first_sample,
                end_sample=window.end_sample,
                end_s=window.end_sample / RATE_HZ,
                cause=window.cause,
                leads=window.leads,
                probabilities=np.zeros(0, np.float32) if good else None,
                heart_rate=window.heart_rate,
            )
        )
    return {event.spec.label: event.end_s for event in events if event.kind == "raised"}


def join(*parts):
    return np.concatenate(parts, axis=1)


def test_a_heart_that_stops_raises_asystole_within_six_seconds():
    alarms = raised(join(beating(20)[0], without_beats(20)))
    assert set(alarms) == {"ASYSTOLE"}
    assert 23 < alarms["ASYSTOLE"] <= 26


def test_a_line_that_goes_flat_raises_asystole_and_poor_signal():
    noise = np.random.default_rng(0).normal(0, 0.0005, (2, 20 * RATE_HZ)).astype(np.float32)
    assert set(raised(join(beating(20)[0], noise))) == {"ASYSTOLE", "POOR_SIGNAL"}


def test_a_constant_is_no_stopped_heart():
    """A dropout that is stored as a constant once raised asystole, and bradycardia when the signal came back."""
    constant = np.zeros((2, 8 * RATE_HZ), np.float32)
    assert set(raised(join(beating(20)[0], constant, beating(20)[0]))) == {"POOR_SIGNAL"}


def test_an_electrode_that_is_off_is_technical_alone():
    signal = join(beating(20)[0], np.zeros((2, 20 * RATE_HZ), np.float32))
    missing = np.zeros(signal.shape, np.uint8)
    missing[:, 20 * RATE_HZ :] = Cause.LEAD_OFF
    assert set(raised(signal, missing)) == {"LEAD_OFF"}
    assert set(raised(join(beating(20)[0], np.full((2, 20 * RATE_HZ), 5.0, np.float32)))) == {"POOR_SIGNAL"}


def test_a_stream_that_never_had_a_beat_is_not_monitored():
    assert set(raised(np.zeros((2, 30 * RATE_HZ), np.float32))) == {"POOR_SIGNAL"}


def test_slow_and_fast_hearts():
    assert set(raised(beating(40, 33)[0])) == {"EXTREME_BRADY"}
    assert set(raised(beating(40, 170)[0])) == {"EXTREME_TACHY"}
    assert not raised(beating(40, 75)[0])


def test_limits_are_configured():
    assert set(raised(beating(40, 75)[0], overrides={"EXTREME_TACHY": AlarmOverride(above_bpm=70.0)})) == {
        "EXTREME_TACHY"
    }
    with pytest.raises(ConfigError, match="set pause_s of ASYSTOLE"):
        alarm_specs((), {"EXTREME_BRADY": AlarmOverride(pause_s=5.0)})
    with pytest.raises(ConfigError, match="not in 2 to 30"):
        alarm_specs((), {"ASYSTOLE": AlarmOverride(pause_s=0.5)})


def test_noise_raises_no_alarm_of_the_beats():
    loud = np.random.default_rng(5).standard_normal((2, 30 * RATE_HZ)).astype(np.float32)
    assert set(raised(join(beating(20)[0], beating(30)[0] + loud))) == {"POOR_SIGNAL"}


def test_a_high_lead_that_fades_does_not_hide_the_beats_of_a_lower_one():
    """Record 116 of MIT-BIH raised asystole and bradycardia so: one lead fell from 3.5 mV to 0.2, the other had 0.9."""
    signal, _ = beating(40)
    signal[0] *= np.interp(np.arange(signal.shape[1]) / RATE_HZ, [20, 23, 28, 31], [4.0, 0.1, 0.1, 4.0])
    signal[1] *= 0.8
    assert not raised(signal)
