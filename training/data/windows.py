"""Labelled stretches of records, and the windows in them as the device would see them.

A stretch is twice as long as a window and a little less: training takes its windows anywhere in it, and each is
conditioned by itself, as on the device. Knows how to cut, not what the annotations mean.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from edge.bundle.manifest import InputSpec
from edge.core.leads import LEADS, lead_positions
from edge.signal.conditioning import bridge, condition
from training.data.labels import Marks
from training.errors import DataError

INPUT = InputSpec(sample_rate_hz=100.0, window_s=5.12, hop_s=1.0, min_coverage=0.9)
STRETCH_S = 10.0  # a record of PTB-XL
STRETCH_SAMPLES = round(STRETCH_S * INPUT.sample_rate_hz)
SPARE_SAMPLES = STRETCH_SAMPLES - INPUT.window_samples  # the last window of a stretch begins here


@dataclass(frozen=True)
class Recording:
    """A whole record at the model's rate, its channels put at the places of the twelve leads."""

    samples: NDArray[np.float32]  # (12, samples) mV at `INPUT.sample_rate_hz`; 0 where no channel is
    missing: NDArray[np.bool_]  # (12, samples)


@dataclass(frozen=True)
class Stretch:
    """One stretch with its labels.

    Where a set annotates beats they are the labels of the one window that begins at `place`; where it labels
    whole records, any window inherits them.
    """

    record: str
    patient: str
    start_s: float
    signal: NDArray[np.float32]  # (12, STRETCH_SAMPLES) mV, without offset, not conditioned
    keep: NDArray[np.uint8]  # (12,)
    marks: Marks
    place: int = -1  # in samples of the stretch; -1: anywhere


StretchReader = Callable[[Path], Iterator[Stretch]]


def resample(samples: NDArray[np.float32], rate_hz: float) -> NDArray[np.float32]:
    """Bring (leads, samples) at a whole number of Hz to the model's rate; polyphase FIR, edges repeated."""
    if rate_hz == INPUT.sample_rate_hz:
        return samples
    if rate_hz != round(rate_hz):
        raise DataError(f"a sample rate of {rate_hz} Hz is not a whole number")
    return dsp.resample_poly(samples, round(INPUT.sample_rate_hz), round(rate_hz), axis=-1, padtype="edge").astype(
        np.float32
    )


def place(samples: NDArray[Any], rate_hz: float, names: Sequence[str]) -> Recording:
    """Resample channels (channels, samples) mV, NaN where invalid, and put them where the model expects them."""
    bad = ~np.isfinite(samples)
    resampled = resample(np.where(bad, 0.0, samples).astype(np.float32), rate_hz)
    length = resampled.shape[1]
    full = np.zeros((len(LEADS), length), np.float32)
    missing = np.ones((len(LEADS), length), bool)
    source = np.minimum((np.arange(length) * rate_hz / INPUT.sample_rate_hz).astype(int), samples.shape[1] - 1)
    for channel, position in enumerate(lead_positions(names)):
        if position is not None:
            full[position] = resampled[channel]
            missing[position] = bad[channel, source]
    return Recording(full, missing)


def cut(recording: Recording, start: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut the stretch that begins at sample `start`; what lies past the end is missing.

    Returns
    -------
    signal : (12, STRETCH_SAMPLES) float32, mV, without offset, gaps bridged; 0 where the lead is not kept
    keep : (12,) uint8, 1 where the lead's coverage is at least `INPUT.min_coverage`
    """
    length = STRETCH_SAMPLES
    samples = np.zeros((len(LEADS), length), np.float32)
    missing = np.ones((len(LEADS), length), bool)
    part = slice(start, start + length)
    here = recording.samples[:, part].shape[1]
    samples[:, :here] = recording.samples[:, part]
    missing[:, :here] = recording.missing[:, part]
    keep = (1.0 - missing.mean(axis=1) >= INPUT.min_coverage - 1e-9).astype(np.uint8)
    bridged = bridge(samples, missing)
    return ((bridged - bridged.mean(axis=1, keepdims=True)) * keep[:, None]).astype(np.float32), keep


def cut_windows(stretches: NDArray[np.floating], places: NDArray[np.integer]) -> NDArray[np.float32]:
    """Cut one window out of each stretch and condition it as the device does.

    Parameters
    ----------
    stretches : (n, 12, STRETCH_SAMPLES), mV
    places : (n,) first sample of each window in its stretch

    Returns
    -------
    (n, 12, samples) float32, mV
    """
    samples = INPUT.window_samples
    cuts = [stretch[:, place : place + samples] for stretch, place in zip(stretches, places, strict=True)]
    rows = np.concatenate(cuts).astype(np.float32)
    there = rows.any(axis=1)  # a lead that is not kept is all zero, and stays so
    rows[there] = condition(rows[there], np.zeros((int(there.sum()), samples), bool), INPUT.sample_rate_hz)
    return rows.reshape(len(cuts), -1, samples)


def starts(samples: int, hop_s: float) -> range:
    """First samples of the stretches of a recording, `hop_s` apart; one when it is too short for any."""
    hop = round(hop_s * INPUT.sample_rate_hz)
    return range(0, max(samples - STRETCH_SAMPLES, 0) + 1, hop)


def read_record(path: Path) -> Recording:
    """Read a WFDB record (path without suffix) with wfdb, or raise DataError."""
    import wfdb

    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError, IndexError) as exc:
        raise DataError(f"{path}: cannot be read as a WFDB record: {exc}") from exc
    return place(record.p_signal.T, record.fs, record.sig_name)
