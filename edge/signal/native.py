"""Filters and measures at the native rate: a second at a time, all leads at once.

The filters keep their state from second to second, so the cut of the stream into blocks makes no difference.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy  # not `scipy.signal`: scipy imports it on first use, as it takes most of a second
from numpy.typing import NDArray

QRS_HZ = (5.0, 15.0)  # Pan and Tompkins 1985
MUSCLE_HZ = (20.0, 45.0)  # above P and T waves, below mains
HIGH_PASS_HZ = 0.5
MAINS_HZ = (50.0, 60.0)
_SLOPE_S, _LENGTH_S = 0.12, 0.13  # moving averages of the two features
_PIECES = 13  # of a second: a complex fills one or two, so the median piece lies between complexes
_MIDDLE = _PIECES // 2
_STAY_S = 0.02  # shorter stays at an extreme are ignored
_MAINS_BELOW = 0.48  # of the sample rate: a higher frequency cannot be measured
_COMPLEX_S = 0.1  # width of the triangle that calibrates the features
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one second; arrays are (leads,) in mV unless a comment says otherwise."""

    features: Array  # (2 leads, samples): slope in the QRS band, then curve length; a QRS triangle of 1 mV gives 1
    extent: Array  # from peak to peak
    level: Array  # mean, with offset and wander
    stuck_s: Array  # longest stay at the highest or the lowest value of the second
    beyond: Array  # part of the second, 0 to 1, that is further than `limit_mv` from 0 after the high-pass
    drift: Array  # distance of short pieces from 0 after the high-pass: the median
    muscle: Array  # RMS in the muscle band between the complexes: the median of short pieces
    muscle_peak: Array  # the same of the strongest piece: a complex, if there is one
    between: Array  # as `muscle`, in the QRS band
    mains: Array  # amplitude of the stronger of 50 and 60 Hz
    moments: Array  # (2, leads): sums of the 2nd and 4th powers in the QRS band


class NativeFilters:
    """Filters of one stream.

    Parameters
    ----------
    leads : number of leads
    sample_rate_hz : native rate; a second has `self.samples` samples
    limit_mv : see `Measures.beyond`
    """

    def __init__(self, leads: int, sample_rate_hz: float, limit_mv: float) -> None:
        self.samples = round(sample_rate_hz)
        self._design = _design(sample_rate_hz)
        self._limit_mv = limit_mv
        self._offset: Array | None = None
        self._state = [np.zeros((leads, max(len(b), len(a)) - 1)) for b, a in self._design.bands]
        self._before = np.zeros((leads, 1))  # last sample
        self._tails = [np.zeros((leads, taps)) for taps in self._design.averages]

    def push(self, second: Array) -> Measures:
        """Take the next (leads, samples) second in mV, without gaps."""
        if self._offset is None:
            self._offset = second[:, :1].copy()  # the filters start at rest, so the first sample should be 0
        centred = second - self._offset
        high, slope, muscle = (self._filter(number, centred) for number in range(3))
        steps = np.abs(centred - np.concatenate([self._before, centred[:, :-1]], axis=1))
        self._before = centred[:, -1:].copy()
        features = np.concatenate([self._average(0, np.abs(slope)), self._average(1, steps)])
        top, bottom = second.max(axis=1), second.min(axis=1)
        pieces, between = _rms_pieces(muscle), _rms_pieces(slope)
        mains = self._mains(centred)
        squares = slope * slope
        # Hum leaks into the muscle band; its power is known, so it is taken out.
        muscle_power = pieces[:, _MIDDLE] ** 2 - mains**2 @ self._design.mains_leak
        return Measures(
            features=features,
            extent=top - bottom,
            level=second.mean(axis=1),
            stuck_s=self._stuck(second, top, bottom),
            beyond=(np.abs(high) > self._limit_mv).mean(axis=1),
            drift=np.sort(np.abs(_in_pieces(high).mean(axis=2)), axis=1)[:, _MIDDLE],
            muscle=np.sqrt(np.maximum(muscle_power, 0.0)),
            muscle_peak=pieces[:, -1],
            between=between[:, _MIDDLE] / self._design.slope_gain,
            mains=mains.max(axis=1, initial=0.0),
            moments=np.stack([squares.sum(axis=1), (squares * squares).sum(axis=1)]),
        )

    def _filter(self, number: int, centred: Array) -> Array:
        b, a = self._design.bands[number]
        filtered, self._state[number] = scipy.signal.lfilter(b, a, centred, axis=1, zi=self._state[number])
        return filtered

    def _average(self, number: int, values: Array) -> Array:
        """Return the calibrated moving average of a feature."""
        taps = self._design.averages[number]
        sums = np.cumsum(np.concatenate([self._tails[number], values], axis=1), axis=1)
        self._tails[number] = values[:, -taps:].copy()
        average: Array = (sums[:, taps:] - sums[:, :-taps]) * self._design.scales[number]
        return average

    def _stuck(self, second: Array, top: Array, bottom: Array) -> Array:
        """Return (leads,) seconds of the longest stay at the highest or the lowest value; short stays count as 0."""
        stays = np.zeros(len(second))
        for end in (top, bottom):
            at_end = second == end[:, None]
            for lead in np.flatnonzero(at_end.sum(axis=1) >= _STAY_S * self.samples):
                edges = np.flatnonzero(np.diff(at_end[lead], prepend=False, append=False))
                stays[lead] = max(stays[lead], np.diff(edges)[::2].max())
        return stays / self.samples

    def _mains(self, centred: Array) -> Array:
        """Return (leads, frequencies) amplitudes of 50 and 60 Hz."""
        parts = centred @ self._design.mains
        amplitudes: Array = np.hypot(parts[:, ::2], parts[:, 1::2]) * (2 / self.samples)
        return amplitudes


@dataclass(frozen=True)
class _Design:
    """Filters and constants that depend on the rate alone."""

    bands: tuple[tuple[Array, Array], ...]  # of high-pass, slope in the QRS band, muscle band
    averages: tuple[int, int]  # lengths in samples, of slope and curve length
    slope_gain: float  # of the derivative in the middle of the QRS band
    scales: tuple[float, float]  # of the features, so that a triangle of 1 mV gives 1
    mains: Array  # (samples, 2 frequencies) cosines and sines in turn
    mains_leak: Array  # (frequencies,) power that a sine of amplitude 1 has behind the filter of the muscle band


@functools.lru_cache(maxsize=64)  # bounded: any device may name any rate
def _design(rate_hz: float) -> _Design:
    high = scipy.signal.butter(2, HIGH_PASS_HZ, "highpass", fs=rate_hz)
    band = scipy.signal.butter(1, QRS_HZ, "bandpass", fs=rate_hz)
    slope = np.convolve(band[0], [rate_hz, -rate_hz]), band[1]
    top_hz = min(MUSCLE_HZ[1], 0.45 * rate_hz)
    muscle = scipy.signal.butter(2, (min(MUSCLE_HZ[0], 0.7 * top_hz), top_hz), "bandpass", fs=rate_hz)
    averages = round(_SLOPE_S * rate_hz), round(_LENGTH_S * rate_hz)
    triangle = np.concatenate(
        [np.zeros(2), scipy.signal.windows.triang(round(_COMPLEX_S * rate_hz)), np.zeros(averages[1])]
    )
    shapes = np.abs(scipy.signal.lfilter(*slope, triangle)), np.abs(np.diff(triangle))
    tops = [np.convolve(shape, np.ones(taps)).max() for shape, taps in zip(shapes, averages, strict=True)]
    mains_hz = [hz for hz in MAINS_HZ if hz < _MAINS_BELOW * rate_hz]
    phase = 2 * np.pi * np.arange(round(rate_hz))[:, None] / rate_hz * np.array(mains_hz)
    mains = np.stack([np.cos(phase), np.sin(phase)], axis=2).reshape(round(rate_hz), -1)
    _, leak = scipy.signal.freqz(*muscle, mains_hz, fs=rate_hz) if mains_hz else (None, np.zeros(0))
    return _Design(
        bands=(high, slope, muscle),
        averages=averages,
        slope_gain=2 * np.pi * float(np.sqrt(QRS_HZ[0] * QRS_HZ[1])),
        scales=(1 / tops[0], 1 / tops[1]),
        mains=mains,
        mains_leak=np.abs(leak) ** 2 / 2,
    )


def _in_pieces(values: Array) -> Array:
    """Return (leads, pieces, samples) of a second; a remainder at its end is dropped."""
    size = values.shape[1] // _PIECES
    return values[:, : size * _PIECES].reshape(len(values), _PIECES, size)


def _rms_pieces(values: Array) -> Array:
    """Return (leads, pieces) RMS of a second's pieces, the lowest first."""
    pieces = _in_pieces(values)
    power = np.einsum("lps,lps->lp", pieces, pieces)
    power.sort(axis=1)
    rms: Array = np.sqrt(power / pieces.shape[2])
    return rms
