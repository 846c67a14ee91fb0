"""Spectral and complexity features of 5 s of one lead, and the logistic regression on them (`spectrum.npz`).

How narrow the spectrum is and where it peaks, how much of the time the signal is far from its middle, how it moves,
how it repeats. Sources of the measures: M. A. Arafat et al. (TCSC), Signal
Image Video Process 2011;5:1; B. Hjorth, Electroenceph Clin Neurophysiol 1970;29:306.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
_BANDS_HZ = ((0.5, 2.0), (2.0, 4.0), (4.0, 7.0), (7.0, 12.0), (12.0, 25.0))
_POINTS = 1024
_NEAR_PEAK = 8  # bins to each side
_LIMIT = 5.0  # of a standardised feature


def features(windows: Array, period_s: Array, strength: Array) -> Array:
    """Return (windows, features), each value and its square.

    Parameters
    ----------
    windows : (windows, samples) mV at 100 Hz
    period_s, strength : of the autocorrelation, see `edge/beats/fibrillation.py`
    """
    spread = windows.std(axis=1, keepdims=True) + 0.02
    x = (windows - windows.mean(axis=1, keepdims=True)) / spread
    values = np.stack([*_spectral(x), *_moving(x), np.minimum(period_s, 2.0), strength, np.log(spread[:, 0])], axis=1)
    return np.concatenate([values, values**2], axis=1)


def _spectral(x: Array) -> list[Array]:
    """Return peak, share near the peak, entropy and shares of the bands; each (windows,)."""
    power = np.abs(np.fft.rfft(x * np.hanning(x.shape[1]).astype(np.float32), _POINTS, axis=1)) ** 2
    frequency = np.fft.rfftfreq(_POINTS, 0.01)
    power = power / np.maximum(power.sum(axis=1, keepdims=True), 1e-12)
    peak = power[:, :200].argmax(axis=1)
    around = np.clip(peak[:, None] + np.arange(-_NEAR_PEAK, _NEAR_PEAK + 1), 0, power.shape[1] - 1)
    near = np.take_along_axis(power, around, axis=1).sum(axis=1)
    entropy = -(power * np.log(power + 1e-9)).sum(axis=1)
    shares = [power[:, (frequency >= low) & (frequency < high)].sum(axis=1) for low, high in _BANDS_HZ]
    return [frequency[peak], near, entropy, *shares]


def _moving(x: Array) -> list[Array]:
    """Return kurtosis, mobility, complexity (Hjorth), shares of time far out (TCSC) and at rest, mean size."""
    step = np.diff(x, axis=1)
    bend = np.diff(step, axis=1)
    mobility = np.maximum(np.sqrt((step**2).mean(axis=1)), 1e-6)
    complexity = np.sqrt((bend**2).mean(axis=1)) / mobility**2
    return [
        np.log((x**4).mean(axis=1) + 1e-6),
        np.log(mobility),
        np.log(complexity + 1e-3),
        (np.abs(x) > 0.5).mean(axis=1),
        (np.abs(step) < 0.05).mean(axis=1),
        np.abs(x).mean(axis=1),
    ]


class SpectrumModel:
    """The logistic regression; `spectrum.npz` holds centre, spread, weight (features,) and bias (1,)."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as held:
            self._centre, self._spread, self._weight = held["centre"], held["spread"], held["weight"]
            self._bias = float(held["bias"][0])

    def probabilities(self, windows: Array, period_s: Array, strength: Array) -> Array:
        """Return (windows,) probability of VT, VF or flutter."""
        scaled = (features(windows, period_s, strength) - self._centre) / self._spread
        result: Array = 1 / (1 + np.exp(-(np.clip(scaled, -_LIMIT, _LIMIT) @ self._weight + self._bias)))
        return result
