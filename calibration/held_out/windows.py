"""Windows with known labels, cut and pooled as on the device, and the outputs of a graph on them.

The unit is a decision of the device, which the bundle's pooling makes of one or more windows. The decisions of a record
that are taken here do not overlap.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from calibration.held_out.records import LabelledRecord, records_of
from edge.bundle.manifest import InputSpec, Manifest
from edge.core.leads import LEADS
from edge.monitor.pooling import pool_windows
from training.data.labels import INDEX
from training.data.reporting import ReportProgress, no_progress
from training.errors import DataError
from training.evaluation.device import classifiable_windows

_BATCH = 32


@dataclass(frozen=True)
class Part:
    """Which decisions of a data set to take."""

    name: str  # of a part in `training.data.splits`
    every_record: int = 1  # 4: every fourth record
    every_decision: int = 1


JUDGING: Mapping[str, Part] = {
    "ptb-xl": Part("judge"),
    "cinc2017": Part("judge", every_record=4),
    "mitdb": Part("validation", every_decision=5),
}
CHOOSING: Mapping[str, Part] = {"ptb-xl": Part("validation"), "cinc2017": Part("validation", every_record=4)}


@dataclass(frozen=True)
class HeldOutWindows:
    """Labelled windows of one or more data sets; those of a decision are adjacent, in the order of time."""

    signal: NDArray[np.float32]  # (windows, 12, samples) mV
    keep: NDArray[np.float32]  # (windows, 12)
    first: NDArray[np.intp]  # (decisions,) row of the decision's first window
    target: NDArray[np.uint8]  # (decisions, labels of the bundle)
    known: NDArray[np.uint8]  # (decisions, labels of the bundle)
    data_set: NDArray[np.str_]  # (decisions,)
    record: NDArray[np.str_]  # (decisions,), unique over data sets

    def decisions_of(self, data_set: str) -> NDArray[np.intp]:
        """Return the decisions of one data set."""
        return np.flatnonzero(self.data_set == data_set)

    def with_one_lead(self, data_set: str, lead: str) -> "HeldOutWindows":
        """Return the windows of one data set with only one of their leads."""
        alone = np.array([name == lead for name in LEADS], np.float32)
        decisions = self.decisions_of(data_set)
        sizes = np.diff([*self.first, len(self.signal)])  # windows of each decision
        rows = np.repeat(np.isin(np.arange(len(sizes)), decisions), sizes)
        return HeldOutWindows(
            signal=self.signal[rows] * alone[:, None],
            keep=self.keep[rows] * alone,
            first=np.cumsum([0, *sizes[decisions][:-1]]),
            target=self.target[decisions],
            known=self.known[decisions],
            data_set=self.data_set[decisions],
            record=self.record[decisions],
        )


def load_windows(
    data: Path, manifest: Manifest, parts: Mapping[str, Part], progress: ReportProgress = no_progress
) -> HeldOutWindows:
    """Read parts of the data sets with the windows and the labels of a bundle.

    Raises
    ------
    DataError
        When a data set cannot be read, or the bundle has a label that no data set annotates.
    """
    columns = label_columns(manifest)
    records = [
        (record, part.every_decision)
        for name, part in parts.items()
        for record in records_of(data, name, part.name)[:: part.every_record]
    ]
    found: list[_LabelledDecision] = []
    for number, (record, stride) in enumerate(records, 1):
        found += list(_decisions(record, manifest, columns))[::stride]
        progress("read records", number, len(records))
    if not found:
        raise DataError(f"{data}: no window of these parts is good enough to be classified")
    sizes = [len(one.signal) for one in found]
    return HeldOutWindows(
        signal=np.concatenate([one.signal for one in found]),
        keep=np.concatenate([one.keep for one in found]),
        first=np.cumsum([0, *sizes[:-1]]),
        target=np.stack([one.target for one in found]),
        known=np.stack([one.known for one in found]),
        data_set=np.array([one.record.data_set for one in found]),
        record=np.array([f"{one.record.data_set}/{one.record.name}" for one in found]),
    )


def label_columns(manifest: Manifest) -> list[int]:
    """Return the column of each label of a bundle in the label table; DataError for a label without one."""
    unknown = [label.abbreviation for label in manifest.labels if label.abbreviation not in INDEX]
    if unknown:
        raise DataError(f"no data set annotates {', '.join(unknown)}")
    return [INDEX[label.abbreviation] for label in manifest.labels]


@dataclass(frozen=True)
class _LabelledDecision:
    record: LabelledRecord
    signal: NDArray[np.float32]
    keep: NDArray[np.float32]
    target: NDArray[np.uint8]
    known: NDArray[np.uint8]


def _decisions(record: LabelledRecord, manifest: Manifest, columns: list[int]) -> Iterator[_LabelledDecision]:
    spec, pooled = manifest.input, pooled_windows(manifest)
    start_s, signal, keep = classifiable_windows(record.path, spec, spec.hop_s)
    for rows in _rows_of_decisions(start_s, spec, int(pooled.max())):
        end_s = start_s[rows][-1] + spec.window_s
        target, known = np.zeros((2, len(columns)), np.uint8)
        for length in np.unique(pooled):
            # The label of an output is that of all the time that its pooled windows cover.
            labels = record.labels(end_s - spec.window_s - (length - 1) * spec.hop_s, end_s)
            some = np.flatnonzero(pooled == length)
            target[some], known[some] = labels.target[columns][some], labels.known[columns][some]
        yield _LabelledDecision(record, signal[rows], keep[rows], target, known)


def _rows_of_decisions(start_s: NDArray[np.float64], spec: InputSpec, length: int) -> Iterator[slice]:
    """Yield the rows of each decision of `length` windows, without overlap; a short record gives one decision."""
    if not start_s.size:
        return
    reach_s = (length - 1) * spec.hop_s
    for begin_s in np.arange(0.0, max(start_s[-1] - reach_s, 0.0) + 1e-6, reach_s + spec.window_s):
        low, high = np.searchsorted(start_s, (begin_s - 1e-6, begin_s + reach_s + 1e-6))
        if high > low:
            yield slice(int(low), int(high))


def pooled_windows(manifest: Manifest) -> NDArray[np.intp]:
    """Return the number of windows that each label's output is pooled over, (labels,)."""
    return np.array([manifest.pooling.of(label.abbreviation) for label in manifest.labels])


def predict_decisions(
    session: ort.InferenceSession,
    windows: HeldOutWindows,
    manifest: Manifest,
    batch_done: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Run all windows and pool them by decision; (decisions, labels) probabilities."""
    return pool_decisions(run_windows(session, windows.signal, windows.keep, batch_done), windows, manifest)


def pool_decisions(outputs: NDArray[np.float32], windows: HeldOutWindows, manifest: Manifest) -> NDArray[np.float32]:
    """Pool (windows, labels) outputs to (decisions, labels)."""
    if len(windows.first) == len(outputs):
        return outputs
    labels = [label.abbreviation for label in manifest.labels]
    return np.stack([pool_windows(rows, manifest.pooling, labels)[-1] for rows in np.split(outputs, windows.first[1:])])


def run_windows(
    session: ort.InferenceSession,
    signal: NDArray[np.float32],
    keep: NDArray[np.float32],
    batch_done: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Run windows in batches; (windows, labels) probabilities. `batch_done` gets the number of windows of a batch."""
    parts = []
    for first in range(0, len(signal), _BATCH):
        rows = slice(first, first + _BATCH)
        parts.append(session.run(["probabilities"], {"signal": signal[rows], "keep": keep[rows]})[0])
        if batch_done:
            batch_done(len(parts[-1]))
    return np.concatenate(parts)


def logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Invert the sigmoid; probabilities that float32 cannot tell from 0 and 1 are clipped."""
    p = np.clip(probabilities.astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.log(p / (1.0 - p))
