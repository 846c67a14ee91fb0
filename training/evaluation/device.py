"""A bundle on a WFDB record, as the device would run it: its resampler, windows, quality rule and classifier.

Knows nothing of labels' meanings.
"""

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
    """Cut a WFDB record (path without suffix) with the device's own stream; return all windows and the native rate.

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


def windows_of(
    path: Path, spec: InputSpec, hop_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Cut a WFDB record (path without suffix) into windows with the device's own stream.

    Returns
    -------
    start_s : (windows,) float64
    signal : (windows, 12, samples) float32, mV, conditioned
    keep : (windows, 12) float32; windows that the device would not classify are left out

    Raises
    ------
    DataError
        When the record cannot be read.
    """
    every, rate_hz = cut_record(path, msgspec.structs.replace(spec, hop_s=hop_s))
    windows = [window for window in every if window.cause is Cause.PRESENT]
    signal, keep = stack(windows, spec.window_samples)
    start_s = np.array([window.first_sample for window in windows]) / rate_hz
    return start_s, signal, keep


def stack(windows: Sequence[Window], samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a graph takes for good windows: signal (windows, 12, samples) and keep (windows, 12)."""
    signal = np.zeros((len(windows), len(LEADS), samples), np.float32)
    keep = np.zeros((len(windows), len(LEADS)), np.float32)
    for row, window in enumerate(windows):
        signal[row, list(window.positions)] = window.signal
        keep[row, list(window.positions)] = 1.0
    return signal, keep


def classify(classifier: Classifier, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run windows in batches; (windows, labels) probabilities."""
    parts = [
        classifier.classify(signal[first : first + _BATCH], keep[first : first + _BATCH])
        for first in range(0, len(signal), _BATCH)
    ]
    return np.concatenate(parts)


def classify_record(classifier: Classifier, path: Path, spec: InputSpec) -> NDArray[np.float32]:
    """Probabilities of a record's windows, (windows, labels); one blank window stands in where none is usable."""
    _, signal, keep = windows_of(path, spec, spec.hop_s)
    if not len(signal):
        signal = np.zeros((1, len(LEADS), spec.window_samples), np.float32)
        keep = np.zeros((1, len(LEADS)), np.float32)
    return classify(classifier, signal, keep)


def output_index(bundle: Bundle) -> dict[str, int]:
    """Position of each label among a bundle's outputs."""
    return {label.abbreviation: index for index, label in enumerate(bundle.manifest.labels)}
