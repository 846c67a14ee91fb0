"""A network's outputs on every window of a record, cut as on the device: the input of `ecg-calibrate tune`.

One `.npz` file a record, without pickles. Nothing is pooled.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import InputSpec
from edge.core.files import atomic_path
from edge.core.samples import Cause
from training.errors import DataError
from training.evaluation.device import cut_record, stack_windows

Predict = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
_BATCH = 32


@dataclass(frozen=True)
class RecordOutputs:
    """The outputs on one record, with a window at every hop from its first sample."""

    sample_rate_hz: float
    first_sample: NDArray[np.int64]  # (windows,) native index
    end_sample: NDArray[np.int64]  # (windows,)
    cause: NDArray[np.uint8]  # (windows,) `Cause`: PRESENT for good windows
    probabilities: NDArray[np.float32]  # (windows, labels); NaN for windows that are not good

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as scratch, scratch.open("wb") as file:  # NumPy would add a suffix to a path
            np.savez_compressed(file, **asdict(self))


def load_outputs(path: Path) -> RecordOutputs:
    """Read a file that `RecordOutputs.save` wrote, or raise DataError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return RecordOutputs(
                float(arrays["sample_rate_hz"]),
                arrays["first_sample"],
                arrays["end_sample"],
                arrays["cause"],
                arrays["probabilities"],
            )
    except (OSError, ValueError, KeyError) as exc:
        raise DataError(f"{path}: no usable outputs there ({exc}); run `ecg-train crossval` again") from exc


def record_outputs(predict: Predict, path: Path, spec: InputSpec) -> RecordOutputs:
    """Run a network on every window of a WFDB record.

    Parameters
    ----------
    predict : takes (n, 12, samples) signal and (n, 12) keep, float32, and returns (n, labels) probabilities
    path : of the record, without suffix
    spec : window and hop

    Raises
    ------
    DataError
        When the record cannot be read, or has no good window.
    """
    windows, rate_hz = cut_record(path, spec)
    good = np.flatnonzero([window.cause is Cause.PRESENT for window in windows])
    if not good.size:
        raise DataError(f"{path}: no window is good enough to be classified")
    parts = []
    for first in range(0, good.size, _BATCH):
        some = [windows[number] for number in good[first : first + _BATCH]]
        parts.append(predict(*stack_windows(some, spec.window_samples)))
    # Windows that are not good stay in the file: the alarms' delays depend on them.
    outputs = np.concatenate(parts)
    probabilities = np.full((len(windows), outputs.shape[1]), np.nan, np.float32)
    probabilities[good] = outputs
    return RecordOutputs(
        rate_hz,
        np.array([window.first_sample for window in windows]),
        np.array([window.end_sample for window in windows]),
        np.array([window.cause for window in windows], np.uint8),
        probabilities,
    )
