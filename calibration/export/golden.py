"""Golden windows: inputs with known outputs in a bundle, so that any device can check its back end.

The synthetic source makes them, because no patient's data may go into a bundle.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.export.graph import Deployed
from edge.bundle.manifest import InputSpec
from edge.core.leads import LEADS
from edge.signal.conditioning import condition
from edge.sources.synthetic import render

_RHYTHMS = ("sinus", "bradycardia", "tachycardia", "af", "pvc", "bigeminy", "trigeminy", "vt", "noise", "asystole")
_LEAD_SETS = (tuple(LEADS), ("II",), ("I",), ("II", "V1"))


def golden_inputs(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return signal (windows, 12, samples) mV, conditioned, and keep (windows, 12), for every rhythm and lead set."""
    signals, keeps = [], []
    for number, rhythm in enumerate(_RHYTHMS):  # its number is the seed: the same windows every time
        keep = np.array([lead in _LEAD_SETS[number % len(_LEAD_SETS)] for lead in LEADS], np.float32)
        raw = render(rhythm, spec.window_s, sample_rate_hz=spec.sample_rate_hz, seed=number)
        signals.append(condition(raw, np.zeros(raw.shape, bool), spec.sample_rate_hz) * keep[:, None])
        keeps.append(keep)
    return np.stack(signals), np.stack(keeps)


def write_golden(path: Path, model: Deployed, spec: InputSpec) -> None:
    """Write `golden.npz` with the probabilities of the network in torch."""
    signal, keep = golden_inputs(spec)
    probabilities = model.probabilities(signal, keep)
    np.savez_compressed(path, signal=signal, keep=keep, probabilities=probabilities)
