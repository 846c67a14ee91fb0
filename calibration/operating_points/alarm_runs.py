"""What the alarm machine makes of one label's outputs in one record, for many settings quickly.

The arithmetic twin of `edge.alarms.track` and `edge.lab.scoring.record` for one label without cooldown, latch,
people or storms; a test compares the two on random streams. Knows no references and chooses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge.alarms.machine import SIGNAL_LOST_S
from edge.lab.scoring.episodes import Alarm

_ROUNDING_S = 1e-6
Step = tuple[int, int, int]  # indices of windows: first over the threshold, raised, last over


@dataclass(frozen=True)
class Setting:
    """When one alarm is raised and ends; fields as of `edge.bundle.manifest.Label`, and the windows that are pooled."""

    threshold: float
    clear_threshold: float
    on_delay_s: float
    off_delay_s: float
    pooled: int


@dataclass(frozen=True)
class Evidence:
    """The windows of one record that say something about a label, in order; (windows,) each."""

    values: NDArray[np.float32]  # pooled
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    held_s: NDArray[np.float64]  # a clock that stands still where delays do
    lost: NDArray[np.bool_]  # so long after the window before that an alarm ended meanwhile
    _known: dict[float, tuple[list[int], list[int]]] = field(default_factory=dict)

    @cached_property
    def _next_lost(self) -> list[int]:
        return _next(self.lost)

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        start_s: NDArray[np.float64],
        end_s: NDArray[np.float64],
        says: NDArray[np.bool_],
    ) -> "Evidence":
        """Take all windows of a record, and which of them are evidence: good, and not called noise."""
        at = np.flatnonzero(says)
        step_s = np.diff(end_s[at], prepend=end_s[at[:1]])
        passes = (np.diff(at, prepend=-2) == 1) & (start_s[at] <= np.roll(end_s[at], 1) + _ROUNDING_S)
        held_s = np.cumsum(np.where(passes, step_s, 0.0))
        return cls(values[at], start_s[at], end_s[at], held_s, step_s >= SIGNAL_LOST_S)

    def steps(self, setting: Setting) -> list[Step]:
        """Return the alarms as indices of windows."""
        next_over, next_under = self._turns(setting.threshold)
        next_lost = self._next_lost
        steps, at, end = [], 0, self.values.size
        while at < end and (onset := next_over[at]) < end:
            raised = self._after(onset, setting.on_delay_s)
            stop = min(next_under[onset], next_lost[onset + 1])
            if raised < stop:
                last, at = self._lasts(raised, next_lost[raised + 1], setting)
                steps.append((onset, raised, last))
            else:
                at = stop
        return steps

    def _lasts(self, raised: int, gone: int, setting: Setting) -> tuple[int, int]:
        """Return the last window over the threshold of an alarm, and the first after its end; `gone`: signal lost."""
        next_on, next_off = self._turns(setting.clear_threshold)
        at = raised + 1
        while (clearing := next_off[at]) < gone:
            cleared, at = self._after(clearing, setting.off_delay_s), next_on[clearing]
            if at > cleared or at >= gone:
                return clearing - 1, min(cleared + 1, gone)
        return gone - 1, gone

    def _turns(self, level: float) -> tuple[list[int], list[int]]:
        """Return, for each window, the next one from it on that is not below a level, and that is."""
        if level not in self._known:
            over = self.values >= level
            self._known[level] = _next(over), _next(~over)
        return self._known[level]

    def alarms(self, steps: Sequence[Step], pooled: int, window_s: float, hop_s: float) -> list[Alarm]:
        """Return the alarms as `edge.lab.scoring.record.AlarmScorer` puts them together."""
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
            for onset, raised, last in steps
        ]

    def _after(self, index: int, delay_s: float) -> int:
        """Return the first window at which a delay that began with one has passed."""
        if not delay_s:
            return index
        return max(index, int(self.held_s.searchsorted(self.held_s[index] + delay_s - _ROUNDING_S)))


def _next(true: NDArray[np.bool_]) -> list[int]:
    """Return n + 1 indices of the next true place from each on; n where there is none."""
    places = np.append(np.where(true, np.arange(true.size), true.size), true.size)
    following: list[int] = np.minimum.accumulate(places[::-1])[::-1].tolist()
    return following
