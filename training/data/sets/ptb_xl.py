"""PTB-XL (Wagner et al. 2020, doi 10.1038/s41597-020-0495-6): 10 s, 12 leads, SCP statements a record.

The record of 100 Hz is read if it is there, else the one of 500 Hz.

All statements of a record count, whatever their likelihood, as in the benchmark of Strodthoff et al. 2021
(doi 10.1109/JBHI.2020.3022989). These labels are unknown:

    SR      if the record names another sinus rhythm (SARRH, SBRAD, STACH) instead, or no rhythm at all
    VT      always
    LBBB    if only ILBBB (incomplete) is named; RBBB if only IRBBB is
    OTHER   if SARRH, SBRAD, STACH, PVC or PAC is all that is abnormal
    NOISE   if there is a remark on the quality, since it does not say how bad the signal is
"""

import ast
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data.labels import SUPERCLASSES, WindowLabels, statement_name
from training.data.statements import SCP_STATEMENTS
from training.data.windows import Stretch, cut_stretch, read_record
from training.errors import DataError

_DIRECT = {
    "AF": {"AFIB"},
    "AFL": {"AFLT"},
    "SVT": {"SVTAC", "PSVT"},
    "PVC": {"PVC"},
    "PAC": {"PAC"},
    "BIGEMINY": {"BIGU"},
    "TRIGEMINY": {"TRIGU"},
    "SBRAD": {"SBRAD"},
    "STACH": {"STACH"},
    "AVB1": {"1AVB"},
    "PACED": {"PACE"},
}
_OTHER = {"SVARR", "BIGU", "TRIGU", "SVTAC", "PSVT", "AFLT", "PACE", "2AVB", "3AVB"}
_OTHER_UNKNOWN = {"SARRH", "SBRAD", "STACH", "PVC", "PAC"}
# These are sinus rhythms too, so a record that names one of them does not deny SR.
_SINUS_VARIANTS = {"SARRH", "SBRAD", "STACH"}
_RHYTHMS = {"AFIB", "AFLT", "SVTAC", "PSVT", "SVARR", "PACE", "BIGU", "TRIGU"}
_QUALITY_REMARKS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


@dataclass(frozen=True)
class Entry:
    """One row of `ptbxl_database.csv`."""

    ecg_id: str
    patient: str
    fold: int
    statements: frozenset[str]
    has_quality_remark: bool
    paths: tuple[str, ...]  # of the record at 100 Hz and at 500 Hz, below the folder, without suffix


def read_entries(folder: Path) -> list[Entry]:
    """Read the database of a PTB-XL folder, or raise DataError."""
    try:
        with (folder / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
            return [_entry(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, SyntaxError) as exc:
        raise DataError(f"{folder}: no usable ptbxl_database.csv there ({exc})") from exc


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        ecg_id=row["ecg_id"],
        patient=str(int(float(row["patient_id"]))),
        fold=int(row["strat_fold"]),
        statements=frozenset(ast.literal_eval(row["scp_codes"])),
        has_quality_remark=any(row[column].strip() for column in _QUALITY_REMARKS),
        paths=tuple(row[column] for column in ("filename_lr", "filename_hr") if row.get(column)),
    )


def find_record(folder: Path, entry: Entry) -> Path | None:
    """Return the path of an entry's record, without suffix; None if there is none."""
    return next((folder / path for path in entry.paths if (folder / f"{path}.hea").is_file()), None)


def read_groups(folder: Path) -> dict[str, dict[str, str]]:
    """Read `scp_statements.csv`: for each statement its columns, such as `diagnostic_class` or `form`."""
    try:
        with (folder / "scp_statements.csv").open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            key = (reader.fieldnames or [""])[0]
            return {row.pop(key): row for row in reader}
    except OSError as exc:
        raise DataError(f"{folder}: no readable scp_statements.csv there ({exc})") from exc


def record_labels(entry: Entry, groups: dict[str, dict[str, str]]) -> WindowLabels:
    """Return the labels of a record."""
    named = entry.statements
    labels = WindowLabels()
    for name, codes in _DIRECT.items():
        labels.set(name, bool(named & codes))
    labels.set("SR", True if "SR" in named else (False if named & _RHYTHMS and not named & _SINUS_VARIANTS else None))
    labels.set("LBBB", True if "CLBBB" in named else (None if "ILBBB" in named else False))
    labels.set("RBBB", True if "CRBBB" in named else (None if "IRBBB" in named else False))
    labels.set("OTHER", True if named & _OTHER else (None if named & _OTHER_UNKNOWN else False))
    labels.set("NOISE", None if entry.has_quality_remark else False)
    classes = {groups[code]["diagnostic_class"] for code in named if code in groups}
    for name in SUPERCLASSES:
        labels.set(name, name in classes)
    for code in SCP_STATEMENTS:
        labels.set(statement_name(code), code in named)
    return labels


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield one stretch of each record in the folder, in the order of the database."""
    groups = read_groups(folder)
    for entry in read_entries(folder):
        path = find_record(folder, entry)
        if path is not None:
            signal, keep = cut_stretch(read_record(path), 0)
            yield Stretch(entry.ecg_id, entry.patient, 0.0, signal, keep, record_labels(entry, groups))
