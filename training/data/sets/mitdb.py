"""MIT-BIH Arrhythmia 1.0.0 (Moody & Mark 2001, doi 10.13026/C2F305): two leads, beats and rhythms annotated.

The labels of a window come from the annotations inside it; see `window_labels`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.annotation import Annotation, patient_of, read_annotation
from training.data.labels import WindowLabels
from training.data.windows import INPUT, LAST_WINDOW_START, Stretch, cut_stretch, read_record, stretch_starts
from training.errors import DataError

HOP_S = 2.0
_EDGE_S = 0.25
_SUSTAINED = {
    "SR": {"(N"},
    "AF": {"(AFIB"},
    "AFL": {"(AFL"},
    "BIGEMINY": {"(B"},
    "TRIGEMINY": {"(T"},
    "SBRAD": {"(SBR"},
}
_OTHER = {"(BII", "(IVR", "(NOD", "(AB", "(PREX", "(AFL", "(B", "(T"}
_SHARE = 0.5
_RUN_BEATS = 3
_FLUTTER_S = 1.0


def window_labels(annotation: Annotation, start_s: float, end_s: float) -> WindowLabels:
    """Return the labels of the window [start_s, end_s), by the annotations inside it.

    sustained  SR AF AFL BIGEMINY TRIGEMINY SBRAD PACED OTHER hold if their rhythm fills at least half of the window,
               and are unknown if it fills less
    runs       VT SVT hold with at least 3 beats of the run in the window, and are unknown with fewer. Ventricular
               flutter holds from 1 s
    beats      PVC (V) and PAC (A a J S) hold with one beat. If the only beats are within 0.25 s of an edge, where
               they may be unreadable, the label is unknown. A fusion beat (F) makes PVC unknown too
    beat form  LBBB (L) RBBB (R) PACED (/ f) hold with at least half of the beats, and are unknown with fewer
    rate       SBRAD is absent from 65 beats a minute, STACH below 90; else unknown, as no rate is annotated
    NOISE      absent without an overlapping quality remark (~), else unknown

    AVB1, the superclasses and the statements are never annotated, so they are unknown.
    """
    labels = WindowLabels()
    rhythm_s = {span.name: 0.0 for span in annotation.rhythms}
    for span in annotation.rhythms:
        rhythm_s[span.name] += span.overlap_s(start_s, end_s)
    length_s = end_s - start_s

    def share(names: set[str]) -> float:
        return sum(rhythm_s.get(name, 0.0) for name in names) / length_s

    for name, rhythms in _SUSTAINED.items():
        labels.set(name, _enough(share(rhythms), _SHARE))
    ventricular = _any(_run(annotation, "(VT", start_s, end_s), _enough(rhythm_s.get("(VFL", 0.0), _FLUTTER_S))
    supraventricular = _run(annotation, "(SVTA", start_s, end_s)
    labels.set("VT", ventricular)
    labels.set("SVT", supraventricular)
    labels.set("OTHER", _any(_enough(share(_OTHER), _SHARE), ventricular, supraventricular))
    _beats(labels, annotation, start_s, end_s, paced_share=share({"(P"}))
    rate = 60.0 * annotation.beats(start_s, end_s).size / length_s
    # Nobody annotated rates, so a slow or fast rhythm can be ruled out by the beats but not confirmed.
    if not labels.holds("SBRAD"):
        labels.set("SBRAD", False if rate >= 65.0 else None)
    labels.set("STACH", False if rate < 90.0 else None)
    labels.set("NOISE", None if any(span.overlap_s(start_s, end_s) for span in annotation.noisy) else False)
    return labels


def _enough(amount: float, wanted: float) -> bool | None:
    return True if amount >= wanted else (None if amount > 0 else False)


def _any(*answers: bool | None) -> bool | None:
    return True if True in answers else (None if None in answers else False)


def _run(annotation: Annotation, rhythm: str, start_s: float, end_s: float) -> bool | None:
    most = max(
        (
            annotation.beats(max(span.start_s, start_s), min(span.end_s, end_s)).size
            for span in annotation.rhythms
            if span.name == rhythm and span.overlap_s(start_s, end_s)
        ),
        default=0,
    )
    return _enough(most, _RUN_BEATS)


def _beats(labels: WindowLabels, annotation: Annotation, start_s: float, end_s: float, paced_share: float) -> None:
    beats = annotation.beats(start_s, end_s)
    inner = annotation.beats(start_s + _EDGE_S, end_s - _EDGE_S)  # surely readable
    labels.set("PVC", _seen(inner, beats, "V", "VF"))
    labels.set("PAC", _seen(inner, beats, "AaJS", "AaJS"))
    for name, symbols in (("LBBB", "L"), ("RBBB", "R"), ("PACED", "/f")):
        labels.set(name, _enough(np.isin(beats, list(symbols)).sum() / max(beats.size, 1), _SHARE))
    if paced_share >= _SHARE:
        labels.set("PACED", holds=True)


def _seen(inner: NDArray[np.str_], beats: NDArray[np.str_], sure: str, maybe: str) -> bool | None:
    if np.isin(inner, list(sure)).any():
        return True
    return None if np.isin(beats, list(maybe)).any() else False


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield a stretch every `HOP_S` of every record, each with one labelled window."""
    names = sorted(path.stem for path in folder.glob("*.atr"))
    if not names:
        raise DataError(f"{folder}: no MIT-BIH record (*.atr) there")
    for name in names:
        recording, annotation = read_record(folder / name), read_annotation(folder / name)
        for number, start in enumerate(stretch_starts(recording.samples.shape[1], HOP_S)):
            signal, keep = cut_stretch(recording, start)
            # Multiples of the golden ratio spread the windows evenly over the places in their stretches.
            window_start = round(number * 0.618034 % 1.0 * LAST_WINDOW_START)
            start_s = (start + window_start) / INPUT.sample_rate_hz
            labels = window_labels(annotation, start_s, start_s + INPUT.window_s)
            yield Stretch(name, patient_of(name), start / INPUT.sample_rate_hz, signal, keep, labels, window_start)
