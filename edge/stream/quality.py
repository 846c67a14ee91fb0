"""Which leads of a window are good enough to be classified. Pure; knows nothing of models."""

import numpy as np
from numpy.typing import NDArray

from edge.stream.conditioning import LIMIT_MV

FLAT_MV = 0.005  # less than this from peak to peak over a window is no electrode on a body, asystole included
MAX_CLIPPED = 0.05  # part of a window that may stand further than LIMIT_MV from its median


def usable_leads(window: NDArray[np.float32], missing: NDArray[np.bool_], min_coverage: float) -> NDArray[np.bool_]:
    """Say of each lead whether it may be shown to the model.

    Parameters
    ----------
    window : (leads, samples) float32, mV, not yet conditioned
    missing : (leads, samples) bool
    min_coverage : part of the samples that must be present

    Returns
    -------
    (leads,) bool: enough is present, and what is present is neither flat nor out of range.
    """
    here = ~missing
    usable: NDArray[np.bool_] = here.mean(axis=1) >= min_coverage
    for lead in np.flatnonzero(usable):
        present = window[lead] if here[lead].all() else window[lead, here[lead]]
        span = np.ptp(present)
        usable[lead] = span >= FLAT_MV and (span <= LIMIT_MV or _clipped(present) <= MAX_CLIPPED)
    return usable


def _clipped(present: NDArray[np.float32]) -> float:
    """Return the part that stands further than LIMIT_MV from the median."""
    return float((np.abs(present - np.median(present)) > LIMIT_MV).mean())
