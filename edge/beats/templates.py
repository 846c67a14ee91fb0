"""The patient's own usual beat, lead by lead, and how much a beat is like it.

The template of a lead is the median of its last beats that were neither early nor of another shape. When a minute
brought none of these, the patient's beat has changed, and the learning begins anew.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.beats.snippets import BEFORE, LENGTH

QRS = slice(BEFORE - 12, BEFORE + 16)  # samples of a snippet: -0.12 to +0.16 s
_P = slice(BEFORE - 28, BEFORE - 8)
_T = slice(BEFORE + 20, BEFORE + 45)
_REACH = 3  # samples by which a beat may be shifted for the comparison
_BEATS = 60
_EVERY = 4  # beats after which the median is taken anew
_ALIKE = 0.6  # correlation of the QRS complex
_STALE_S = 60.0
_FIRST = 8  # beats that are taken whatever their shape
_LOWEST_MV = 0.1  # height of a QRS complex that a snippet is scaled by
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a beat is like the template; means over the leads that are kept."""

    qrs: float  # correlation
    qrs_lowest: float  # of the lead where it is lowest
    p: float
    t: float
    p_change: float  # RMS of the difference before the QRS complex, of its height
    height: float  # natural logarithm of the quotient of the heights
    area: float  # the same of the rectified areas

    def values(self) -> tuple[float, ...]:
        """Return the measures in the order of the fields."""
        return self.qrs, self.qrs_lowest, self.p, self.t, self.p_change, self.height, self.area


NOT_KNOWN = Likeness(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Templates:
    """The running templates of one stream.

    Parameters
    ----------
    leads : number of leads
    """

    def __init__(self, leads: int) -> None:
        self._beats = np.zeros((leads, _BEATS, LENGTH), np.float32)
        self._count = np.zeros(leads, np.int64)  # beats taken, of each lead
        self._taken_s = 0.0  # when the last beat was taken
        self.values = np.zeros((leads, LENGTH), np.float32)  # mV
        self.heights = np.full(leads, _LOWEST_MV, np.float32)  # of the template's QRS complex, mV

    @property
    def beats(self) -> int:
        """How many beats the best-known lead has."""
        return int(self._count.max())

    def take(self, snippet: Array, keep: NDArray[np.bool_], time_s: float, *, early: bool, alike: float) -> None:
        """Learn from a beat: (leads, samples) mV, `keep` True for leads that are good, `alike` its QRS correlation."""
        if self.beats >= _FIRST and time_s - self._taken_s > _STALE_S:
            self._count[:] = 0
        known = self.beats >= _FIRST
        if early or (known and alike < _ALIKE) or not keep.any():
            return
        self._taken_s = time_s
        for lead in np.flatnonzero(keep).tolist():
            count = int(self._count[lead])
            self._beats[lead, count % _BEATS] = snippet[lead]
            self._count[lead] = count + 1
            if count < _FIRST or count % _EVERY == 0:
                self._renew(lead, min(count + 1, _BEATS))

    def _renew(self, lead: int, count: int) -> None:
        self.values[lead] = np.median(self._beats[lead, :count], axis=0)
        self.heights[lead] = max(float(np.ptp(self.values[lead, QRS])), _LOWEST_MV)

    def known(self, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (leads,) True where a lead is good and has a template."""
        return keep & (self._count > 0)

    def scaled(self, snippet: Array) -> Array:
        """Return a snippet in units of the height of the template's QRS complex."""
        return snippet / self.heights[:, None]

    def compare(self, snippet: Array, keep: NDArray[np.bool_]) -> Likeness:
        """Compare a (leads, samples) beat with the template."""
        leads = self.known(keep)
        if not leads.any():
            return NOT_KNOWN
        mine, usual = snippet[leads], self.values[leads]
        shift, qrs = _best_shift(mine, usual)
        at = np.arange(LENGTH) + shift
        moved = mine[:, np.clip(at, 0, LENGTH - 1)]
        change = _centred(moved[:, _P]) - _centred(usual[:, _P])
        return Likeness(
            qrs=float(qrs.mean()),
            qrs_lowest=float(qrs.min()),
            p=float(_correlation(moved[:, _P], usual[:, _P]).mean()),
            t=float(_correlation(moved[:, _T], usual[:, _T]).mean()),
            p_change=float((np.sqrt((change * change).mean(axis=1)) / self.heights[leads]).mean()),
            height=float(_log_ratio(np.ptp(mine[:, QRS], axis=1), np.ptp(usual[:, QRS], axis=1)).mean()),
            area=float(_log_ratio(_area(mine[:, QRS]), _area(usual[:, QRS])).mean()),
        )

    def compare_qrs(self, qrs: Array, keep: NDArray[np.bool_]) -> tuple[float, float]:
        """Return correlation and log height of a QRS complex alone, (leads, samples of `QRS` and `_REACH` around)."""
        leads = self.known(keep)
        if not leads.any():
            return 0.0, 0.0
        windows = unit(sliding_window_view(qrs[leads], QRS.stop - QRS.start, axis=1))
        usual = unit(self.values[leads, QRS])
        highest = np.einsum("lsn,ln->ls", windows, usual).mean(axis=0).max()
        inner = qrs[leads, _REACH:-_REACH]
        height = _log_ratio(np.ptp(inner, axis=1), np.ptp(self.values[leads, QRS], axis=1)).mean()
        return float(highest), float(height)


def unit(values: Array) -> Array:
    """Return what is given without mean and with length 1 along the last axis; a constant becomes 0."""
    result = _centred(values)
    norm = np.sqrt(np.add.reduce(result * result, axis=-1, keepdims=True))
    result /= np.maximum(norm, np.float32(1e-6))
    return result


def wide_qrs(snippet: Array) -> Array:
    """Return the part of a snippet that `unit_windows` takes."""
    return snippet[:, QRS.start - _REACH : QRS.stop + _REACH]


def unit_windows(snippet: Array) -> Array:
    """Return (leads, shifts, samples) QRS complexes, shifted to each side, as `unit` makes them."""
    return unit(sliding_window_view(wide_qrs(snippet), QRS.stop - QRS.start, axis=1))


def _best_shift(mine: Array, usual: Array) -> tuple[int, Array]:
    """Return the shift of the beat that suits all leads best, and (leads,) correlations of the QRS complex at it."""
    correlation = np.einsum("lsn,ln->ls", unit_windows(mine), unit(usual[:, QRS]))
    best = int(correlation.sum(axis=0).argmax())
    return best - _REACH, correlation[:, best]


def _centred(values: Array) -> Array:
    result: Array = values - np.add.reduce(values, axis=-1, keepdims=True) / values.shape[-1]
    return result


def _correlation(one: Array, other: Array) -> Array:
    result: Array = (unit(one) * unit(other)).sum(axis=1)
    return result


def _area(values: Array) -> Array:
    result: Array = np.abs(_centred(values)).sum(axis=1)
    return result


def _log_ratio(one: Array, other: Array) -> Array:
    result: Array = np.log((one + 0.02) / (other + 0.02))
    return result
