"""The records of the data sets by their part in training, and what each says of any stretch of its time.

Reads tables and annotations, but no signal. Knows the splits; nothing of windows, graphs or bundles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.lab.scoring.annotation import patient_of, read_annotation
from training.data import splits
from training.data.labels import WindowLabels
from training.data.sets import cinc2017, mitdb, ptb_xl
from training.errors import DataError

DATA_SETS = ("ptb-xl", "cinc2017", "mitdb")


@dataclass(frozen=True)
class Record:
    """One WFDB record that is there."""

    data_set: str
    name: str
    path: Path  # without suffix
    marks: Callable[[float, float], WindowLabels]  # of the stretch from one time to another, in s
    annotated_s: float | None = None  # up to here its annotation differs from stretch to stretch; None: it does not


def records_of(data: Path, data_set: str, part: str) -> list[Record]:
    """Return the records of one part of a data set, in the set's own order.

    Raises
    ------
    DataError
        When the data set's tables cannot be read, or none of these records is there.
    """
    match data_set:
        case "ptb-xl":
            found = _ptb_xl(data / data_set, part)
        case "cinc2017":
            found = _cinc2017(data / data_set, part)
        case _:
            found = _mitdb(data / data_set, part)
    if not found:
        raise DataError(f"{data / data_set}: no record of the part {part!r} is there")
    return found


def _ptb_xl(folder: Path, part: str) -> list[Record]:
    groups = ptb_xl.read_groups(folder)
    return [
        Record("ptb-xl", entry.ecg_id, path, _always(ptb_xl.record_labels(entry, groups)))
        for entry in ptb_xl.read_entries(folder)
        if splits.ptb_xl_part(entry.patient, entry.fold) == part and (path := ptb_xl.find_record(folder, entry))
    ]


def _cinc2017(folder: Path, part: str) -> list[Record]:
    return [
        Record("cinc2017", name, folder / name, _always(cinc2017.record_labels(said)))
        for name, said in cinc2017.read_classes(folder).items()
        if splits.cinc2017_part(name) == part and (folder / f"{name}.hea").is_file()
    ]


def _mitdb(folder: Path, part: str) -> list[Record]:
    names = [path.stem for path in sorted(folder.glob("*.atr"))]
    return [_annotated(folder / name) for name in names if splits.mitdb_part(patient_of(name)) == part]


def _annotated(path: Path) -> Record:
    annotation = read_annotation(path)
    last_s = float(annotation.times_s[-1]) if annotation.times_s.size else 0.0
    return Record(
        "mitdb", path.stem, path, lambda start_s, end_s: mitdb.window_labels(annotation, start_s, end_s), last_s
    )


def _always(marks: WindowLabels) -> Callable[[float, float], WindowLabels]:
    """Say the same of every stretch: the set labels whole records."""
    return lambda _start_s, _end_s: marks
