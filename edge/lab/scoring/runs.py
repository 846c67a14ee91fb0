"""Runs and patterns of reference beats, for sets that annotate beats and no rhythms.

    VT, SVT      three or more V, or S, in a row above 100/min (EC57); unknown where F beats or a rate from 90/min
                 would make a run
    BIGEMINY     other and ventricular beat in turn, three times or more; unknown with two
    TRIGEMINY    a ventricular beat after every two others, three times or more; unknown with two

The definitions are those of `edge.beats.rules`.
"""

import re

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.beats import Beats
from edge.lab.scoring.episodes import Reference
from edge.lab.scoring.spans import Spans, subtract, union

RUN_BEATS = 3
RATE_BPM = 100.0
_UNSURE_BPM = 90.0
_RUNS = {"VT": ("V", "VF"), "SVT": ("S", "S")}  # beats that make a run, and those that may
_PATTERNS = {"BIGEMINY": ("(?:NV){3,}", "(?:NV){2,}"), "TRIGEMINY": ("V(?:NNV){3,}", "V(?:NNV){2,}")}


def beat_references(beats: Beats) -> dict[str, Reference]:
    """Return the runs and patterns of the reference beats."""
    result = {}
    for label, (sure, unsure) in _RUNS.items():
        runs = find_runs(beats, sure)
        result[label] = Reference(runs, subtract(find_runs(beats, unsure, above_bpm=_UNSURE_BPM), runs))
    plain = "".join({"V": "V", "F": "F"}.get(kind, "N") for kind in beats.classes)
    for label, (sure, unsure) in _PATTERNS.items():
        spans = _matches(sure, plain, beats.times_s)
        result[label] = Reference(spans, subtract(_matches(unsure, plain, beats.times_s), spans))
    return result


def find_runs(beats: Beats, kinds: str, *, least: int = RUN_BEATS, above_bpm: float = RATE_BPM) -> Spans:
    """Return the time from the first to the last beat of each run of these classes with a higher mean rate."""
    spans = []
    for match in re.finditer(f"[{kinds}]{{{least},}}", beats.classes):
        first, last = float(beats.times_s[match.start()]), float(beats.times_s[match.end() - 1])
        if (match.end() - 1 - match.start()) * 60.0 > above_bpm * (last - first):
            spans.append((first, last))
    return union(spans)


def _matches(pattern: str, classes: str, times_s: NDArray[np.float64]) -> Spans:
    return union([(float(times_s[m.start()]), float(times_s[m.end() - 1])) for m in re.finditer(pattern, classes)])
