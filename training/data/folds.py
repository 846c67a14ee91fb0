"""Five folds of the 22 unpaced records of DS1 (de Chazal et al. 2004), patient by patient.

    fold  AF   VT                ventricular beats                    other rhythms and forms
    1     201  205               201: 198                             LBBB 109, trigeminy 201
    2     203  203               203: 444                             RBBB 118, SVT 220, AFL 203
    3          207 (flutter)     106: 520                             LBBB and RBBB 207, bigeminy 106
    4          223               208: 992, 223: 473                   RBBB 124, bigeminy 223, trigeminy 208
    5          215 (2 s)         119: 444                             SVT 209, bigeminy and trigeminy 119

Each fold has at least one of the eight records that are sinus rhythm throughout. The paced records of DS1 train in
every fold, those of DS2 in none. 201 and 202 are one patient; 202 belongs to DS2 and is never used.
"""

from pathlib import Path

import numpy as np

from training.data import splits
from training.data.cache import StretchSet

FOLDS = {
    "fold-1": ("109", "122", "201", "205"),
    "fold-2": ("101", "118", "203", "220"),
    "fold-3": ("106", "108", "112", "114", "207"),
    "fold-4": ("115", "124", "208", "223"),
    "fold-5": ("116", "119", "209", "215", "230"),
}
WHOLE = "all"  # name of the network that trains on every record


def split_without(held_out: tuple[str, ...]) -> splits.Split:
    """Return the split in which these patients of MIT-BIH validate and all others of DS1 train.

    The other sets are split as usual.
    """

    def split(stretches: StretchSet, data: Path) -> splits.Rows:
        rows = splits.rows_of(stretches, data)
        if stretches.name != "mitdb":
            return rows
        # The usual validation patients train here, and the held-out ones validate instead.
        used = np.concatenate([rows["train"], rows["validation"]])
        out = np.isin(stretches.patient[used], held_out)
        return rows | {"train": np.sort(used[~out]), "validation": np.sort(used[out])}

    return split
