"""Noise after `nst`: its SNR measured again in the result, its periods, and the joins between them."""

import numpy as np
import pytest
import wfdb

from edge.core.errors import RecordError
from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.noise import (
    NoisyRecording,
    added_noise,
    noise_gains,
    noise_rms,
    noisy_spans,
    qrs_heights,
    read_noise,
)
from edge.sources.recordings import open_recording


def test_noisy_periods():
    assert noisy_spans(1000.0).tolist() == [[300, 420], [540, 660], [780, 900]]
    assert noisy_spans(1805.5).tolist()[-1] == [1740, 1805.5]
    assert noisy_spans(300.0).size == 0


def test_a_sine_as_high_as_the_beats_has_0_db():
    """At 0 dB the noise has the power of a sine of the QRS complexes' height: height / sqrt(8) RMS."""
    rate = 100
    signal = np.zeros((1, 1000), np.float32)
    beats = np.arange(50, 1000, 100)
    signal[:, beats] = 2.0
    heights = qrs_heights(signal, beats, rate)
    assert heights == pytest.approx([2.0])
    sine = np.sin(2 * np.pi * np.arange(1000) / 20)[None]
    assert noise_gains(heights, noise_rms(sine, rate), 0.0) == pytest.approx([1.0])
    assert noise_gains(heights, noise_rms(sine, rate), -6.0) == pytest.approx([10**0.3])


def test_outliers_are_trimmed():
    rate = 100
    signal = np.zeros((1, 10_000), np.float32)
    beats = np.arange(50, 10_000, 100)
    signal[:, beats] = 1.0
    signal[:, beats[:5]] = 50.0
    assert qrs_heights(signal, beats, rate) == pytest.approx([1.0])


def test_periods_join_without_a_step():
    noise = np.random.default_rng(0).standard_normal((2, 700))
    added = added_noise(noise, np.array([[1.0, 2.0], [7.5, 9.0]]), 1000, 100.0)
    assert not added[:, :100].any()
    np.testing.assert_allclose(np.diff(added[:, 100:200]), np.diff(noise[:, 100:200]))
    assert (np.diff(added[:, 200:750]) == 0).all()  # the last value stays
    np.testing.assert_allclose(np.diff(added[:, 751:900]), np.diff(noise[:, 51:200]))  # the noise began again


def test_a_flat_signal_or_no_beat_is_an_error():
    with pytest.raises(RecordError, match="have no height"):
        noise_gains(np.array([1.0]), np.array([0.0]), 0.0)
    with pytest.raises(RecordError, match="needs annotated beats"):
        qrs_heights(np.zeros((1, 100), np.float32), np.zeros(0, np.int64), 100)


def test_a_noise_record_of_another_rate_is_refused(tmp_path):
    wfdb.wrsamp("n", 250, ["mV"], ["noise1"], p_signal=np.ones((500, 1)), fmt=["16"], write_dir=str(tmp_path))
    with pytest.raises(RecordError, match="250 Hz, but records at 360"):
        read_noise(tmp_path / "n", 360.0)
    with pytest.raises(RecordError, match="cannot be read"):
        read_noise(tmp_path / "m", 360.0)


def test_muscle_noise_on_record_118_has_the_requested_power(data_dir):
    """The noise that was really added is measured in the output, against the QRS height in the input."""
    clean = open_recording("mitdb/118")
    annotation = read_annotation(data_dir / "mitdb/118")
    noisy = NoisyRecording(clean, annotation, read_noise(data_dir / "nstdb/ma", 360.0), -6.0)
    before, after = (np.concatenate([b.adc for b in r.adc_blocks()], axis=1) / 200.0 for r in (clean, noisy))
    added = after - before
    assert not added[:, : 300 * 360].any()
    assert noisy.samples == clean.samples == after.shape[1]
    heights = qrs_heights(before, np.rint(annotation.times_s * 360).astype(int), 360.0)
    rms = added[:, 300 * 360 : 420 * 360].reshape(2, 120, 360).std(axis=2).mean(axis=1)
    snr_db = 10 * np.log10(heights**2 / 8 / rms**2)
    assert snr_db == pytest.approx([-6.0, -6.0], abs=2.0)  # these two minutes are not the five that set the gain
