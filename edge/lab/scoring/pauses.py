"""Pauses longer than 4 s between reference beats: found or not, and false alarms.

A pause is found when an ASYSTOLE or a PAUSE alarm is on at some time from its first beat to 3 s after its last one: an
alarm may be raised by the beat that ends the pause. An ASYSTOLE alarm is false where no interval above 3.8 s, and a
PAUSE alarm where none above 2.85 s, was that near before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge.lab.scoring.beats import Beats
from edge.lab.scoring.rates import ASYSTOLE_S, PAUSE_S, long_intervals, marked_out
from edge.lab.scoring.spans import Spans, union

LABELS = ("ASYSTOLE", "PAUSE")
_LATE_S = 3.0
_UNSURE = 0.95


class PauseScore(msgspec.Struct, frozen=True):
    """Pauses longer than 4 s."""

    n: int
    found: int
    false: int  # alarms


@dataclass(frozen=True, slots=True)
class PauseCounts:
    """What the figures are; counts of records add up."""

    n: int = 0
    found: int = 0
    false: int = 0

    def __add__(self, other: "PauseCounts") -> "PauseCounts":
        """Add up two records."""
        return PauseCounts(self.n + other.n, self.found + other.found, self.false + other.false)


def count_pauses(beats: Beats, alarms: dict[str, Spans], start_s: float, marks_s: Sequence[float] = ()) -> PauseCounts:
    """Compare the pauses with the time in which the alarms of `LABELS` were on, from `start_s` on.

    `marks_s` are artefacts; an interval around one is no pause, and an alarm there is not false.
    """
    every = np.concatenate([alarms.get(label, np.zeros((0, 2))) for label in LABELS])
    pauses = long_intervals(beats, ASYSTOLE_S, marks_s)
    pauses = pauses[pauses[:, 0] >= start_s]
    found = sum(_any_overlaps(every, start, end + _LATE_S) for start, end in pauses)
    unsure = union([*beats.flutter, *marked_out(beats, marks_s)])
    false = sum(_false(beats, alarms.get(label, np.zeros((0, 2))), label, start_s, unsure) for label in LABELS)
    return PauseCounts(len(pauses), found, false)


def _false(beats: Beats, alarms: Spans, label: str, start_s: float, unsure: Spans) -> int:
    near = long_intervals(beats, (ASYSTOLE_S if label == "ASYSTOLE" else PAUSE_S) * _UNSURE)
    raised = [float(start) for start in alarms[:, 0] if start >= start_s]
    return sum(not (_any_overlaps(near, at - _LATE_S, at) or _any_overlaps(unsure, at - _LATE_S, at)) for at in raised)


def _any_overlaps(spans: Spans, start_s: float, end_s: float) -> bool:
    return bool(((spans[:, 0] < end_s) & (spans[:, 1] > start_s)).any())
