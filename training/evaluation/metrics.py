"""Area under the ROC curve and F1 for many labels at once, unknown entries left out."""

import numpy as np
from numpy.typing import NDArray


class RankedScores:
    """One label's scores, sorted once, so that each area under the ROC curve takes a few sums."""

    def __init__(self, scores: NDArray[np.floating], target: NDArray[np.bool_]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._holds = target[self._order].astype(np.float64)
        self._ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # where each group of equal scores starts

    def auc(self, weights: NDArray[np.float64]) -> float:
        """Area under the ROC curve (Mann-Whitney U, ties count half) with (windows,) weights.

        NaN when one class has no weight.
        """
        if not self._order.size:
            return float("nan")
        ordered = weights[self._order]
        positive = np.add.reduceat(ordered * self._holds, self._ties)
        negative = np.add.reduceat(ordered * (1.0 - self._holds), self._ties)
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float((positive * (below + 0.5 * negative)).sum() / pairs) if pairs else float("nan")


def auc(scores: NDArray[np.floating], target: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of one label; NaN when one class is absent.

    `scores` and `target` are (windows,).
    """
    return RankedScores(scores, target).auc(np.ones(scores.size))


def label_aucs(
    scores: NDArray[np.floating], target: NDArray[np.uint8], known: NDArray[np.uint8] | None = None
) -> NDArray[np.float64]:
    """Area under the ROC curve of each label over the windows where it is known.

    All arguments are (windows, labels); returns (labels,), NaN where undefined.
    """
    seen = np.ones(target.shape, bool) if known is None else known > 0
    return np.array([auc(scores[s, i], target[s, i] > 0) for i, s in enumerate(seen.T)])


def macro(values: NDArray[np.float64]) -> float:
    """Mean of what is defined; NaN when nothing is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")


def f1(predicted: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """F1 of one label; NaN when it neither occurs nor is predicted."""
    total = int(predicted.sum()) + int(target.sum())
    return 2.0 * int((predicted & target).sum()) / total if total else float("nan")
