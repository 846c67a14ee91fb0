"""The logistic regression on spectral features that goes with the fibrillation network: `spectrum.npz`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.beats import spectrum
from edge.beats.fibrillation import periods
from training.beats.fibrillation_windows import LeadWindows
from training.beats.rhythm_spans import BENIGN

SPECTRUM = "spectrum.npz"
_SETS = {"vfdb": 1, "cudb": 1, "mitdb": 3}  # every how many windows are used
_NO_PERIOD_S = 9.0
_LEAST_MV = 0.05  # standard deviation of a window, as on the device
_LIMIT = 5.0
_PENALTY = 10.0
_STEPS = 30
Array = NDArray[np.float64]


def write_spectrum(leads: Sequence[LeadWindows], out: Path) -> None:
    """Fit the regression to windows of vfdb, cudb and mitdb, and write it."""
    rows, lethal = [], []
    for lead in leads:
        if lead.data_set in _SETS and len(lead.kind):
            every = slice(None, None, _SETS[lead.data_set])
            windows, kinds = lead.cut()[every], lead.kind[every]
            alive = windows.std(axis=1) > _LEAST_MV
            rows.append(_features(windows[alive]))
            lethal.append(kinds[alive] != BENIGN)
    x, y = np.concatenate(rows), np.concatenate(lethal).astype(np.float64)
    centre, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    weight, bias = fit_logistic(np.clip((x - centre) / spread, -_LIMIT, _LIMIT), y, _PENALTY)
    np.savez(out / SPECTRUM, centre=centre, spread=spread, weight=weight, bias=np.array([bias]))


def _features(windows: NDArray[np.float32]) -> Array:
    period_s, strength = periods(windows)
    return spectrum.features(windows, np.minimum(period_s, _NO_PERIOD_S), strength).astype(np.float64)


def fit_logistic(x: Array, y: Array, penalty: float) -> tuple[Array, float]:
    """Return weights and bias for (rows, features) standardised values and (rows,) answers of 0 or 1.

    Newton's method, with a penalty on the squared weights and none on the bias.
    """
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weight = np.zeros(ones.shape[1])
    ridge = np.diag([penalty] * x.shape[1] + [0.0])
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-ones @ weight))
        slope = ones.T @ (probability - y) + ridge @ weight
        curvature = (ones * (probability * (1 - probability))[:, None]).T @ ones + ridge
        weight -= np.linalg.solve(curvature, slope)
    return weight[:-1], float(weight[-1])
