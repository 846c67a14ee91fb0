"""A bundle on a WFDB record as on the device: its resampling, windows, quality rules and classifier."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle, InputSpec
from edge.classifiers.base import Classifier
from edge.core.leads import LEADS
from edge.core.samples import Cause, mark_invalid
from edge.signal.windows import Window, WindowStream
from training.errors import DataError

_BATCH = 32


def cut_record(path: Path, spec: InputSpec) -> tuple[list[Window], float]:
    """Cut a WFDB record (path without suffix) with the device's own code; return all windows and the native rate.

    Raises
    ------
    DataError
        When the record cannot be read.
    """
    import wfdb

    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError, IndexError) as exc:
        raise DataError(f"{path}: cannot be read as a WFDB record: {exc}") from exc
    samples = np.ascontiguousarray(record.p_signal.T, np.float32)
    missing = np.zeros(samples.shape, np.uint8)
    mark_invalid(samples, missing)
    stream = WindowStream(spec, record.fs, record.sig_name)
    return [*stream.push(samples, missing), *stream.finish()], float(record.fs)


def classifiable_windows(
    path: Path, spec: InputSpec, hop_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Return the windows of a WFDB record (path without suffix) that the device would classify.

    Returns
    -------
    start_s : (windows,) float64
    signal : (windows, 12, samples) float32, mV, conditioned
    keep : (windows, 12) float32, 1 where the lead is there

    Raises
    ------
    DataError
        When the record cannot be read.
    """
    cut, rate_hz = cut_record(path, msgspec.structs.replace(spec, hop_s=hop_s))
    windows = [window for window in cut if window.cause is Cause.PRESENT]
    signal, keep = stack_windows(windows, spec.window_samples)
    start_s = np.array([window.first_sample for window in windows]) / rate_hz
    return start_s, signal, keep


def stack_windows(windows: Sequence[Window], samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return good windows as the inputs of a graph: signal (windows, 12, samples) and keep (windows, 12)."""
    signal = np.zeros((len(windows), len(LEADS), samples), np.float32)
    keep = np.zeros((len(windows), len(LEADS)), np.float32)
    for row, window in enumerate(windows):
        signal[row, list(window.positions)] = window.signal
        keep[row, list(window.positions)] = 1.0
    return signal, keep


def classify(classifier: Classifier, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
    """Classify windows in batches; (windows, labels) probabilities."""
    parts = [
        classifier.classify(signal[first : first + _BATCH], keep[first : first + _BATCH])
        for first in range(0, len(signal), _BATCH)
    ]
    return np.concatenate(parts)


def classify_record(classifier: Classifier, path: Path, spec: InputSpec) -> NDArray[np.float32]:
    """Probabilities of a record's windows, (windows, labels); a blank window stands for a record without a good one."""
    _, signal, keep = classifiable_windows(path, spec, spec.hop_s)
    if not len(signal):  # every record needs a row, or the figures of networks would be on different records
        signal = np.zeros((1, len(LEADS), spec.window_samples), np.float32)
        keep = np.zeros((1, len(LEADS)), np.float32)
    return classify(classifier, signal, keep)


def output_index(bundle: Bundle) -> dict[str, int]:
    """Index of each label in a bundle's outputs."""
    return {label.abbreviation: index for index, label in enumerate(bundle.manifest.labels)}
