"""PTB-XL (Wagner et al. 2020, doi 10.1038/s41597-020-0495-6): 10 s, 12 leads, SCP statements a record.

The record of 100 Hz is read where it is there, else the one of 500 Hz.

All statements of a record count, whatever their likelihood, as in the benchmark of Strodthoff et al. 2021
(doi 10.1109/JBHI.2020.3022989). What the set leaves open:

    SR      where the record names another sinus rhythm (SARRH, SBRAD, STACH) instead, or no rhythm at all
    VT      always
    LBBB    where only ILBBB (incomplete) stands; RBBB where only IRBBB does
    OTHER   where SARRH, SBRAD, STACH, PVC or PAC is all that is abnormal
    NOISE   where a remark on the quality was written (it does not say how bad)
"""

import ast
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data.labels import SUPERCLASSES, Marks, statement_name
from training.data.statements import SCP_STATEMENTS
from training.data.windows import Stretch, cut, read_record
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
_OTHER_OPEN = {"SARRH", "SBRAD", "STACH", "PVC", "PAC"}
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
    remarked: bool  # somebody wrote about the signal's quality
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
        remarked=any(row[column].strip() for column in _QUALITY_REMARKS),
        paths=tuple(row[column] for column in ("filename_lr", "filename_hr") if row.get(column)),
    )


def find_record(folder: Path, entry: Entry) -> Path | None:
    """Return the path of an entry's record, without suffix; None when it is not there."""
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


def marks(entry: Entry, groups: dict[str, dict[str, str]]) -> Marks:
    """Say which labels a record has."""
    said = entry.statements
    out = Marks()
    for name, codes in _DIRECT.items():
        out.say(name, bool(said & codes))
    out.say("SR", True if "SR" in said else (False if said & _RHYTHMS and not said & _SINUS_VARIANTS else None))
    out.say("LBBB", True if "CLBBB" in said else (None if "ILBBB" in said else False))
    out.say("RBBB", True if "CRBBB" in said else (None if "IRBBB" in said else False))
    out.say("OTHER", True if said & _OTHER else (None if said & _OTHER_OPEN else False))
    out.say("NOISE", None if entry.remarked else False)
    classes = {groups[code]["diagnostic_class"] for code in said if code in groups}
    for name in SUPERCLASSES:
        out.say(name, name in classes)
    for code in SCP_STATEMENTS:
        out.say(statement_name(code), code in said)
    return out


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield one stretch a record, in the order of the database; records that are not there are left out."""
    groups = read_groups(folder)
    for entry in read_entries(folder):
        path = find_record(folder, entry)
        if path is not None:
            signal, keep = cut(read_record(path), 0)
            yield Stretch(entry.ecg_id, entry.patient, 0.0, signal, keep, marks(entry, groups))
