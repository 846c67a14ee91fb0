"""Macro AUC on PTB-XL in the groups of Strodthoff et al. 2021 (doi 10.1109/JBHI.2020.3022989).

A record's statements count whatever their likelihood. A macro mean is over the statements that occur in the scored
records. The score of a subclass is the probability that any of its statements holds, 1 - prod(1 - p); superclasses
have outputs of their own. A bundle without the SCP outputs is scored by the product labels that mean the same, in the
groups `rhythm` and `superdiagnostic` only.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.lab.scoring.bootstrap import bootstrap_interval
from training.data.labels import SUPERCLASSES, statement_name
from training.data.reporting import ReportProgress
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
ScoredGroup = tuple[NDArray[np.float64], NDArray[np.uint8]]  # scores and targets, (records, classes) each


def evaluate(
    bundle: Bundle, data: Path, folds: Collection[int] | None, threads: int, progress: ReportProgress
) -> dict[str, Any]:
    """Score a bundle on the records of some folds (None: all folds).

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
        raise DataError(f"{data}: it has no record of these folds")
    spec, rows = bundle.manifest.input, []
    with open_classifier(bundle, ClassifierConfig(threads=threads)) as classifier:
        for number, path in enumerate(found.values(), 1):
            rows.append(classify_record(classifier, path, spec).mean(axis=0))
            progress("ptb-xl", number, len(entries))
    return {
        "records": len(entries),
        "folds": sorted({entry.fold for entry in entries}),
        "protocol": PROTOCOL,
        **score(scores_by_group(np.stack(rows), output_index(bundle), entries, read_groups(data))),
    }


def score(groups: dict[str, ScoredGroup]) -> dict[str, Any]:
    """Return macro AUC, its interval and the number of classes that occur, of each group."""
    result: dict[str, Any] = {"macro_auc": {}, "ci95": {}, "classes": {}}
    for name, (scores, target) in groups.items():
        result["macro_auc"][name] = macro(label_aucs(scores, target))
        result["ci95"][name] = bootstrap_interval(
            lambda rows, s=scores, t=target: macro(label_aucs(s[rows], t[rows])),  # type: ignore[misc]  # bound now
            len(target),
        )
        result["classes"][name] = int(np.isfinite(label_aucs(scores, target)).sum())
    return result


def scores_by_group(
    probabilities: NDArray[np.float32],
    index: dict[str, int],
    entries: list[Entry],
    groups: dict[str, dict[str, str]],
) -> dict[str, ScoredGroup]:
    """Return scores and targets of every group that the outputs allow."""
    named = {code: np.array([code in e.statements for e in entries], np.uint8) for code in SCP_STATEMENTS}
    p = probabilities.astype(np.float64)
    names = {code: statement_name(code) if statement_name(code) in index else _SAME_MEANING.get(code) for code in named}
    outputs = {code: p[:, index[name]] for code, name in names.items() if name in index}
    result: dict[str, ScoredGroup] = {}
    # Only the product labels of rhythms mean the same as statements, so the other groups need all SCP outputs.
    complete = outputs.keys() == SCP_STATEMENTS.keys()
    if complete:
        result["all"] = _columns(list(SCP_STATEMENTS), outputs, named)
    for group in _GROUPS:
        codes = [code for code in SCP_STATEMENTS if groups[code][group] and code in outputs]
        if codes and (complete or group == "rhythm"):
            result[group] = _columns(codes, outputs, named)
    if complete:
        result["subdiagnostic"] = _merged("diagnostic_subclass", groups, outputs, named)
    if set(SUPERCLASSES) <= index.keys():
        _, target = _merged("diagnostic_class", groups, dict.fromkeys(SCP_STATEMENTS, p[:, 0]), named)
        # In alphabetical order, as `_merged` sorts the targets.
        result["superdiagnostic"] = p[:, [index[name] for name in sorted(SUPERCLASSES)]], target
    return result


def _columns(
    codes: list[str], outputs: dict[str, NDArray[np.float64]], named: dict[str, NDArray[np.uint8]]
) -> ScoredGroup:
    return np.stack([outputs[c] for c in codes], 1), np.stack([named[c] for c in codes], 1)


def _merged(
    column: str,
    groups: dict[str, dict[str, str]],
    outputs: dict[str, NDArray[np.float64]],
    named: dict[str, NDArray[np.uint8]],
) -> ScoredGroup:
    """Merge the statements of each subclass or superclass; classes in alphabetical order."""
    members: dict[str, list[str]] = {}
    for code in SCP_STATEMENTS:
        if groups[code][column]:
            members.setdefault(groups[code][column], []).append(code)
    ordered = [members[name] for name in sorted(members)]
    scores = np.stack([1.0 - np.prod([1.0 - outputs[c] for c in codes], axis=0) for codes in ordered], 1)
    return scores, np.stack([np.max([named[c] for c in codes], axis=0) for codes in ordered], 1)
