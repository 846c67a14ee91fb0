"""The records of each part of the data sets, and their labels at any time. Reads tables and annotations, no signal."""

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
class LabelledRecord:
    """One WFDB record of a data set."""

    data_set: str
    name: str
    path: Path  # without suffix
    labels: Callable[[float, float], WindowLabels]  # of the time from one second to another
    annotated_s: float | None = None  # end of the annotation; None: the labels are those of the whole record


def records_of(data: Path, data_set: str, part: str) -> list[LabelledRecord]:
    """Return the records of one part of a data set, in the set's own order.

    Raises
    ------
    DataError
        When the data set's tables cannot be read, or it has none of these records.
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


def _ptb_xl(folder: Path, part: str) -> list[LabelledRecord]:
    groups = ptb_xl.read_groups(folder)
    return [
        LabelledRecord("ptb-xl", entry.ecg_id, path, _always(ptb_xl.record_labels(entry, groups)))
        for entry in ptb_xl.read_entries(folder)
        if splits.ptb_xl_part(entry.patient, entry.fold) == part and (path := ptb_xl.find_record(folder, entry))
    ]


def _cinc2017(folder: Path, part: str) -> list[LabelledRecord]:
    return [
        LabelledRecord("cinc2017", name, folder / name, _always(cinc2017.record_labels(class_name)))
        for name, class_name in cinc2017.read_classes(folder).items()
        if splits.cinc2017_part(name) == part and (folder / f"{name}.hea").is_file()
    ]


def _mitdb(folder: Path, part: str) -> list[LabelledRecord]:
    names = [path.stem for path in sorted(folder.glob("*.atr"))]
    return [_annotated(folder / name) for name in names if splits.mitdb_part(patient_of(name)) == part]


def _annotated(path: Path) -> LabelledRecord:
    annotation = read_annotation(path)
    # Windows after the last beat have no label to stratify by.
    last_s = float(annotation.times_s[-1]) if annotation.times_s.size else 0.0
    return LabelledRecord(
        "mitdb", path.stem, path, lambda start_s, end_s: mitdb.window_labels(annotation, start_s, end_s), last_s
    )


def _always(labels: WindowLabels) -> Callable[[float, float], WindowLabels]:
    """Return the same labels at any time, for sets that label whole records."""
    return lambda _start_s, _end_s: labels
