"""F1 of the nine classes of CPSC 2018 by its own rule, and macro AUC (Liu et al. 2018, doi 10.1166/jmihi.2018.2442).

The predicted class of a record is the largest output: the mean over the device's windows, for PAC and PVC the maximum.
It is right if it is one of the record's classes; if it is wrong, the record counts for its first class. Never run on
the real set, which was not available.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.scoring.bootstrap import bootstrap_interval
from training.data.labels import statement_name
from training.data.reporting import ReportProgress
from training.data.sets.snomed import read_diagnoses
from training.data.splits import snomed_part
from training.errors import DataError
from training.evaluation.device import classify_record, output_index
from training.evaluation.metrics import label_aucs, macro

PROTOCOL = (
    "CPSC 2018 in PhysioNet's copy, record level, nine classes: one predicted class a record, the largest mean over "
    "the device's windows (maximum for PAC and PVC); F1 by the challenge's rule; 95% bootstrap interval by record; the "
    "set names no patients"
)
# class -> SNOMED CT code in the headers, and outputs of that meaning; the first one that a bundle has is used
CLASSES = {
    "Normal": ("426783006", ("SR", statement_name("SR"))),
    "AF": ("164889003", ("AF", statement_name("AFIB"))),
    "I-AVB": ("270492004", ("AVB1", statement_name("1AVB"))),
    "LBBB": ("164909002", ("LBBB", statement_name("CLBBB"))),
    "RBBB": ("59118001", ("RBBB", statement_name("CRBBB"))),
    "PAC": ("284470004", ("PAC", statement_name("PAC"))),
    "PVC": ("164884008", ("PVC", statement_name("PVC"))),
    "STD": ("429622005", (statement_name("STD_"),)),
    "STE": ("164931005", (statement_name("STE_"),)),
}
_BEATS = ("PAC", "PVC")


def evaluate(bundle: Bundle, data: Path, part: str | None, threads: int, progress: ReportProgress) -> dict[str, Any]:
    """Score a bundle on the records of one part of `training.data.splits` (None: all).

    Raises
    ------
    DataError
        When no such record is there, or the bundle has no output for one of the classes.
    BundleError
        When the bundle's classifier does not run.
    """
    columns = _columns(bundle)
    records = {
        header: codes
        for header, codes in read_diagnoses(data).items()
        if (part is None or snomed_part(header.stem) == part) and any(code in codes for code, _ in CLASSES.values())
    }
    if not records:
        raise DataError(f"{data}: it has no record of this part")
    means, rows = np.array([name not in _BEATS for name in CLASSES]), []
    with open_classifier(bundle, ClassifierConfig(threads=threads)) as classifier:
        for number, header in enumerate(records, 1):
            outputs = classify_record(classifier, header.with_suffix(""), bundle.manifest.input)[:, columns]
            rows.append(np.where(means, outputs.mean(axis=0), outputs.max(axis=0)))
            progress("cpsc2018", number, len(records))
    scores = np.stack(rows)
    holds = np.array([[code in codes for code, _ in CLASSES.values()] for codes in records.values()])
    f1 = class_f1(scores, holds)
    return {
        "records": len(records),
        "part": part or "all",
        "protocol": PROTOCOL,
        "f1": dict(zip(CLASSES, map(float, f1), strict=True)) | {"mean": float(np.nanmean(f1))},
        "macro_auc": {"all": macro(label_aucs(scores, holds.astype(np.uint8)))},
        "ci95": {
            "mean": bootstrap_interval(lambda some: float(np.nanmean(class_f1(scores[some], holds[some]))), len(rows))
        },
    }


def class_f1(scores: NDArray[np.float32], holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """F1 of each class by the challenge's rule; NaN for a class that neither occurs nor is predicted.

    Parameters
    ----------
    scores : (records, classes); the largest is the prediction
    holds : (records, classes) bool; every record has at least one class
    """
    predicted = scores.argmax(axis=1)  # (records,)
    right = np.take_along_axis(holds, predicted[:, None], axis=1)[:, 0]
    counted = np.where(right, predicted, holds.argmax(axis=1))  # class that the record counts for
    classes = np.arange(holds.shape[1])
    hits = np.array([(right & (predicted == c)).sum() for c in classes], float)
    total = np.array([(predicted == c).sum() + (counted == c).sum() for c in classes], float)
    f1: NDArray[np.float64] = np.divide(2.0 * hits, total, out=np.full(hits.size, np.nan), where=total > 0)
    return f1


def _columns(bundle: Bundle) -> list[int]:
    index, columns = output_index(bundle), []
    for name, (_, outputs) in CLASSES.items():
        found = [index[output] for output in outputs if output in index]
        if not found:
            raise DataError(f"{bundle.path}: no output for the class {name}; score the bundle `rhythm`")
        columns.append(found[0])
    return columns
