"""Ventricular fibrillation, flutter and fast tachycardia from the signal itself, without beats.

Once a second a small network (`fibrillation.onnx`) and a logistic regression on the spectrum (`spectrum.npz`) judge the
last 5 s of each good lead; together they raise fewer false alarms than either. For the network a window whose
autocorrelation repeats more slowly than 100/min is no such rhythm, whatever it looks like: broad paced or agonal beats
are the usual cause of false alarms. Leads are averaged as log odds, three seconds are averaged, and the result passes
two thresholds. Missing, flat and bad leads are no evidence; without any lead the state is unknown and an alarm ends.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.beats.session import SmallGraph
from edge.beats.spectrum import SpectrumModel

RATE_HZ = 100.0
WINDOW = 500  # samples
KINDS = ("benign", "VT", "VF")
_LOWEST_MV = 0.05  # standard deviation of a window; less is a pause or no electrode
_SLOW_S, _STRONG = 0.6, 0.35  # period, and height of the autocorrelation there, of a rhythm that is too slow
_TRUST_SLOW = 0.3  # what is left of a slow rhythm's probability
_LAGS = 170
_NEAR_HIGHEST = 0.85
_MARGIN = 1e-4
_NO_PERIOD_S = 9.0
_MOSTLY = 0.5
Windows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FibrillationLimits:
    """When the rhythm begins and ends."""

    on: float = 0.5
    off: float = 0.3
    seconds: int = 3  # that are averaged


class FibrillationNetwork:
    """`fibrillation.onnx` in ONNX Runtime, one thread."""

    def __init__(self, model: Path | bytes) -> None:
        self._graph = SmallGraph(model)

    def probabilities(self, windows: Windows) -> NDArray[np.float32]:
        """Return (windows, 3) probabilities of benign, VT and VF.

        `windows` holds (windows, samples) of one lead each, in mV, high-passed at 0.5 Hz.
        """
        return self._graph.run({"windows": np.ascontiguousarray(windows, np.float32)})


class Judged(NamedTuple):
    """What 5 s of a stream are."""

    probability: float  # of fibrillation, flutter or fast ventricular tachycardia
    fibrillation: float  # part of that which is fibrillation or flutter, 0 to 1


class FibrillationDetector:
    """Judges the last 5 s of any streams in one batch.

    Parameters
    ----------
    network : of one lead
    spectrum : the logistic regression that goes with it
    """

    def __init__(self, network: FibrillationNetwork, spectrum: SpectrumModel) -> None:
        self._network = network
        self._spectrum = spectrum

    def judge(self, windows: Sequence[Windows]) -> list[Judged | None]:
        """Return what the last 5 s of each stream are; None without a lead that has a signal.

        `windows` holds (leads, samples) in mV of each stream, good leads only.
        """
        alive = [window[window.std(axis=1) > _LOWEST_MV] for window in windows]
        if not any(len(window) for window in alive):
            return [None] * len(windows)
        joined = np.concatenate(alive)
        probabilities = self._network.probabilities(joined)
        odds = self._log_odds(joined, probabilities)
        share = probabilities[:, 2] / np.maximum(probabilities[:, 1] + probabilities[:, 2], _MARGIN)
        ends = np.cumsum([len(window) for window in alive])[:-1]
        parts = zip(np.split(odds, ends), np.split(share, ends), strict=True)
        return [
            Judged(float(1 / (1 + np.exp(-own.mean()))), float(fast.mean())) if own.size else None
            for own, fast in parts
        ]

    def _log_odds(self, windows: Windows, probabilities: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return (windows,) the mean of network and spectrum."""
        period_s, strength = periods(windows)
        lethal = probabilities[:, 1] + probabilities[:, 2]
        lethal = np.where((period_s > _SLOW_S) & (strength > _STRONG), _TRUST_SLOW * lethal, lethal)
        spectrum = self._spectrum.probabilities(windows, np.minimum(period_s, _NO_PERIOD_S), strength)
        result: NDArray[np.floating] = (_log_odds(lethal) + _log_odds(spectrum)) / 2
        return result


class FibrillationState:
    """Whether the rhythm of one stream is such a one: three seconds are averaged, and pass two thresholds."""

    def __init__(self, limits: FibrillationLimits | None = None) -> None:
        self.limits = limits or FibrillationLimits()
        self._last: deque[Judged] = deque(maxlen=self.limits.seconds)
        self.probability = 0.0
        self.label: str | None = None  # VF or VT while such a rhythm holds

    def push(self, judged: Judged | None) -> None:
        """Take the next second; None where no lead can tell."""
        if judged is None:
            self._last.clear()
            self.probability, self.label = 0.0, None
            return
        self._last.append(judged)
        # Fewer seconds than are averaged count as 0, so that one window behind a gap raises nothing.
        self.probability = sum(second.probability for second in self._last) / self.limits.seconds
        if self.probability < (self.limits.on if self.label is None else self.limits.off):
            self.label = None
        elif self.label != "VF":  # once fibrillation, the rhythm keeps the name until it ends
            self.label = "VF" if fmean(second.fibrillation for second in self._last) > _MOSTLY else "VT"


def _log_odds(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    clipped = np.clip(probabilities, _MARGIN, 1 - _MARGIN)
    result: NDArray[np.floating] = np.log(clipped / (1 - clipped))
    return result


def periods(windows: Windows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (windows,) period in s and height of the autocorrelation at it.

    It is the smallest lag from 0.15 to 1.6 s with a peak nearly as high as the highest.
    """
    centred = windows - windows.mean(axis=1, keepdims=True)
    samples = windows.shape[1]
    spectrum = np.fft.rfft(centred, 2 * WINDOW + 24, axis=1)
    raw = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :_LAGS]
    same = raw / np.maximum(raw[:, :1], 1e-9) * (samples / (samples - np.arange(_LAGS)))
    peak = np.zeros(same.shape, np.bool_)
    peak[:, 15:160] = (same[:, 15:160] > same[:, 14:159]) & (same[:, 15:160] >= same[:, 16:161])
    heights = np.where(peak, same, -1.0)
    highest = heights.max(axis=1)
    first = (heights >= _NEAR_HIGHEST * highest[:, None]).argmax(axis=1)
    return np.where(highest > 0, first / RATE_HZ, np.inf), highest
