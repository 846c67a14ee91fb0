"""Reference episodes of each label, from the annotation of a record; a comment below says how.

Sets without rhythm notes: runs and patterns from the beats, see `runs`. All labels are unknown where (NOISE or (ASYS is
noted. The other rules are those of training (`training/data/sets/mitdb.py`), in time instead of windows; a test
compares the two.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import MATCH_S
from edge.lab.scoring.episodes import Reference
from edge.lab.scoring.lethal import FIBRILLATION, TACHYCARDIA
from edge.lab.scoring.lethal import UNSURE as _UNSURE
from edge.lab.scoring.rates import rate_references
from edge.lab.scoring.runs import beat_references
from edge.lab.scoring.spans import Spans, clip, intersect, no_spans, subtract, union

# How each label is read from the annotation:
#
# AF AFL BIGEMINY TRIGEMINY SBRAD   where the rhythm is noted; AF is unknown during flutter (EC57)
# VT SVT                            where noted with at least 3 beats, unknown with fewer; ventricular flutter
#                                   from 1 s on; VT also where 3 V beats follow each other above 100/min
# VF                                where noted, or from [ to ]; VT is unknown there, and VF during VT and flutter
# PVC (V) PAC (A a J S)             beats; those less than a window apart are one episode; unknown near fusion (PVC)
# LBBB (L) RBBB (R) PACED (/ f)     where at least half of a window's beats are so, unknown with fewer; PACED also
#                                   where the rhythm is noted
# ASYSTOLE PAUSE EXTREME_*          from the intervals between the beats, see `rates`
# SBRAD, STACH                      no rate is annotated: unknown below 65 and from 90 beats a minute

_NOTED = {"AF": "(AFIB", "AFL": "(AFL", "BIGEMINY": "(B", "TRIGEMINY": "(T"}
_RUNS = {"VT": "(VT", "SVT": "(SVTA"}
_RUN_BEATS = 3
_FLUTTER_S = 1.0
_PREMATURE = {"PVC": "V", "PAC": "AaJS"}
_UNCERTAIN = {"PVC": "VF", "PAC": "AaJS"}  # beats that may be of the label: it is unknown where only these are near
_FORMS = {"LBBB": "L", "RBBB": "R", "PACED": "/f"}
_SHARE = 0.5
_EDGE_S = 0.25  # a beat this near to a window's edge may be cut in half
_SLOW_BPM, _FAST_BPM = 65.0, 90.0
_STEP_S = 1.0  # of the time grid on which rates and shares of beats are computed
BEAT_LABELS = tuple(_PREMATURE)


def references(annotation: Annotation, window_s: float) -> dict[str, Reference]:
    """Return the reference of each label that the record annotates, for windows of this length."""
    result: dict[str, Reference] = {}
    # A label gets a reference only where the record annotates what it rests on: without rhythm notes nobody can say
    # that there was no AF, and without beats nothing is known about runs, forms and rates.
    rhythms, beats = bool(annotation.rhythms), bool(annotation.times_s.size)
    if rhythms:
        result |= {label: Reference(union(annotation.noted(note))) for label, note in _NOTED.items()}
        result["AF"] = Reference(result["AF"].episodes, result["AFL"].episodes)
    if rhythms or (annotation.qrs is not None and annotation.qrs.flutter):
        result |= {label: _run(annotation, label) for label in _RUNS} | {"VF": _fibrillation(annotation)}
    if rhythms and beats:
        result["SBRAD"] = _slow(annotation, window_s)
        result |= {label: _form(annotation, label, window_s) for label in _FORMS}
    if beats:
        result |= {label: _premature(annotation, label, window_s) for label in _PREMATURE}
        result["STACH"] = Reference(no_spans(), _where(annotation, _rates(annotation, window_s) >= _FAST_BPM))
    if annotation.qrs is not None:
        result |= rate_references(annotation.qrs, annotation.end_s, annotation.marks_s)
    if annotation.classes is not None:
        for label, derived in beat_references(annotation.classes).items():
            if label not in result:
                result[label] = derived
            elif label == "VT":  # the annotators of MIT-BIH did not note every run of three
                result[label] = _both(result[label], derived)
    unsure = union(annotation.noted(*_UNSURE))
    return {
        label: replace(each, unknown=union([*each.unknown, *unsure])) if len(unsure) else each
        for label, each in result.items()
        if annotation.judges(label)
    }


def holds_in_window(annotation: Annotation, label: str, start_s: float, end_s: float) -> bool | None:
    """Return whether a beat of a label (`BEAT_LABELS`) is in [start_s, end_s); None where it cannot be told."""
    # A beat cut by the window's edge may not be recognisable, so it neither makes the label true nor false.
    inner = annotation.beats(start_s + _EDGE_S, end_s - _EDGE_S)
    if np.isin(inner, list(_PREMATURE[label])).any():
        return True
    return None if np.isin(annotation.beats(start_s, end_s), list(_UNCERTAIN[label])).any() else False


def _run(annotation: Annotation, label: str) -> Reference:
    long: list[tuple[float, float]] = []
    short: list[tuple[float, float]] = []
    for start, end in annotation.noted(_RUNS[label]):
        enough = annotation.beats(start, end).size >= _RUN_BEATS or not annotation.times_s.size
        (long if enough else short).append((start, end))
    if label == "VT":
        for start, end in annotation.noted("(VFL"):
            (long if end - start >= _FLUTTER_S else short).append((start, end))
        short += _fibrillation(annotation).episodes.tolist()
    return Reference(union(long), subtract(union(short), union(long)))


def _fibrillation(annotation: Annotation) -> Reference:
    """Return fibrillation; a rhythm near it, as tachycardia and flutter are, leaves the label unknown."""
    marked = () if annotation.qrs is None else annotation.qrs.flutter
    flutter = union(annotation.noted("(VFL"))
    # From [ to ] there is flutter or fibrillation; a note of flutter tells which.
    noted = [(start, end) for start, end in marked if not len(intersect(union([(start, end)]), flutter))]
    episodes = clip(union(noted if marked else annotation.noted(*FIBRILLATION)), 0.0, annotation.end_s)
    return Reference(episodes, union([*annotation.noted(*TACHYCARDIA), *flutter]))


def _both(noted: Reference, derived: Reference) -> Reference:
    episodes = union([*noted.episodes, *derived.episodes])
    return Reference(episodes, subtract(union([*noted.unknown, *derived.unknown]), episodes))


def _premature(annotation: Annotation, label: str, window_s: float) -> Reference:
    def around(symbols: str, reach_s: float) -> Iterator[tuple[float, float]]:
        times = annotation.times_s[np.isin(annotation.symbols, list(symbols))]
        return ((float(time) - reach_s, float(time) + reach_s) for time in times)

    uncertain = "".join(set(_UNCERTAIN[label]) - set(_PREMATURE[label]))
    # Beats less than a window apart are in one window together, so that no alarm could tell them apart.
    return Reference(
        union(around(_PREMATURE[label], MATCH_S), gap_s=window_s),
        union(around(uncertain, window_s / 2 + _STEP_S)),
        timed=False,
    )


def _form(annotation: Annotation, label: str, window_s: float) -> Reference:
    start_s = _starts(annotation, window_s)
    of_form = annotation.times_s[np.isin(annotation.symbols, list(_FORMS[label]))]
    share = _count(of_form, start_s, window_s) / np.maximum(_count(annotation.times_s, start_s, window_s), 1)
    holds = _where(annotation, share >= _SHARE)
    if label == "PACED":
        holds = union([*holds, *annotation.noted("(P")])
    return Reference(holds, subtract(_where(annotation, share > 0), holds))


def _slow(annotation: Annotation, window_s: float) -> Reference:
    # Annotators noted bradycardia, but did not deny it for every other slow stretch.
    noted = union(annotation.noted("(SBR"))
    slow = _where(annotation, _rates(annotation, window_s) < _SLOW_BPM)
    return Reference(noted, subtract(slow, noted))


def _starts(annotation: Annotation, window_s: float) -> NDArray[np.float64]:
    """Start of the window around each point of the grid; at the record's ends windows are moved inward."""
    middles = np.arange(0.0, annotation.end_s, _STEP_S)
    return np.clip(middles - window_s / 2, 0.0, max(annotation.end_s - window_s, 0.0))


def _count(times_s: NDArray[np.float64], start_s: NDArray[np.float64], window_s: float) -> NDArray[np.intp]:
    return np.searchsorted(times_s, start_s + window_s) - np.searchsorted(times_s, start_s)


def _rates(annotation: Annotation, window_s: float) -> NDArray[np.float64]:
    """Beats a minute in the window around each point of the grid."""
    beats = _count(annotation.times_s, _starts(annotation, window_s), window_s)
    return beats.astype(np.float64) * 60.0 / window_s


def _where(annotation: Annotation, true: NDArray[np.bool_]) -> Spans:
    """Return the spans around the points of the grid at which `true` holds."""
    middles = np.arange(0.0, annotation.end_s, _STEP_S)[true]
    return clip(union(np.stack([middles - _STEP_S / 2, middles + _STEP_S / 2], axis=1)), 0.0, annotation.end_s)
