"""Conditioning of a window for the model: the one function that training and the device share.

It is stateless on purpose: a training record of 10 s has no past, so no filter state is carried between windows.
"""

import functools

import numpy as np
import scipy  # not `scipy.signal`: scipy imports it on first use, as it takes most of a second
from numpy.typing import NDArray

HIGH_PASS_HZ = 0.5  # lower edge of the monitoring band, IEC 60601-2-27 (0.67 Hz) and AHA 2007 (0.5 Hz)
LIMIT_MV = 10.0  # a surface ECG stays below 5 mV; anything higher is an artefact and is clipped
_EDGE = 9  # samples by which each end is extended, mirrored in its last point, as scipy.signal.filtfilt does


@functools.cache
def _high_pass(sample_rate_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return numerator, denominator and the state in which the filter has settled on a constant 1."""
    numerator, denominator = scipy.signal.butter(2, HIGH_PASS_HZ, "highpass", fs=sample_rate_hz)
    return numerator, denominator, scipy.signal.lfilter_zi(numerator, denominator)[None]


def bridge(window: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill missing samples by a straight line between their neighbours; see `condition` for the arguments."""
    filled = window.astype(np.float64)
    for lead in np.flatnonzero(missing.any(axis=1)) if missing.any() else ():
        present = np.flatnonzero(~missing[lead])
        indices = np.arange(missing.shape[1])
        filled[lead] = np.interp(indices, present, filled[lead, present]) if present.size else 0.0
    return filled


def condition(window: NDArray[np.float32], missing: NDArray[np.bool_], sample_rate_hz: float) -> NDArray[np.float32]:
    """Fill missing samples, remove offset and wander, and limit the amplitude of one window.

    Parameters
    ----------
    window : (leads, samples) float32, mV, at the model's rate
    missing : (leads, samples) bool, True where the value has no meaning
    sample_rate_hz : sampling frequency of the window

    Returns
    -------
    (leads, samples) float32, mV; a new array. A lead that is missing throughout is all zero.

    Missing samples are bridged by a straight line, so that a gap makes no step. Then a second-order Butterworth
    high-pass runs forward and backward over the window. After it missing samples are set to 0, as training's time-out
    augmentation does. The result equals `scipy.signal.sosfiltfilt`, which computes the design again for each window.
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
    extended = np.concatenate([begin, leads, end], axis=1)
    for _ in range(2):
        extended, _ = scipy.signal.lfilter(numerator, denominator, extended, axis=1, zi=settled * extended[:, :1])
        extended = extended[:, ::-1]
    return extended[:, _EDGE:-_EDGE]
