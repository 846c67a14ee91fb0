"""F1 on CinC 2017 by the Challenge's rule: the mean of the classes N, A and O (Clifford et al. 2017).

A record's class is the largest of SR (N), AF (A), OTHER (O) and NOISE (~): of each the mean over the device's windows,
of OTHER the maximum, since one premature beat makes a record abnormal. No threshold is used.
"""

from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.scoring.bootstrap import bootstrap_interval
from training.data.reporting import ReportProgress
from training.data.sets.cinc2017 import CLASSES, read_classes
from training.data.splits import cinc2017_part
from training.errors import DataError
from training.evaluation.device import classify_record, output_index
from training.evaluation.metrics import f1

PROTOCOL = (
    "CinC 2017, one lead, record level: argmax over the device's windows of the mean of SR, AF and NOISE and the "
    "maximum of OTHER; "
    "F1 mean of N, A and O; 95% bootstrap interval by record; the set names no patients"
)


def evaluate(bundle: Bundle, data: Path, part: str | None, threads: int, progress: ReportProgress) -> dict[str, Any]:
    """Score a bundle on the records of one part of `training.data.splits` (None: all).

    Raises
    ------
    DataError
        When no such record is there, or the bundle lacks one of the four outputs.
    BundleError
        When the bundle's classifier does not run.
    """
    index = output_index(bundle)
    if lacking := set(CLASSES.values()) - index.keys():
        raise DataError(f"{bundle.path}: no output {', '.join(sorted(lacking))}; score the bundle `rhythm`")
    classes = _classes(data, part)
    columns, rows = [index[label] for label in CLASSES.values()], []
    by_mean = np.array([label != "OTHER" for label in CLASSES.values()])
    with open_classifier(bundle, ClassifierConfig(threads=threads)) as classifier:
        for number, record in enumerate(classes, 1):
            outputs = classify_record(classifier, data / record, bundle.manifest.input)[:, columns]
            rows.append(np.where(by_mean, outputs.mean(axis=0), outputs.max(axis=0)))
            progress("cinc2017", number, len(classes))
    names = np.array(list(CLASSES))  # in the order of the columns
    predicted, reference = names[np.argmax(rows, axis=1)], np.array(list(classes.values()))

    def mean(some: np.ndarray[Any, np.dtype[np.intp]]) -> float:  # the Challenge leaves out the class of noise
        return float(np.nanmean([f1(predicted[some] == c, reference[some] == c) for c in "NAO"]))

    scores = {name: f1(predicted == name, reference == name) for name in CLASSES}
    everything = np.arange(len(classes))
    return {
        "records": len(classes),
        "part": part or "all",
        "protocol": PROTOCOL,
        "f1": scores | {"mean": mean(everything)},
        "ci95": {"mean": bootstrap_interval(mean, len(classes))},
    }


def _classes(data: Path, part: str | None) -> dict[str, str]:
    """Return the class of each record of a part."""
    classes = {
        record: name
        for record, name in read_classes(data).items()
        if (part is None or cinc2017_part(record) == part) and (data / f"{record}.hea").is_file()
    }
    if not classes:
        raise DataError(f"{data}: it has no record of this part")
    return classes
