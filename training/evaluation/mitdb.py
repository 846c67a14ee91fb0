"""AUC and F1 of each label by window on MIT-BIH, over all patients and for each.

The windows are the device's, 2 s apart, labelled as in `training.data.sets.mitdb`. F1 is at the bundle's thresholds.
There are no intervals: windows of one patient resemble each other, and there are too few patients to resample.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.scoring.annotation import patient_of, read_annotation
from training.data.labels import INDEX
from training.data.reporting import ReportProgress
from training.data.sets.mitdb import HOP_S, window_labels
from training.data.splits import mitdb_part
from training.errors import DataError
from training.evaluation.device import classifiable_windows, classify
from training.evaluation.metrics import auc, f1

PROTOCOL = (
    "MIT-BIH, the device's windows every 2 s, labels by the rules of training/data/sets/mitdb.py; "
    "AUC and F1 (at the bundle's thresholds) by window, over all patients and for each"
)


def evaluate(bundle: Bundle, data: Path, part: str | None, threads: int, progress: ReportProgress) -> dict[str, Any]:
    """Score a bundle on the records of one part of `training.data.splits` (None: all).

    Raises
    ------
    DataError
        When no such record is there.
    BundleError
        When the bundle's classifier does not run.
    """
    records = [
        path.stem for path in sorted(data.glob("*.atr")) if part is None or mitdb_part(patient_of(path.stem)) == part
    ]
    if not records:
        raise DataError(f"{data}: it has no record of this part")
    parts = []
    with open_classifier(bundle, ClassifierConfig(threads=threads)) as classifier:
        for number, record in enumerate(records, 1):
            start_s, signal, keep = classifiable_windows(data / record, bundle.manifest.input, HOP_S)
            annotation = read_annotation(data / record)
            labels = [window_labels(annotation, s, s + bundle.manifest.input.window_s) for s in start_s]
            target, known = np.stack([each.target for each in labels]), np.stack([each.known for each in labels])
            parts.append((classify(classifier, signal, keep), target, known))
            progress("mitdb", number, len(records))
    # (windows, labels) of all records together: probabilities, target, known.
    pooled = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return {
        "records": records,
        "protocol": PROTOCOL,
        "labels": _scores(bundle, *pooled),
        "by_record": {record: _scores(bundle, *part) for record, part in zip(records, parts, strict=True)},
    }


def _scores(
    bundle: Bundle, probabilities: NDArray[np.float32], target: NDArray[np.uint8], known: NDArray[np.uint8]
) -> dict[str, dict[str, float | int | None]]:
    """Return figures of every annotated label that occurs or is predicted; None for undefined ones."""
    result: dict[str, dict[str, float | int | None]] = {}
    for output, label in enumerate(bundle.manifest.labels):
        column = INDEX.get(label.abbreviation)
        if column is None or not known[:, column].any():
            continue
        seen = known[:, column] > 0
        scores, holds = probabilities[seen, output], target[seen, column] > 0
        predicted = scores >= label.threshold
        if holds.any() or predicted.any():
            result[label.abbreviation] = {
                "auc": _defined(auc(scores, holds)),
                "f1": _defined(f1(predicted, holds)),
                "windows": int(seen.sum()),
                "positive": int(holds.sum()),
                "predicted": int(predicted.sum()),
            }
    return result


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
