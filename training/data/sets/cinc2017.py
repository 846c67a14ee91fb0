"""PhysioNet/CinC Challenge 2017 (Clifford et al. 2017, doi 10.22489/CinC.2017.065-469): one lead, 9-61 s.

Every record has one of four classes, and all of its windows get it:

    N  SR; and no AF AFL SVT VT BIGEMINY TRIGEMINY PACED OTHER NOISE
    A  AF; and no SR OTHER NOISE
    O  OTHER; and no SR AF NOISE
    ~  NOISE

All other labels are unknown. The set names no patients, so each record counts as one patient; that may be wrong.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from training.data.labels import WindowLabels
from training.data.windows import INPUT, Stretch, cut_stretch, read_record, stretch_starts
from training.errors import DataError

HOP_S = 5.0
CLASSES = {"N": "SR", "A": "AF", "O": "OTHER", "~": "NOISE"}
# A record of AF or of another rhythm may have more that is abnormal, so its class rules out little.
_ABSENT = {
    "N": ("AF", "AFL", "SVT", "VT", "BIGEMINY", "TRIGEMINY", "PACED", "OTHER", "NOISE"),
    "A": ("SR", "OTHER", "NOISE"),
    "O": ("SR", "AF", "NOISE"),
    "~": (),
}


def read_classes(folder: Path) -> dict[str, str]:
    """Read `REFERENCE-v3.csv`: the class of each record, or raise DataError."""
    path = folder / "REFERENCE-v3.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row[0]: row[1] for row in csv.reader(file) if row}
    except (OSError, IndexError) as exc:
        raise DataError(f"{path}: cannot be read ({exc})") from exc
    if unknown := set(rows.values()) - CLASSES.keys():
        raise DataError(f"{path}: unknown classes {', '.join(sorted(unknown))}")
    return rows


def record_labels(name: str) -> WindowLabels:
    """Return the labels of a record of class `name`."""
    labels = WindowLabels()
    labels.set_absent(_ABSENT[name])
    labels.set(CLASSES[name], holds=True)
    return labels


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield the stretches of every record in the folder; a remainder shorter than a hop is left out."""
    for record, name in read_classes(folder).items():
        if not (folder / f"{record}.hea").is_file():
            continue
        recording = read_record(folder / record)
        for start in stretch_starts(recording.samples.shape[1], HOP_S):
            signal, keep = cut_stretch(recording, start)
            yield Stretch(record, record, start / INPUT.sample_rate_hz, signal, keep, record_labels(name))
