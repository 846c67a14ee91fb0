"""The reference of a record, by the set it is from: an annotation file, or a row of a list.

ALARMS.csv    record,alarm,true,alarm_s of the PhysioNet/CinC Challenge 2015, see `challenge`
RHYTHMS.csv   record,rhythm: AF or not, for the whole record (MIMIC PERform AF)
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.core.errors import RecordError
from edge.lab.scoring.annotation import Annotation, NamedSpan, read_annotation
from edge.lab.scoring.challenge import ALARMS_CSV, read_alarms
from edge.lab.scoring.sets import SINUS_THROUGHOUT, WITHOUT_CLASSES, WITHOUT_RHYTHMS, set_of

RHYTHMS_CSV = "RHYTHMS.csv"
_MOST_NAMES = 30  # in a message
_LISTS = (ALARMS_CSV, RHYTHMS_CSV)


def reference_records(folder: Path, annotator: str, only: Sequence[str]) -> list[str]:
    """Return the names of the records with a reference, or of those in `only`.

    Raises
    ------
    RecordError
        When the folder has none, or lacks one of `only`.
    """
    names = sorted(path.stem for path in folder.glob(f"*.{annotator}"))
    if not names and (folder / ALARMS_CSV).is_file():
        names = sorted(read_alarms(folder))
    elif not names and (folder / RHYTHMS_CSV).is_file():
        names = sorted(_read_rhythms(folder))
    if not names:
        raise RecordError(f"{folder}: no annotated record (*.{annotator}, {' or '.join(_LISTS)})")
    absent = sorted(set(only) - set(names))
    if absent:
        raise RecordError(f"{folder}: no annotated record {', '.join(absent)}; there are {_shorten(names)}")
    return [name for name in names if not only or name in only]


def _shorten(names: Sequence[str]) -> str:
    """Return the names as a list, and how many more there are after the first few."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def read_reference(folder: Path, name: str, annotator: str, length_s: float) -> Annotation:
    """Read what is known of a record of this length.

    Raises
    ------
    RecordError
        When it cannot be read, or cannot belong to the record.
    """
    if (folder / f"{name}.{annotator}").is_file():
        return _of_set(set_of(folder), read_annotation(folder / name, annotator), name, annotator)
    if (folder / ALARMS_CSV).is_file():
        return replace(_nothing(length_s), judged=frozenset(), listed=read_alarms(folder)[name])
    rhythm = "(AFIB" if _read_rhythms(folder)[name] == "AF" else "(not AF"
    return replace(_nothing(length_s), judged=frozenset({"AF"}), rhythms=(NamedSpan(rhythm, 0.0, length_s),))


def _nothing(length_s: float) -> Annotation:
    return Annotation(np.zeros(0), np.zeros(0, np.str_), (), length_s)


def _of_set(set_name: str, annotation: Annotation, name: str, annotator: str) -> Annotation:
    """Add what the set's definition says, and take away what its annotations do not tell."""
    if not annotation.times_s.size and not annotation.rhythms:
        raise RecordError(f"record {name}: no beats and no rhythms in {name}.{annotator}")
    if set_name in SINUS_THROUGHOUT and not annotation.rhythms:
        return replace(annotation, rhythms=(NamedSpan("(N", 0.0, annotation.end_s),))
    if set_name in WITHOUT_RHYTHMS:
        return replace(annotation, rhythms=())
    if set_name in WITHOUT_CLASSES:
        return replace(annotation, classes=None, judged=frozenset({"VT", "VF"}))
    return annotation


def _read_rhythms(folder: Path) -> dict[str, str]:
    path = folder / RHYTHMS_CSV
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["record"]: row["rhythm"].strip() for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise RecordError(f"{path}: cannot be read as record,rhythm ({exc})") from exc
