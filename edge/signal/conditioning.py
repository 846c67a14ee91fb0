"""What is done to a window before the model sees it: the one function that training and the device share.

Stateless on purpose: a 10 s training record has no past, so no filter state may be carried from window to
window. Knows nothing of streams or models.
"""

import functools

import numpy as np
import scipy  # not `scipy.signal`: scipy imports it on first use, as it takes most of a second
from numpy.typing import NDArray

HIGH_PASS_HZ = 0.5  # lower edge of the monitoring band, IEC 60601-2-27 (0.67 Hz) and AHA 2007 (0.5 Hz)
LIMIT_MV = 10.0  # a surface ECG stays below 5 mV; what is beyond is an artefact and is clipped


_EDGE = 9  # samples by which each end is continued, mirrored in its last point: as scipy.signal.filtfilt does


@functools.cache
def _high_pass(sample_rate_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return numerator, denominator and the state in which the filter has settled on a constant 1."""
    numerator, denominator = scipy.signal.butter(2, HIGH_PASS_HZ, "highpass", fs=sample_rate_hz)
    return numerator, denominator, scipy.signal.lfilter_zi(numerator, denominator)[None]


def bridge(window: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill what is missing by a straight line between its neighbours; arguments as of `condition`."""
    filled = window.astype(np.float64)
    for lead in np.flatnonzero(missing.any(axis=1)) if missing.any() else ():
        gone = missing[lead]
        here = np.flatnonzero(~gone)
        filled[lead] = np.interp(np.arange(gone.size), here, filled[lead, here]) if here.size else 0.0
    return filled


def condition(window: NDArray[np.float32], missing: NDArray[np.bool_], sample_rate_hz: float) -> NDArray[np.float32]:
    """Fill what is missing, remove offset and wander, and limit the amplitude of one window.

    Parameters
    ----------
    window : (leads, samples) float32, mV, at the model's rate
    missing : (leads, samples) bool, True where the value has no meaning
    sample_rate_hz : sampling frequency of the window

    Returns
    -------
    (leads, samples) float32, mV; a new array. A lead that is missing throughout is all zero.

    Missing samples are bridged by a straight line between their neighbours before a second-order
    Butterworth high-pass runs forward and backward over the window, so that a gap makes no step; after the
    filter they are set to 0, as training's time-out augmentation does. The filter is `scipy.signal.sosfiltfilt`
    of that design, without what it works out anew for each window.
    """
    filled = bridge(window, missing)
    filled -= filled.sum(axis=1, keepdims=True) / filled.shape[1]
    filtered = _both_ways(filled, sample_rate_hz)
    np.clip(filtered, -LIMIT_MV, LIMIT_MV, out=filtered)
    filtered[missing] = 0.0
    return filtered.astype(np.float32)


def _both_ways(leads: NDArray[np.float64], sample_rate_hz: float) -> NDArray[np.float64]:
    """Return (leads, samples), high-passed forward and then backward."""
    numerator, denominator, settled = _high_pass(sample_rate_hz)
    begin = 2 * leads[:, :1] - leads[:, _EDGE:0:-1]
    end = 2 * leads[:, -1:] - leads[:, -2 : -_EDGE - 2 : -1]
    there = np.concatenate([begin, leads, end], axis=1)
    for _ in range(2):
        there, _ = scipy.signal.lfilter(numerator, denominator, there, axis=1, zi=settled * there[:, :1])
        there = there[:, ::-1]
    return there[:, _EDGE:-_EDGE]
