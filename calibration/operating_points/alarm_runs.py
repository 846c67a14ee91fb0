"""The alarms that many settings of one label would raise in one record, computed quickly.

The same arithmetic as `edge.alarms.machine` and `edge.lab.scoring.record`, for one label without cooldown, latch,
acknowledgement or storms. A test compares the two on random streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.operating_points.settings import Setting
from edge.alarms.machine import SIGNAL_LOST_S
from edge.lab.scoring.episodes import Alarm

_ROUNDING_S = 1e-6


class AlarmWindows(NamedTuple):
    """One alarm, as indices of windows."""

    onset: int  # first window over the threshold
    raised: int
    last: int  # last window over the threshold


@dataclass(frozen=True)
class Evidence:
    """The windows of one record that count for a label, in order; all arrays are (windows,)."""

    values: NDArray[np.float32]  # pooled
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    clock_s: NDArray[np.float64]  # of the delays: it stands still over windows that do not count
    lost: NDArray[np.bool_]  # the gap before the window is so long that an alarm would have ended
    _by_level: dict[float, tuple[list[int], list[int]]] = field(default_factory=dict)

    @cached_property
    def _next_lost(self) -> list[int]:
        return _next_index(self.lost)

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        start_s: NDArray[np.float64],
        end_s: NDArray[np.float64],
        usable: NDArray[np.bool_],
    ) -> "Evidence":
        """Take all windows of a record; `usable` ones are good and not called noise."""
        rows = np.flatnonzero(usable)
        step_s = np.diff(end_s[rows], prepend=end_s[rows[:1]])
        # Time passes only between windows that touch: a delay must not be spent in a gap.
        passes = (np.diff(rows, prepend=-2) == 1) & (start_s[rows] <= np.roll(end_s[rows], 1) + _ROUNDING_S)
        clock_s = np.cumsum(np.where(passes, step_s, 0.0))
        return cls(values[rows], start_s[rows], end_s[rows], clock_s, step_s >= SIGNAL_LOST_S)

    def find_alarms(self, setting: Setting) -> list[AlarmWindows]:
        """Return the alarms that a setting raises."""
        next_over, next_under = self._crossings(setting.threshold)
        next_lost = self._next_lost
        alarms, row, end = [], 0, self.values.size
        while row < end and (onset := next_over[row]) < end:
            raised = self._row_after(onset, setting.on_delay_s)
            stop = min(next_under[onset], next_lost[onset + 1])
            if raised < stop:
                last, row = self._last_and_next(raised, next_lost[raised + 1], setting)
                alarms.append(AlarmWindows(onset, raised, last))
            else:
                row = stop  # too short for the on delay
        return alarms

    def _last_and_next(self, raised: int, lost: int, setting: Setting) -> tuple[int, int]:
        """Return the last window over the threshold of an alarm, and the first window after the alarm's end."""
        next_on, next_off = self._crossings(setting.clear_threshold)
        row = raised + 1
        while (clearing := next_off[row]) < lost:
            cleared, row = self._row_after(clearing, setting.off_delay_s), next_on[clearing]
            if row > cleared or row >= lost:
                return clearing - 1, min(cleared + 1, lost)
        return lost - 1, lost

    def _crossings(self, level: float) -> tuple[list[int], list[int]]:
        """Return, for each window, the next one (itself included) at or over a level, and the next one below it."""
        if level not in self._by_level:
            over = self.values >= level
            self._by_level[level] = _next_index(over), _next_index(~over)
        return self._by_level[level]

    def to_alarms(self, found: Sequence[AlarmWindows], pooled: int, window_s: float, hop_s: float) -> list[Alarm]:
        """Return alarms in stream time, as `edge.lab.scoring.record.AlarmScorer.alarms` does."""
        reach_s = (pooled - 1) * hop_s
        middle_s = (window_s - reach_s) / 2
        return [
            Alarm(
                raised_s=float(self.end_s[raised]),
                covered_s=(float(self.start_s[onset]) - reach_s, float(self.end_s[last])),
                active_s=(
                    float(self.start_s[onset]) + middle_s - hop_s / 2,
                    float(self.start_s[last]) + middle_s + hop_s / 2,
                ),
            )
            for onset, raised, last in found
        ]

    def _row_after(self, row: int, delay_s: float) -> int:
        """Return the first window at which a delay that starts with window `row` has passed."""
        if not delay_s:
            return row
        return max(row, int(self.clock_s.searchsorted(self.clock_s[row] + delay_s - _ROUNDING_S)))


def _next_index(true: NDArray[np.bool_]) -> list[int]:
    """Return, for each of n + 1 positions, the index of the next True from there on; n if there is none."""
    indices = np.append(np.where(true, np.arange(true.size), true.size), true.size)
    following: list[int] = np.minimum.accumulate(indices[::-1])[::-1].tolist()
    return following
