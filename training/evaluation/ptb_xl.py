"""Macro AUC on PTB-XL in the groups of Strodthoff et al. 2021 (doi 10.1109/JBHI.2020.3022989).

A record's statements count whatever their likelihood; a macro mean is over the statements that occur in the
records scored. Subclasses are scored by the chance that any of their statements holds, 1 - prod(1 - p);
superclasses by their own output. A bundle without the SCP outputs is scored by its product labels where one
means the same, in the groups `rhythm` and `superdiagnostic` only.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.scoring.bootstrap import bootstrap_interval
from training.data.labels import SUPERCLASSES, statement_name
from training.data.sets.ptb_xl import Entry, find_record, read_entries, read_groups
from training.data.statements import SCP_STATEMENTS
from training.errors import DataError
from training.evaluation.device import classify_record, output_index
from training.evaluation.metrics import label_aucs, macro

PROTOCOL = (
    "PTB-XL, record level: mean over the device's windows, all statements whatever their likelihood; "
    "macro AUC over the statements that occur; 95% bootstrap interval by record"
)
_GROUPS = ("diagnostic", "form", "rhythm")
_SAME_MEANING = {
    "SR": "SR",
    "AFIB": "AF",
    "AFLT": "AFL",
    "SVTAC": "SVT",
    "PSVT": "SVT",
    "BIGU": "BIGEMINY",
    "TRIGU": "TRIGEMINY",
    "SBRAD": "SBRAD",
    "STACH": "STACH",
    "PACE": "PACED",
}
Task = tuple[NDArray[np.float64], NDArray[np.uint8]]  # scores and targets, (records, classes) each


def evaluate(
    bundle: Bundle, data: Path, folds: Collection[int] | None, threads: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Score a bundle on the records of the folds (None: all that are there).

    Raises
    ------
    DataError
        When no record of these folds is there.
    BundleError
        When the bundle's classifier does not run.
    """
    wanted = [entry for entry in read_entries(data) if folds is None or entry.fold in folds]
    found = {entry: path for entry in wanted if (path := find_record(data, entry)) is not None}
    entries = list(found)
    if not entries:
        raise DataError(f"{data}: no record of the folds asked for is there")
    spec, rows = bundle.manifest.input, []
    with open_classifier(bundle, ClassifierConfig(threads=threads)) as classifier:
        for number, path in enumerate(found.values(), 1):
            rows.append(classify_record(classifier, path, spec).mean(axis=0))
            progress(number, len(entries))
    return {
        "records": len(entries),
        "folds": sorted({entry.fold for entry in entries}),
        "protocol": PROTOCOL,
        **score(tasks(np.stack(rows), output_index(bundle), entries, read_groups(data))),
    }


def score(named: dict[str, Task]) -> dict[str, Any]:
    """Macro AUC and interval of each task, and how many classes it was taken over."""
    result: dict[str, Any] = {"macro_auc": {}, "ci95": {}, "classes": {}}
    for name, (scores, target) in named.items():
        result["macro_auc"][name] = macro(label_aucs(scores, target))
        result["ci95"][name] = bootstrap_interval(
            lambda rows, s=scores, t=target: macro(label_aucs(s[rows], t[rows])),  # type: ignore[misc]  # bound now
            len(target),
        )
        result["classes"][name] = int(np.isfinite(label_aucs(scores, target)).sum())
    return result


def tasks(
    probabilities: NDArray[np.float32],
    index: dict[str, int],
    entries: list[Entry],
    groups: dict[str, dict[str, str]],
) -> dict[str, Task]:
    """Lay out scores and targets of every group that the outputs allow."""
    said = {code: np.array([code in e.statements for e in entries], np.uint8) for code in SCP_STATEMENTS}
    p = probabilities.astype(np.float64)
    names = {code: statement_name(code) if statement_name(code) in index else _SAME_MEANING.get(code) for code in said}
    outputs = {code: p[:, index[name]] for code, name in names.items() if name in index}
    named: dict[str, Task] = {}
    complete = outputs.keys() == SCP_STATEMENTS.keys()
    if complete:
        named["all"] = _columns(list(SCP_STATEMENTS), outputs, said)
    for group in _GROUPS:
        codes = [code for code in SCP_STATEMENTS if groups[code][group] and code in outputs]
        if codes and (complete or group == "rhythm"):
            named[group] = _columns(codes, outputs, said)
    if complete:
        named["subdiagnostic"] = _merged("diagnostic_subclass", groups, outputs, said)
    if set(SUPERCLASSES) <= index.keys():
        _, target = _merged("diagnostic_class", groups, dict.fromkeys(SCP_STATEMENTS, p[:, 0]), said)
        named["superdiagnostic"] = p[:, [index[name] for name in sorted(SUPERCLASSES)]], target
    return named


def _columns(codes: list[str], outputs: dict[str, NDArray[np.float64]], said: dict[str, NDArray[np.uint8]]) -> Task:
    return np.stack([outputs[c] for c in codes], 1), np.stack([said[c] for c in codes], 1)


def _merged(
    column: str,
    groups: dict[str, dict[str, str]],
    outputs: dict[str, NDArray[np.float64]],
    said: dict[str, NDArray[np.uint8]],
) -> Task:
    """Merge statements that share a subclass or superclass; classes in alphabetical order."""
    members: dict[str, list[str]] = {}
    for code in SCP_STATEMENTS:
        if groups[code][column]:
            members.setdefault(groups[code][column], []).append(code)
    ordered = [members[name] for name in sorted(members)]
    scores = np.stack([1.0 - np.prod([1.0 - outputs[c] for c in codes], axis=0) for codes in ordered], 1)
    return scores, np.stack([np.max([said[c] for c in codes], axis=0) for codes in ordered], 1)
