"""Which windows train, which choose (validation), and which only judge.

    ptb-xl    folds 1-8 train, but for about 6% of their patients, drawn by a hash of the patient, which
              validate; fold 9 judges
    cinc2017  80% train, 10% validate, 10% judge, by a hash of the record's name. The set names no patients,
              so one person may stand on both sides
    cpsc2018  (and cinc2020, cinc2021) as cinc2017
    mitdb     patients 106 115 122 201 208 209 and the paced 217 validate; the other records of DS1 and the
              paced ones train. Nothing here judges: DS2 does, elsewhere

Knows nothing of what the windows hold.
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.cache import WindowSet
from training.data.sets.ptb_xl import read_entries

PARTS = ("train", "validation", "judge")
Rows = dict[str, NDArray[np.intp]]  # of the windows of each part
_VALIDATION_SHARE = 0.06
MITDB_VALIDATION = frozenset({"106", "115", "122", "201", "208", "209", "217"})
MITDB_TRAIN = frozenset(
    {"101", "102", "104", "107", "108", "109", "112", "114", "116", "118", "119", "124"}
    | {"203", "205", "207", "215", "220", "223", "230"}
)
JUDGE_FOLD = 9
_TRAIN_FOLDS = range(1, 9)


def hash_share(text: str) -> float:
    """Map a name to [0, 1), evenly and the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"ecg-nat:{text}".encode()).digest()[:8], "big") / 2**64


def ptb_xl_part(patient: str, fold: int) -> str | None:
    """Part that a PTB-XL patient belongs to; None for fold 10, which is the test set."""
    if fold in _TRAIN_FOLDS:
        return "validation" if hash_share(f"ptb-xl/{patient}") < _VALIDATION_SHARE else "train"
    return "judge" if fold == JUDGE_FOLD else None


def cinc2017_part(record: str) -> str:
    """Part that a CinC 2017 record belongs to."""
    share = hash_share(f"cinc2017/{record}")
    return "train" if share < 0.8 else ("validation" if share < 0.9 else "judge")


def snomed_part(record: str) -> str:
    """Part that a record of CPSC 2018 or of the Challenges 2020 and 2021 belongs to."""
    share = hash_share(f"snomed/{record}")  # a record of two of these sets stands on one side
    return "train" if share < 0.8 else ("validation" if share < 0.9 else "judge")


def mitdb_part(patient: str) -> str | None:
    """Part that a MIT-BIH patient belongs to; None for DS2, which is the test set."""
    if patient in MITDB_VALIDATION:
        return "validation"
    return "train" if patient in MITDB_TRAIN else None


def rows_of(windows: WindowSet, data: Path) -> Rows:
    """Return the rows of a window set that belong to each part."""
    match windows.name:
        case "ptb-xl":
            folds = {entry.ecg_id: entry.fold for entry in read_entries(data / "ptb-xl")}
            pairs = zip(windows.record, windows.patient, strict=True)
            parts = [ptb_xl_part(str(patient), folds[str(record)]) for record, patient in pairs]
        case "cinc2017":
            parts = [cinc2017_part(str(record)) for record in windows.record]
        case "mitdb":
            parts = [mitdb_part(str(patient)) for patient in windows.patient]
        case _:
            parts = [snomed_part(str(record)) for record in windows.record]
    return {part: np.flatnonzero(np.array([p == part for p in parts])) for part in PARTS}
