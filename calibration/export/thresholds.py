"""Thresholds from validation patients, so that sinus rhythm raises no alarm.

A label with an alarm gets the lowest threshold between `FLOOR` and `CEILING` for which

    at most `SINUS_RATE` of the sinus windows without the label are over it, and none if the alarm's priority is
    high (for PVC, PAC, BIGEMINY and TRIGEMINY only windows without any premature beat count, since these labels
    are confused with each other), and
    at least `PRECISION` of the windows over it have the label. This needs 20 windows with the label. If no
    threshold does it, the threshold is at least that of the best F1.

A label without an alarm gets the threshold of the best F1. The windows are those of the validation parts, and those of
PTB-XL also with lead I alone and lead II alone, which is all that many devices have.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Label
from training.data.labels import INDEX

SINUS_RATE = 0.002  # of windows; a single window seldom outlasts an on delay, and some annotations are wrong
PRECISION = 0.8
FLOOR = 0.3
CEILING = 0.98
_FEW = 20
_ECTOPY = ("PVC", "PAC", "BIGEMINY", "TRIGEMINY")


@dataclass(frozen=True)
class ScoredWindows:
    """Outputs of a model on windows of one group, with their labels; arrays are (windows, labels)."""

    name: str
    probabilities: NDArray[np.float32]
    target: NDArray[np.uint8]
    known: NDArray[np.uint8]


@dataclass(frozen=True)
class Choice:
    """A threshold and its counts on the windows it was chosen on."""

    label: str
    threshold: float
    sinus_windows: int
    sinus_above: int
    positive: int
    found: int  # of the positive windows
    false: int  # known negative windows above the threshold


def merge_groups(groups: list[ScoredWindows]) -> ScoredWindows:
    """Merge groups; PTB-XL never names VT, so its windows in sinus rhythm count as windows without VT."""
    merged = [replace(g, known=_known_without_vt(g)) if g.name.startswith("ptb-xl") else g for g in groups]
    return ScoredWindows(
        "all",
        np.concatenate([g.probabilities for g in merged]),
        np.concatenate([g.target for g in merged]),
        np.concatenate([g.known for g in merged]),
    )


def _known_without_vt(group: ScoredWindows) -> NDArray[np.uint8]:
    known: NDArray[np.uint8] = group.known.copy()
    known[:, INDEX["VT"]] |= group.target[:, INDEX["SR"]]
    return known


def choose(windows: ScoredWindows, label: Label) -> Choice:
    """Choose the threshold of one label."""
    column = INDEX[label.abbreviation]
    seen = windows.known[:, column] > 0
    scores = windows.probabilities[seen, column].astype(np.float64)
    holds = windows.target[seen, column] > 0
    sinus = (windows.target[seen, INDEX["SR"]] > 0) & ~holds
    if label.abbreviation in _ECTOPY:
        sinus &= ~windows.target[seen][:, [INDEX["PVC"], INDEX["PAC"]]].any(axis=1)
    if label.priority == "none":
        threshold = np.floor(_best_f1(scores, holds) * 1000) / 1000  # down: the best score itself stays over it
    else:
        rate = 0.0 if label.priority == "high" else SINUS_RATE
        least = max(FLOOR, _sinus_rule(scores[sinus], rate), _precision_rule(scores, holds))
        threshold = np.ceil(least * 1000) / 1000  # up: the rules still hold
    threshold = min(max(threshold, 0.001), CEILING)
    above = scores >= threshold
    return Choice(
        label.abbreviation,
        float(threshold),
        int(sinus.sum()),
        int((above & sinus).sum()),
        int(holds.sum()),
        int((above & holds).sum()),
        int((above & ~holds).sum()),
    )


def _sinus_rule(scores: NDArray[np.float64], rate: float) -> float:
    # Just above the highest score that may not be over the threshold.
    allowed = int(rate * scores.size)
    return float(np.nextafter(np.sort(scores)[-allowed - 1], 1.0)) if scores.size else 0.0


def _precision_rule(scores: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
    if holds.sum() < _FEW:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    precision = np.cumsum(holds[order]) / np.arange(1, scores.size + 1)  # of a threshold at each score, from the top
    good = np.flatnonzero(precision >= PRECISION)
    return float(scores[order[good[-1]]]) if good.size else _best_f1(scores, holds)


def _best_f1(scores: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
    if not holds.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(holds[order])
    f1 = 2 * found / (np.arange(1, scores.size + 1) + holds.sum())
    return float(scores[order[np.argmax(f1)]])
