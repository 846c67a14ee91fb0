"""Windows with known labels on which graphs are compared, and the run of a graph over them.

Knows the splits and the labels of a bundle; nothing of precisions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.bundle import Manifest
from training import cache, splits
from training.errors import DataError
from training.labels import INDEX

_BATCH = 32
JUDGING: Mapping[str, tuple[str, int]] = {  # data set -> its part, and every how manyth window of it
    "ptb-xl": ("judge", 1),
    "cinc2017": ("judge", 2),
    "mitdb": ("validation", 4),
}
CHOOSING: Mapping[str, tuple[str, int]] = {"ptb-xl": ("validation", 1), "cinc2017": ("validation", 4)}


@dataclass(frozen=True)
class Windows:
    """Labelled windows of one or more data sets; row i of every array is window i."""

    signal: NDArray[np.float32]  # (windows, 12, samples) mV
    keep: NDArray[np.float32]  # (windows, 12)
    target: NDArray[np.uint8]  # (windows, labels of the bundle)
    known: NDArray[np.uint8]  # (windows, labels of the bundle)
    data_set: NDArray[np.str_]  # (windows,)
    record: NDArray[np.str_]  # (windows,), unique over data sets

    def of(self, data_set: str) -> NDArray[np.intp]:
        """Return the rows of one data set."""
        return np.flatnonzero(self.data_set == data_set)


def load(data: Path, manifest: Manifest, parts: Mapping[str, tuple[str, int]]) -> Windows:
    """Read the parts of the data sets that are asked for, with a bundle's labels.

    Raises
    ------
    DataError
        When a data set cannot be read, or the bundle has a label that no data set knows.
    """
    unknown = [label.abbreviation for label in manifest.labels if label.abbreviation not in INDEX]
    if unknown:
        raise DataError(f"no data set says anything about {', '.join(unknown)}")
    columns = [INDEX[label.abbreviation] for label in manifest.labels]
    signals, keeps, targets, knowns, names, records = [], [], [], [], [], []
    for name, (part, stride) in parts.items():
        windows = cache.load(name, data)
        rows = splits.rows_of(windows, data)[part][::stride]
        signals.append(windows.windows(rows))
        keeps.append(windows.keep[rows].astype(np.float32))
        targets.append(windows.target[rows][:, columns])
        knowns.append(windows.known[rows][:, columns])
        names += [name] * rows.size
        records += [f"{name}/{record}" for record in windows.record[rows]]
    if not records:
        raise DataError(f"{data}: no window of the parts asked for is there")
    return Windows(
        np.concatenate(signals),
        np.concatenate(keeps),
        np.concatenate(targets),
        np.concatenate(knowns),
        np.array(names),
        np.array(records),
    )


def predict(
    session: ort.InferenceSession,
    signal: NDArray[np.float32],
    keep: NDArray[np.float32],
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Run windows in batches; (windows, labels) probabilities. `progress` hears the windows of each batch."""
    parts = []
    for first in range(0, len(signal), _BATCH):
        rows = slice(first, first + _BATCH)
        parts.append(session.run(["probabilities"], {"signal": signal[rows], "keep": keep[rows]})[0])
        if progress:
            progress(len(parts[-1]))
    return np.concatenate(parts)


def logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Undo the sigmoid, within what float32 can tell from 0 and 1."""
    p = np.clip(probabilities.astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.log(p / (1.0 - p))
