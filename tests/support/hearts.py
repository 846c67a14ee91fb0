"""Signals with known beats, for tests of quality, beats and their alarms."""

import numpy as np

RATE_HZ = 250


def beating(seconds, bpm=75.0, *, leads=2, rate=RATE_HZ, height=1.0, noise=0.01, seed=1):
    """Return (leads, samples) mV with a complex of 100 ms and a small T wave at each beat, and the beats' times."""
    times = np.arange(round(seconds * rate)) / rate
    beats = np.arange(0.5, seconds, 60.0 / bpm)
    signal = noise * np.random.default_rng(seed).standard_normal((leads, times.size))
    for beat in beats:
        signal += height * np.interp(times, [beat - 0.05, beat, beat + 0.05], [0.0, 1.0, 0.0])
        signal += 0.2 * height * np.exp(-(((times - beat - 0.25) / 0.05) ** 2))
    return signal.astype(np.float32), beats


def without_beats(seconds, *, leads=2, rate=RATE_HZ, noise=0.01, seed=2):
    """Return the signal of a heart that has stopped: noise and slow wander."""
    times = np.arange(round(seconds * rate)) / rate
    wander = 0.1 * np.sin(2 * np.pi * 0.2 * times)
    return (wander + noise * np.random.default_rng(seed).standard_normal((leads, times.size))).astype(np.float32)
