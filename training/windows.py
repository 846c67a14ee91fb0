"""Labelled windows as the device would see them: same rate, same conditioning, same lead order.

Knows how to cut, not what the annotations mean.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from edge.bundle import InputSpec
from edge.leads import LEADS, lead_positions
from edge.stream.conditioning import condition
from training.errors import DataError
from training.labels import Marks

INPUT = InputSpec(sample_rate_hz=100.0, window_s=10.0, hop_s=1.0, min_coverage=0.9)
CROP_S = 2.56


@dataclass(frozen=True)
class Recording:
    """A whole record at the model's rate, its channels put at the places of the twelve leads."""

    samples: NDArray[np.float32]  # (12, samples) mV at `INPUT.sample_rate_hz`; 0 where no channel is
    missing: NDArray[np.bool_]  # (12, samples)


@dataclass(frozen=True)
class Window:
    """One conditioned window with its labels.

    A crop is a stretch of `CROP_S` inside it with labels of its own, for sets that annotate beats; where a
    set labels whole records only there is none, and any stretch inherits the record's labels.
    """

    record: str
    patient: str
    start_s: float
    signal: NDArray[np.float32]  # (12, samples) mV
    keep: NDArray[np.uint8]  # (12,)
    marks: Marks
    crop_start: int = -1  # in samples of the window; -1 without a crop
    crop_marks: Marks | None = None


WindowReader = Callable[[Path], Iterator[Window]]


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
    """Cut and condition the window that begins at sample `start`; what lies past the end is missing.

    Returns
    -------
    signal : (12, samples) float32, mV
    keep : (12,) uint8, 1 where the lead's coverage is at least `INPUT.min_coverage`
    """
    length = INPUT.window_samples
    samples = np.zeros((len(LEADS), length), np.float32)
    missing = np.ones((len(LEADS), length), bool)
    part = slice(start, start + length)
    here = recording.samples[:, part].shape[1]
    samples[:, :here] = recording.samples[:, part]
    missing[:, :here] = recording.missing[:, part]
    keep = (1.0 - missing.mean(axis=1) >= INPUT.min_coverage - 1e-9).astype(np.uint8)
    signal = condition(samples, missing, INPUT.sample_rate_hz)
    return signal * keep[:, None], keep


def starts(samples: int, hop_s: float) -> range:
    """First samples of the windows of a recording, `hop_s` apart; one window when it is too short for any."""
    hop = round(hop_s * INPUT.sample_rate_hz)
    return range(0, max(samples - INPUT.window_samples, 0) + 1, hop)


def read_record(path: Path) -> Recording:
    """Read a WFDB record (path without suffix) with wfdb, or raise DataError."""
    import wfdb

    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError, IndexError) as exc:
        raise DataError(f"{path}: cannot be read as a WFDB record: {exc}") from exc
    return place(record.p_signal.T, record.fs, record.sig_name)
