"""Pauses and extreme rates of the reference beats: what the rate alarms are judged by.

    ASYSTOLE        interval above 4 s; unknown from 3.8 s
    PAUSE           interval of 3 to 4 s; unknown from 2.85 s, and above 4 s, where ASYSTOLE may be raised instead
    EXTREME_BRADY   5 beats, median interval below 40/min; unknown below 44/min
    EXTREME_TACHY   17 beats, median interval above 140/min; unknown above 127/min

Limits after CinC 2015, see `edge.beats.rules`. Nothing is known where the annotation marks flutter
instead of beats, and no interval counts as long in which it marks an artefact or a change of signal quality.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.lab.scoring.beats import Beats
from edge.lab.scoring.episodes import Reference
from edge.lab.scoring.spans import Spans, clip, subtract, union

ASYSTOLE_S, PAUSE_S = 4.0, 3.0
_UNSURE = 0.95  # of a limit on an interval
_BRADY_BPM, _BRADY_BEATS = 40.0, 5
_TACHY_BPM, _TACHY_BEATS = 140.0, 17
_RATE_UNSURE = 1.1


def rate_references(beats: Beats, end_s: float, marks_s: Sequence[float] = ()) -> dict[str, Reference]:
    """Return the reference of each rate alarm; a record ends at `end_s`."""
    flutter = clip(union(list(beats.flutter)), 0.0, end_s)
    flutter = union([*flutter, *marked_out(beats, marks_s)])
    long, unsure = long_intervals(beats, ASYSTOLE_S, marks_s), long_intervals(beats, ASYSTOLE_S * _UNSURE, marks_s)
    pauses = subtract(long_intervals(beats, PAUSE_S, marks_s), long)
    slow, fast = _BRADY_BPM, _TACHY_BPM
    found = {
        "ASYSTOLE": (long, unsure),
        "PAUSE": (pauses, union([*long_intervals(beats, PAUSE_S * _UNSURE, marks_s), *long])),
        "EXTREME_BRADY": (
            _at_rate(beats, _BRADY_BEATS, 0.0, slow),
            _at_rate(beats, _BRADY_BEATS, 0.0, slow * _RATE_UNSURE),
        ),
        "EXTREME_TACHY": (
            _at_rate(beats, _TACHY_BEATS, fast, np.inf),
            _at_rate(beats, _TACHY_BEATS, fast / _RATE_UNSURE, np.inf),
        ),
    }
    return {
        label: Reference(subtract(sure, flutter), union([*subtract(unknown, sure), *flutter]))
        for label, (sure, unknown) in found.items()
    }


def long_intervals(beats: Beats, above_s: float, marks_s: Sequence[float] = ()) -> Spans:
    """Return the intervals between two beats that are longer, except those with flutter or a mark in between."""
    long = _intervals(beats, above_s)
    return long[~_interrupted(long, beats, marks_s)]


def marked_out(beats: Beats, marks_s: Sequence[float]) -> Spans:
    """Return the intervals that would be pauses, if there were no flutter or mark in between."""
    long = _intervals(beats, PAUSE_S * _UNSURE)
    return long[_interrupted(long, beats, marks_s)]


def _intervals(beats: Beats, above_s: float) -> Spans:
    pairs = np.stack([beats.times_s[:-1], beats.times_s[1:]], axis=1) if beats.times_s.size > 1 else np.zeros((0, 2))
    return pairs[np.diff(pairs, axis=1)[:, 0] > above_s]


def _interrupted(spans: Spans, beats: Beats, marks_s: Sequence[float]) -> NDArray[np.bool_]:
    breaks = [*beats.flutter, *((mark, mark) for mark in marks_s)]
    return np.array([any(a <= after and b >= before for a, b in breaks) for before, after in spans], np.bool_)


def _at_rate(beats: Beats, count: int, above_bpm: float, below_bpm: float) -> Spans:
    """Return where the median interval of so many beats gives a rate between these limits."""
    if beats.times_s.size < count:
        return union([])
    windows: NDArray[np.float64] = sliding_window_view(beats.times_s, count)
    rates = 60.0 / np.maximum(np.median(np.diff(windows, axis=1), axis=1), 1e-3)
    true = (rates > above_bpm) & (rates < below_bpm)
    return union(np.stack([windows[true, 0], windows[true, -1]], axis=1))
