"""Which tenth of a second of a record is ventricular fibrillation, ventricular tachycardia, neither, or unsure.

mitdb     notes of flutter; tachycardia from 3 s
svdb      runs of ventricular beats from 3 s and 100/min
vfdb      notes; noise, asystole, escape rhythms and high-grade ectopy are unsure
cudb      fibrillation between [ and ], tachycardia by notes; the time around fibrillation is unsure
cinc2015  the alarm at 180 s, true or false; everything earlier is unsure
"""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.annotation import Annotation
from training.errors import DataError

BENIGN, VT, VF = 0, 1, 2
UNSURE = -1
PER_S = 10
ALARMS = "ALARMS.csv"
_NOTES = {"(VT": VT, "(VFL": VF, "(VF": VF, "(VFIB": VF}
_VFDB_NOTES = _NOTES | dict.fromkeys(("(NOISE", "(ASYS", "(VER", "(HGEA", "(B"), UNSURE)
_SUSTAINED_S = 3.0
_SLOW_S = 0.6  # interval of a run that is no tachycardia
_RUN_BEATS = 3
_HALF_BEAT_S = 0.4
_BEFORE_S, _AFTER_S = 20.0, 30.0  # of fibrillation in cudb: onset and shocks, which its marks leave out
# Where the alarm of a record can be seen: start and end in s. The alarm is at 180 s.
_FALSE_S = (165.0, 180.0)
_TRUE_S = {
    "Ventricular_Tachycardia": (175.0, 179.0, VT),
    "Ventricular_Flutter_Fib": (174.0, 179.0, VF),
    "Asystole": (*_FALSE_S, BENIGN),
    "Bradycardia": (*_FALSE_S, BENIGN),
}
Span = tuple[float, float, int]  # start and end in s, kind


def kinds_of_time(data_set: str, annotation: Annotation) -> NDArray[np.int8]:
    """Return (tenths of a second,) BENIGN, VT, VF or UNSURE of an annotated record."""
    rules = {"mitdb": _mitdb, "svdb": _svdb, "vfdb": _vfdb, "cudb": _cudb}
    return _painted(rules[data_set](annotation), int(annotation.end_s), BENIGN)


def kinds_of_alarm(alarm: str, end_s: float, *, true: bool) -> NDArray[np.int8]:
    """Return the same for a record of cinc2015, which has an alarm and no annotated rhythm."""
    spans = [(*_FALSE_S, BENIGN)] if not true else [_TRUE_S[alarm]] if alarm in _TRUE_S else []
    return _painted(iter(spans), int(end_s), UNSURE)


def read_alarms(folder: Path) -> dict[str, tuple[str, bool]]:
    """Return the alarm of each record of cinc2015, and whether it is true; DataError when the list is missing."""
    try:
        with (folder / ALARMS).open(newline="", encoding="utf-8") as file:
            return {row["record"]: (row["alarm"], row["true"] == "1") for row in csv.DictReader(file)}
    except (OSError, KeyError) as exc:
        raise DataError(f"{folder / ALARMS}: cannot be read ({exc})") from exc


def _painted(spans: Iterator[Span], seconds: int, default: int) -> NDArray[np.int8]:
    """Paint the spans in their order, the later ones over the earlier."""
    kinds = np.full(seconds * PER_S, default, np.int8)
    for start_s, end_s, kind in spans:
        kinds[round(max(start_s, 0.0) * PER_S) : round(min(end_s, seconds) * PER_S)] = kind
    return kinds


def _mitdb(annotation: Annotation) -> Iterator[Span]:
    for span in annotation.rhythms:
        if span.name == "(VFL":
            yield span.start_s, span.end_s, VF
        elif span.name == "(VT":
            yield span.start_s, span.end_s, VT if span.end_s - span.start_s >= _SUSTAINED_S else UNSURE


def _svdb(annotation: Annotation) -> Iterator[Span]:
    pairs = zip(annotation.times_s.tolist(), annotation.symbols.tolist(), strict=True)
    for ventricular, run in groupby(pairs, key=lambda pair: pair[1] in "VE"):
        times = [time for time, _ in run]
        if ventricular and len(times) >= _RUN_BEATS:
            length_s = times[-1] - times[0]
            fast = length_s >= _SUSTAINED_S and length_s / (len(times) - 1) <= _SLOW_S
            yield times[0] - _HALF_BEAT_S, times[-1] + _HALF_BEAT_S, VT if fast else UNSURE


def _vfdb(annotation: Annotation) -> Iterator[Span]:
    first_s = min((span.start_s for span in annotation.rhythms), default=annotation.end_s)
    yield 0.0, first_s, UNSURE
    for span in annotation.rhythms:
        yield span.start_s, span.end_s, _VFDB_NOTES.get(span.name, BENIGN)


def _cudb(annotation: Annotation) -> Iterator[Span]:
    fibrillation = annotation.qrs.flutter if annotation.qrs else ()
    for start_s, end_s in fibrillation:
        yield start_s - _BEFORE_S, end_s + _AFTER_S, UNSURE
    for span in annotation.rhythms:
        if span.name in _NOTES:
            yield span.start_s, span.end_s, _NOTES[span.name]
    for start_s, end_s in fibrillation:
        yield start_s, end_s, VF
