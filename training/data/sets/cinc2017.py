"""PhysioNet/CinC Challenge 2017 (Clifford et al. 2017, doi 10.22489/CinC.2017.065-469): one lead, 9-61 s.

Every record has one of four classes, and every window inherits it:

    N  SR; and no AF AFL SVT VT BIGEMINY TRIGEMINY PACED OTHER NOISE
    A  AF; and no SR OTHER NOISE
    O  OTHER; and no SR AF NOISE
    ~  NOISE

All else is left open. The set names no patients: the record stands for one, and that may be wrong.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from training.data.labels import Marks
from training.data.windows import INPUT, Stretch, cut, read_record, starts
from training.errors import DataError

HOP_S = 5.0
CLASSES = {"N": "SR", "A": "AF", "O": "OTHER", "~": "NOISE"}
_DENIED = {
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


def marks(name: str) -> Marks:
    """Say which labels a record of class `name` has."""
    out = Marks()
    out.deny(_DENIED[name])
    out.say(CLASSES[name], holds=True)
    return out


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield the stretches of every record that is there; what does not fill a last window is left out."""
    for record, name in read_classes(folder).items():
        if not (folder / f"{record}.hea").is_file():
            continue
        recording = read_record(folder / record)
        for start in starts(recording.samples.shape[1], HOP_S):
            signal, keep = cut(recording, start)
            yield Stretch(record, record, start / INPUT.sample_rate_hz, signal, keep, marks(name))
