"""Conditioning, which training and the device share."""

import numpy as np
from scipy import signal

from edge.signal.conditioning import LIMIT_MV, condition

RATE = 100.0
TIME = np.arange(1000) / RATE
NOTHING = np.zeros((1, 1000), np.bool_)


def ecg_like():
    return (np.sin(2 * np.pi * 8 * TIME) * (np.sin(2 * np.pi * 1.2 * TIME) > 0.9))[None].astype(np.float32)


def test_removes_offset_and_wander_and_keeps_the_beats():
    wander = (2.0 + 0.8 * np.sin(2 * np.pi * 0.1 * TIME)).astype(np.float32)
    plain, wandering = condition(ecg_like(), NOTHING, RATE), condition(ecg_like() + wander, NOTHING, RATE)
    middle = slice(200, 800)  # the first and last 2 s see the edge of the filter
    assert np.abs(plain - wandering)[:, middle].max() < 0.05
    assert np.ptp(plain) > 0.9 * np.ptp(ecg_like())


def test_leads_do_not_influence_each_other():
    leads = np.concatenate([ecg_like(), 5 * ecg_like()])
    together = condition(leads, np.zeros(leads.shape, np.bool_), RATE)
    np.testing.assert_array_equal(together[:1], condition(leads[:1], NOTHING, RATE))


def test_missing_samples_have_no_influence_and_become_zero():
    missing = NOTHING.copy()
    missing[0, 300:360] = True
    spoiled = ecg_like()
    spoiled[0, 300:360] = np.nan
    outputs = condition(ecg_like(), missing, RATE), condition(spoiled, missing, RATE)
    np.testing.assert_array_equal(*outputs)
    assert not outputs[0][0, 300:360].any()


def test_a_lead_that_is_missing_throughout_is_zero():
    assert not condition(ecg_like(), ~NOTHING, RATE).any()


def test_limits_the_amplitude():
    spike = ecg_like()
    spike[0, 500] = 900.0
    assert np.abs(condition(spike, NOTHING, RATE)).max() == LIMIT_MV


def test_is_the_documented_filter():
    sos = signal.butter(2, 0.5, "highpass", fs=RATE, output="sos")
    samples = ecg_like()
    expected = signal.sosfiltfilt(sos, samples - samples.mean(dtype=np.float64))
    np.testing.assert_allclose(condition(samples, NOTHING, RATE), expected, atol=1e-6)
