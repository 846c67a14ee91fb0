"""Labelled stretches of records, and the windows that are cut from them as on the device.

A stretch is almost twice as long as a window. Training takes windows from anywhere in it and conditions each window by
itself, as the device does.
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
from training.data.labels import WindowLabels
from training.errors import DataError

INPUT = InputSpec(sample_rate_hz=100.0, window_s=5.12, hop_s=1.0, min_coverage=0.9)
STRETCH_S = 10.0  # a record of PTB-XL
STRETCH_SAMPLES = round(STRETCH_S * INPUT.sample_rate_hz)
LAST_WINDOW_START = STRETCH_SAMPLES - INPUT.window_samples
ANYWHERE = -1  # as a window's start: the labels hold for every window of the stretch


@dataclass(frozen=True)
class Recording:
    """A whole record at the model's rate, with its channels in the order of the twelve leads."""

    samples: NDArray[np.float32]  # (12, samples) mV at `INPUT.sample_rate_hz`; 0 for leads without a channel
    missing: NDArray[np.bool_]  # (12, samples)


@dataclass(frozen=True)
class Stretch:
    """One stretch with its labels.

    In a set with annotated beats, the labels belong to the one window that begins at `window_start`. In a set with
    labels for whole records, they belong to every window (`ANYWHERE`).
    """

    record: str
    patient: str
    start_s: float
    signal: NDArray[np.float32]  # (12, STRETCH_SAMPLES) mV, without offset, not conditioned
    keep: NDArray[np.uint8]  # (12,)
    labels: WindowLabels
    window_start: int = ANYWHERE  # in samples of the stretch


StretchReader = Callable[[Path], Iterator[Stretch]]


def resample(samples: NDArray[np.float32], rate_hz: float) -> NDArray[np.float32]:
    """Resample (leads, samples) to the model's rate with a polyphase FIR filter; edges are repeated.

    DataError when the rate is not a whole number of Hz.
    """
    if rate_hz == INPUT.sample_rate_hz:
        return samples
    if rate_hz != round(rate_hz):
        raise DataError(f"a sample rate of {rate_hz} Hz is not a whole number")
    return dsp.resample_poly(samples, round(INPUT.sample_rate_hz), round(rate_hz), axis=-1, padtype="edge").astype(
        np.float32
    )


def to_recording(samples: NDArray[Any], rate_hz: float, names: Sequence[str]) -> Recording:
    """Resample (channels, samples) mV, NaN where invalid, and sort the channels into the twelve leads by name."""
    bad = ~np.isfinite(samples)
    # The filter would spread a NaN over the record, so gaps are 0 while resampling and marked afterwards.
    resampled = resample(np.where(bad, 0.0, samples).astype(np.float32), rate_hz)
    length = resampled.shape[1]
    leads = np.zeros((len(LEADS), length), np.float32)
    missing = np.ones((len(LEADS), length), bool)
    source = np.minimum((np.arange(length) * rate_hz / INPUT.sample_rate_hz).astype(int), samples.shape[1] - 1)
    for channel, position in enumerate(lead_positions(names)):
        if position is not None:
            leads[position] = resampled[channel]
            missing[position] = bad[channel, source]
    return Recording(leads, missing)


def cut_stretch(recording: Recording, start: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut the stretch that begins at sample `start`; samples after the end of the recording are missing.

    Returns
    -------
    signal : (12, STRETCH_SAMPLES) float32, mV, without offset, gaps bridged; 0 where the lead is not kept
    keep : (12,) uint8, 1 where the lead's coverage is at least `INPUT.min_coverage`
    """
    length = STRETCH_SAMPLES
    samples = np.zeros((len(LEADS), length), np.float32)
    missing = np.ones((len(LEADS), length), bool)
    part = slice(start, start + length)
    available = recording.samples[:, part].shape[1]
    samples[:, :available] = recording.samples[:, part]
    missing[:, :available] = recording.missing[:, part]
    keep = (1.0 - missing.mean(axis=1) >= INPUT.min_coverage - 1e-9).astype(np.uint8)  # rounding must not decide
    bridged = bridge(samples, missing)
    # The offset goes, because float16 in the cache would lose a small signal on a large offset.
    return ((bridged - bridged.mean(axis=1, keepdims=True)) * keep[:, None]).astype(np.float32), keep


def cut_windows(stretches: NDArray[np.floating], starts: NDArray[np.integer]) -> NDArray[np.float32]:
    """Cut one window from each stretch and condition it as the device does.

    Parameters
    ----------
    stretches : (n, 12, STRETCH_SAMPLES), mV
    starts : (n,) first sample of each window in its stretch

    Returns
    -------
    (n, 12, samples) float32, mV
    """
    samples = INPUT.window_samples
    cuts = [stretch[:, start : start + samples] for stretch, start in zip(stretches, starts, strict=True)]
    rows = np.concatenate(cuts).astype(np.float32)
    kept = rows.any(axis=1)  # a lead that is not kept is all zero and must stay so
    rows[kept] = condition(rows[kept], np.zeros((int(kept.sum()), samples), bool), INPUT.sample_rate_hz)
    return rows.reshape(len(cuts), -1, samples)


def stretch_starts(samples: int, hop_s: float) -> range:
    """First samples of the stretches of a recording, `hop_s` apart; a short recording has one stretch."""
    hop = round(hop_s * INPUT.sample_rate_hz)
    return range(0, max(samples - STRETCH_SAMPLES, 0) + 1, hop)


def read_record(path: Path) -> Recording:
    """Read a WFDB record (path without suffix) with wfdb, or raise DataError."""
    import wfdb

    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError, IndexError) as exc:
        raise DataError(f"{path}: cannot be read as a WFDB record: {exc}") from exc
    return to_recording(record.p_signal.T, record.fs, record.sig_name)
