"""Beat-by-beat comparison of two annotation lists after ANSI/AAMI EC57, as its reference implementation `bxb` does it.

Two beats match within 150 ms. Each beat has at most one partner, the nearer one. The first five minutes are the
learning period and do not count. Extra beats of the test list within annotated ventricular flutter or fibrillation do
not count either. Source: G. B. Moody, Evaluating ECG Analyzers, and bxb.c, both of the WFDB Software Package 10.

EC57's shutdown is not implemented: a device that stopped analysing is scored as one that found no beat.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MATCH_S = 0.15
LEARNING_S = 300.0
CLASSES = "NSVFQ"  # normal, supraventricular ectopic, ventricular ectopic, fusion, unclassifiable or paced
_NONE = len(CLASSES)  # row or column of a beat without a partner; EC57 calls it O
# bxb's map. Escape beats (j e n) are S there; de Chazal et al. 2004, whom most papers follow, count j and e as N.
AAMI = {
    **dict.fromkeys("NLRB", "N"),
    **dict.fromkeys("AaJSejn", "S"),
    **dict.fromkeys("VrE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}


@dataclass(frozen=True)
class Beats:
    """The beats of one record, in order of time."""

    times_s: NDArray[np.float64]  # (beats,)
    classes: str  # one of `CLASSES` for each beat
    flutter: tuple[tuple[float, float], ...] = ()  # start and end, in seconds, of ventricular flutter or fibrillation

    def __post_init__(self) -> None:
        """Raise ValueError when times and classes contradict each other."""
        if self.times_s.shape != (len(self.classes),) or set(self.classes) - set(CLASSES):
            raise ValueError(f"{len(self.classes)} classes for {self.times_s.shape} times; each needs one of {CLASSES}")
        if (np.diff(self.times_s) < 0).any():
            raise ValueError("beats must be in order of time")

    @classmethod
    def of(cls, times_s: NDArray[np.float64], symbols: Sequence[str]) -> "Beats":
        """Take WFDB annotations, without symbols that are no beats and without the flutter between [ and ]."""
        flutter, times, classes, began = [], [], [], None
        for time, symbol in zip(map(float, times_s), symbols, strict=True):
            if symbol == "[" and began is None:
                began = time
            elif symbol == "]" and began is not None:
                flutter.append((began, time))
                began = None
            elif symbol in AAMI and began is None:
                times.append(time)
                classes.append(AAMI[symbol])
        if began is not None:
            flutter.append((began, float("inf")))
        return cls(np.array(times, np.float64), "".join(classes), tuple(flutter))


def _no_counts() -> NDArray[np.int64]:
    return np.zeros((_NONE + 1, _NONE + 1), np.int64)


@dataclass(frozen=True)
class Confusion:
    """Pairs of beats counted by class; the sum over records gives EC57's gross statistics."""

    counts: NDArray[np.int64] = field(default_factory=_no_counts)  # (reference N S V F Q none, test N S V F Q none)

    def __add__(self, other: "Confusion") -> "Confusion":
        """Add up two records."""
        return Confusion(self.counts + other.counts)

    def count(self, reference: str, test: str) -> int:
        """Return how often classes met, such as `count("V", "N")`; O is a beat without a partner."""
        order = CLASSES + "O"
        return int(self.counts[order.index(reference), order.index(test)])

    @property
    def qrs(self) -> tuple[int, int, int]:
        """How many QRS complexes of any class were found, missed and added."""
        found = self.counts[:_NONE, :_NONE].sum()
        return int(found), int(self.counts[:_NONE, _NONE].sum()), int(self.counts[_NONE, :_NONE].sum())

    def rates(self) -> dict[str, float | None]:
        """Sensitivity, positive predictivity and false positive rate of QRS, VEB and SVEB; None where undefined.

        A fusion or unclassifiable beat classified as V is no false positive, nor is an unclassifiable one classified as
        S: its true class is unknown. A false positive rate is a share of the test beats that are not of the class.
        """
        found, missed, extra = self.qrs
        return {
            "qrs_se": _ratio(found, found + missed),
            "qrs_ppv": _ratio(found, found + extra),
            **self._rates_of("veb", "V", ignored="FQ"),
            **self._rates_of("sveb", "S", ignored="Q"),
        }

    def _rates_of(self, name: str, kind: str, ignored: str) -> dict[str, float | None]:
        column = CLASSES.index(kind)
        classified = self.counts[:, column]
        right = classified[column]
        false = classified.sum() - right - sum(classified[CLASSES.index(other)] for other in ignored)
        others = np.delete(self.counts, column, axis=0)
        rejected = np.delete(others, [column, _NONE], axis=1).sum()
        return {
            f"{name}_se": _ratio(right, self.counts[column].sum()),
            f"{name}_ppv": _ratio(right, right + false),
            f"{name}_fpr": _ratio(false, rejected + false),
        }


def _ratio(part: int, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None


def compare(reference: Beats, test: Beats, *, start_s: float = LEARNING_S, match_s: float = MATCH_S) -> Confusion:
    """Compare two lists from `start_s` on."""
    counts = _no_counts()
    for one, other in _pairs(reference.times_s, test.times_s, start_s, match_s):
        if one is None and other is not None and _within(float(test.times_s[other]), reference.flutter):
            continue
        row = _NONE if one is None else CLASSES.index(reference.classes[one])
        column = _NONE if other is None else CLASSES.index(test.classes[other])
        counts[row, column] += 1
    return Confusion(counts)


def _within(time_s: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(start <= time_s <= end for start, end in spans)


def _pairs(
    reference_s: NDArray[np.float64], test_s: NDArray[np.float64], start_s: float, match_s: float
) -> Iterator[tuple[int | None, int | None]]:
    """Yield the indices of matching beats, None for a missing partner."""
    rows, columns = [*map(float, reference_s), np.inf, np.inf], [*map(float, test_s), np.inf, np.inf]
    row, column = (int(np.searchsorted(times, start_s)) for times in (reference_s, test_s))
    reach = match_s + 1e-9  # times are quotients of sample numbers

    def fits(near: float, far: float, next_far: float) -> bool:
        return abs(near - far) <= reach and abs(near - far) < abs(near - next_far)

    # The list's borders, as bxb has them: a test beat just before the start may belong to the first reference beat,
    # and one just after it to a reference beat of the learning period.
    if column and fits(rows[row], columns[column - 1], columns[column]):
        yield row, column - 1
        row += 1
    elif columns[column] - start_s <= match_s and abs(rows[row] - columns[column + 1]) < abs(
        rows[row] - columns[column]
    ):
        column += 1
    while row < reference_s.size or column < test_s.size:
        if columns[column] < rows[row]:
            matched = fits(rows[row], columns[column], columns[column + 1])
            yield (row if matched else None), column
            row += matched
            column += 1
        else:
            matched = fits(columns[column], rows[row], rows[row + 1])
            yield row, (column if matched else None)
            column += matched
            row += 1
