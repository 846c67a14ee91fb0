"""MIT-BIH Arrhythmia 1.0.0 (Moody & Mark 2001, doi 10.13026/C2F305): two leads, beats and rhythms annotated.

Labels are read off the annotations inside a window, one in each stretch:

    sustained  SR AF AFL BIGEMINY TRIGEMINY SBRAD PACED OTHER: hold where their rhythm fills at least half of
               the window; left open where it fills less
    runs       VT SVT: hold where at least 3 of the run's beats lie inside; left open with fewer. Ventricular
               flutter holds from 1 s
    beats      PVC (V) and PAC (A a J S): hold with one beat. A beat within 0.25 s of an edge may not be
               readable: with no other the label is left open; F (fusion) leaves PVC open as well
    beat form  LBBB (L) RBBB (R) PACED (/ f): hold with at least half of the beats, left open with fewer
    rate       SBRAD is denied from 65 beats a minute, STACH below 90; else open, as nobody annotated a rate
    NOISE      denied where no quality remark (~) overlaps; else left open

AVB1, the superclasses and the statements are never annotated here.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.annotation import Annotation, patient_of, read_annotation
from training.data.labels import Marks
from training.data.windows import INPUT, SPARE_SAMPLES, Stretch, cut, read_record, starts
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


def marks(annotation: Annotation, start_s: float, end_s: float) -> Marks:
    """Say which labels the stretch [start_s, end_s) has."""
    out = Marks()
    rhythm_s = {span.name: 0.0 for span in annotation.rhythms}
    for span in annotation.rhythms:
        rhythm_s[span.name] += span.overlap_s(start_s, end_s)
    length_s = end_s - start_s

    def share(names: set[str]) -> float:
        return sum(rhythm_s.get(name, 0.0) for name in names) / length_s

    for name, rhythms in _SUSTAINED.items():
        out.say(name, _enough(share(rhythms), _SHARE))
    ventricular = _any(_run(annotation, "(VT", start_s, end_s), _enough(rhythm_s.get("(VFL", 0.0), _FLUTTER_S))
    supraventricular = _run(annotation, "(SVTA", start_s, end_s)
    out.say("VT", ventricular)
    out.say("SVT", supraventricular)
    out.say("OTHER", _any(_enough(share(_OTHER), _SHARE), ventricular, supraventricular))
    _beats(out, annotation, start_s, end_s, paced_share=share({"(P"}))
    rate = 60.0 * annotation.beats(start_s, end_s).size / length_s
    if not out.target_of("SBRAD"):
        out.say("SBRAD", False if rate >= 65.0 else None)
    out.say("STACH", False if rate < 90.0 else None)
    out.say("NOISE", None if any(span.overlap_s(start_s, end_s) for span in annotation.noisy) else False)
    return out


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


def _beats(out: Marks, annotation: Annotation, start_s: float, end_s: float, paced_share: float) -> None:
    beats = annotation.beats(start_s, end_s)
    inner = annotation.beats(start_s + _EDGE_S, end_s - _EDGE_S)
    out.say("PVC", _seen(inner, beats, "V", "VF"))
    out.say("PAC", _seen(inner, beats, "AaJS", "AaJS"))
    for name, symbols in (("LBBB", "L"), ("RBBB", "R"), ("PACED", "/f")):
        out.say(name, _enough(np.isin(beats, list(symbols)).sum() / max(beats.size, 1), _SHARE))
    if paced_share >= _SHARE:
        out.say("PACED", holds=True)


def _seen(inner: NDArray[np.str_], beats: NDArray[np.str_], sure: str, maybe: str) -> bool | None:
    if np.isin(inner, list(sure)).any():
        return True
    return None if np.isin(beats, list(maybe)).any() else False


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield a stretch every `HOP_S` of every record, each with one window whose place moves from one to the next."""
    names = sorted(path.stem for path in folder.glob("*.atr"))
    if not names:
        raise DataError(f"{folder}: no MIT-BIH record (*.atr) there")
    for name in names:
        recording, annotation = read_record(folder / name), read_annotation(folder / name)
        for number, start in enumerate(starts(recording.samples.shape[1], HOP_S)):
            signal, keep = cut(recording, start)
            place = round(number * 0.618034 % 1.0 * SPARE_SAMPLES)  # golden ratio: places spread evenly
            start_s = (start + place) / INPUT.sample_rate_hz
            said = marks(annotation, start_s, start_s + INPUT.window_s)
            yield Stretch(name, patient_of(name), start / INPUT.sample_rate_hz, signal, keep, said, place)
