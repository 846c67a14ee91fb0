"""Which stretches train, which validate (choose settings), and which only judge.

ptb-xl    folds 1-8 train, except about 6% of their patients, chosen by a hash of the patient, who validate;
fold 9 judges
cinc2017  80% train, 10% validate, 10% judge, by a hash of the record's name. The set names no patients, so
records of one person may be in several parts
cpsc2018  (and cinc2020, cinc2021) as cinc2017
mitdb     patients 106 115 122 201 208 209 and the paced 217 validate; the other records of DS1 and the
paced ones train. Nothing here judges: DS2 is the test set of `ecg-edge score`
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.cache import StretchSet
from training.data.sets.ptb_xl import read_entries

PARTS = ("train", "validation", "judge")
Rows = dict[str, NDArray[np.intp]]  # of the stretches of each part
Split = Callable[[StretchSet, Path], Rows]  # from a set and the folder of all sets
_VALIDATION_SHARE = 0.06
_UNLABELLED_VALIDATION_SHARE = 0.05
MITDB_VALIDATION = frozenset({"106", "115", "122", "201", "208", "209", "217"})
MITDB_TRAIN = frozenset(
    {"101", "102", "104", "107", "108", "109", "112", "114", "116", "118", "119", "124"}
    | {"203", "205", "207", "215", "220", "223", "230"}
)
JUDGE_FOLD = 9
_TRAIN_FOLDS = range(1, 9)


def hash_share(text: str) -> float:
    """Map a name to [0, 1), evenly, and the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"ecg-nat:{text}".encode()).digest()[:8], "big") / 2**64


def ptb_xl_part(patient: str, fold: int) -> str | None:
    """Part of a PTB-XL patient; None for fold 10, which is the test set."""
    if fold in _TRAIN_FOLDS:
        return "validation" if hash_share(f"ptb-xl/{patient}") < _VALIDATION_SHARE else "train"
    return "judge" if fold == JUDGE_FOLD else None


def cinc2017_part(record: str) -> str:
    """Part of a CinC 2017 record."""
    return _part_of_share(hash_share(f"cinc2017/{record}"))


def snomed_part(record: str) -> str:
    """Part of a record of CPSC 2018 or of the Challenges 2020 and 2021."""
    # One hash for all of them: a record that is in two of these sets is in the same part of both.
    return _part_of_share(hash_share(f"snomed/{record}"))


def _part_of_share(share: float) -> str:
    return "train" if share < 0.8 else ("validation" if share < 0.9 else "judge")


def mitdb_part(patient: str) -> str | None:
    """Part of a MIT-BIH patient; None for DS2, which is the test set."""
    if patient in MITDB_VALIDATION:
        return "validation"
    return "train" if patient in MITDB_TRAIN else None


def rows_of(stretches: StretchSet, data: Path) -> Rows:
    """Return the rows of each part of a set."""
    match stretches.name:
        case "ptb-xl":
            folds = {entry.ecg_id: entry.fold for entry in read_entries(data / "ptb-xl")}
            pairs = zip(stretches.record, stretches.patient, strict=True)
            parts = [ptb_xl_part(str(patient), folds[str(record)]) for record, patient in pairs]
        case "cinc2017":
            parts = [cinc2017_part(str(record)) for record in stretches.record]
        case "mitdb":
            parts = [mitdb_part(str(patient)) for patient in stretches.patient]
        case _:
            parts = [snomed_part(str(record)) for record in stretches.record]
    return {part: np.flatnonzero(np.array([p == part for p in parts])) for part in PARTS}


def rows_of_unlabelled(stretches: StretchSet) -> Rows:
    """Return the rows of each part of a folder without labels: one record in twenty validates, the others train."""
    shares = np.array([hash_share(f"folder/{record}") for record in stretches.record])
    validates = shares < _UNLABELLED_VALIDATION_SHARE
    return {"train": np.flatnonzero(~validates), "validation": np.flatnonzero(validates)}
