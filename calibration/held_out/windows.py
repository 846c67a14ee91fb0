"""Windows with known labels, cut and pooled as the device does it, and the run of a graph over them.

What is judged is a case: one decision of the device, which the bundle's pooling makes of one or more windows.
The cases of a record do not overlap. Knows the splits and the labels of a bundle; nothing of precisions.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from calibration.held_out.records import Record, records_of
from edge.bundle.manifest import InputSpec, Manifest
from edge.core.leads import LEADS
from edge.monitor.pooling import pool_windows
from training.data.labels import INDEX
from training.errors import DataError
from training.evaluation.device import classifiable_windows

_BATCH = 32


@dataclass(frozen=True)
class Part:
    """Which windows of a data set."""

    name: str  # of a part in `training.data.splits`
    records: int = 1  # every how manyth record
    cases: int = 1  # every how manyth case


JUDGING: Mapping[str, Part] = {
    "ptb-xl": Part("judge"),
    "cinc2017": Part("judge", records=4),
    "mitdb": Part("validation", cases=5),
}
CHOOSING: Mapping[str, Part] = {"ptb-xl": Part("validation"), "cinc2017": Part("validation", records=4)}


@dataclass(frozen=True)
class Windows:
    """Labelled windows of one or more data sets; those of a case lie together, in the order of time."""

    signal: NDArray[np.float32]  # (windows, 12, samples) mV
    keep: NDArray[np.float32]  # (windows, 12)
    first: NDArray[np.intp]  # (cases,) its first window
    target: NDArray[np.uint8]  # (cases, labels of the bundle)
    known: NDArray[np.uint8]  # (cases, labels of the bundle)
    data_set: NDArray[np.str_]  # (cases,)
    record: NDArray[np.str_]  # (cases,), unique over data sets

    def of(self, data_set: str) -> NDArray[np.intp]:
        """Return the cases of one data set."""
        return np.flatnonzero(self.data_set == data_set)

    def only(self, data_set: str, lead: str) -> "Windows":
        """Return the windows of one data set with one lead alone."""
        alone = np.array([name == lead for name in LEADS], np.float32)
        cases = self.of(data_set)
        sizes = np.diff([*self.first, len(self.signal)])
        rows = np.repeat(np.isin(np.arange(len(sizes)), cases), sizes)
        return Windows(
            signal=self.signal[rows] * alone[:, None],
            keep=self.keep[rows] * alone,
            first=np.cumsum([0, *sizes[cases][:-1]]),
            target=self.target[cases],
            known=self.known[cases],
            data_set=self.data_set[cases],
            record=self.record[cases],
        )


def load(
    data: Path, manifest: Manifest, parts: Mapping[str, Part], progress: Callable[[int, int], None] = lambda *_: None
) -> Windows:
    """Read parts of the data sets as the bundle's device would, with the bundle's labels.

    Raises
    ------
    DataError
        When a data set cannot be read, or the bundle has a label that no data set knows.
    """
    columns = columns_of(manifest)
    records = [
        (record, part.cases)
        for name, part in parts.items()
        for record in records_of(data, name, part.name)[:: part.records]
    ]
    found: list[_Case] = []
    for number, (record, stride) in enumerate(records, 1):
        found += list(_cases(record, manifest, columns))[::stride]
        progress(number, len(records))
    if not found:
        raise DataError(f"{data}: no window of the parts asked for is good enough to be classified")
    sizes = [len(case.signal) for case in found]
    return Windows(
        signal=np.concatenate([case.signal for case in found]),
        keep=np.concatenate([case.keep for case in found]),
        first=np.cumsum([0, *sizes[:-1]]),
        target=np.stack([case.target for case in found]),
        known=np.stack([case.known for case in found]),
        data_set=np.array([case.record.data_set for case in found]),
        record=np.array([f"{case.record.data_set}/{case.record.name}" for case in found]),
    )


def columns_of(manifest: Manifest) -> list[int]:
    """Return the place of each of a bundle's labels in the label table, or raise DataError where one has none."""
    unknown = [label.abbreviation for label in manifest.labels if label.abbreviation not in INDEX]
    if unknown:
        raise DataError(f"no data set says anything about {', '.join(unknown)}")
    return [INDEX[label.abbreviation] for label in manifest.labels]


@dataclass(frozen=True)
class _Case:
    record: Record
    signal: NDArray[np.float32]
    keep: NDArray[np.float32]
    target: NDArray[np.uint8]
    known: NDArray[np.uint8]


def _cases(record: Record, manifest: Manifest, columns: list[int]) -> Iterator[_Case]:
    spec, pooled = manifest.input, lengths(manifest)
    start_s, signal, keep = classifiable_windows(record.path, spec, spec.hop_s)
    for rows in _stretches(start_s, spec, int(pooled.max())):
        end_s = start_s[rows][-1] + spec.window_s
        target, known = np.zeros((2, len(columns)), np.uint8)
        for length in np.unique(pooled):
            marks = record.marks(end_s - spec.window_s - (length - 1) * spec.hop_s, end_s)
            some = np.flatnonzero(pooled == length)
            target[some], known[some] = marks.target[columns][some], marks.known[columns][some]
        yield _Case(record, signal[rows], keep[rows], target, known)


def _stretches(start_s: NDArray[np.float64], spec: InputSpec, length: int) -> Iterator[slice]:
    """Yield the rows of each stretch of `length` windows, without overlap; a record too short for one is one."""
    if not start_s.size:
        return
    reach_s = (length - 1) * spec.hop_s
    for begin_s in np.arange(0.0, max(start_s[-1] - reach_s, 0.0) + 1e-6, reach_s + spec.window_s):
        low, high = np.searchsorted(start_s, (begin_s - 1e-6, begin_s + reach_s + 1e-6))
        if high > low:
            yield slice(int(low), int(high))


def lengths(manifest: Manifest) -> NDArray[np.intp]:
    """Return over how many windows the output of each label is pooled, (labels,)."""
    return np.array([manifest.pooling.of(label.abbreviation) for label in manifest.labels])


def predict(
    session: ort.InferenceSession,
    windows: Windows,
    manifest: Manifest,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Run all windows and pool them by case; (cases, labels) probabilities."""
    return pool(run(session, windows.signal, windows.keep, progress), windows, manifest)


def pool(outputs: NDArray[np.float32], windows: Windows, manifest: Manifest) -> NDArray[np.float32]:
    """Make of the outputs of the windows, (windows, labels), those of the cases, (cases, labels)."""
    if len(windows.first) == len(outputs):
        return outputs
    pooled = np.empty((len(windows.first), outputs.shape[1]), np.float32)
    labels = [label.abbreviation for label in manifest.labels]
    for case, rows in enumerate(np.split(outputs, windows.first[1:])):
        pooled[case] = pool_windows(rows, manifest.pooling, labels)[-1]
    return pooled


def run(
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
