"""Few labels: a seeded part of the training patients, each with all of their windows.

By patients and not by windows, because two windows of one patient are nearly one label. Stratified: patients
stand in the order of the rarest label that they have, and every n-th of that line is taken, so that each
label keeps its share as far as whole patients allow. A part has at least one patient of each set, which for
a set of few patients is more than was asked for.
"""

import numpy as np
from numpy.typing import NDArray

from training.data.cache import WindowSet
from training.data.splits import hash_share


def labelled_rows(windows: WindowSet, rows: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """Take the rows of about `share` of the patients that `rows` hold.

    Parameters
    ----------
    rows : windows that may be taken
    share : in (0, 1]; 1 gives all rows
    seed : another seed, other patients
    """
    if share >= 1.0:
        return rows
    patients, owner = np.unique(windows.patient[rows], return_inverse=True)
    has = np.zeros((patients.size, windows.target.shape[1]), bool)
    np.logical_or.at(has, owner, (windows.target & windows.known)[rows] > 0)
    frequency = has.sum(axis=0)
    rarest = np.where(has, frequency, patients.size + 1).min(axis=1)
    label = np.where(has, frequency, patients.size + 1).argmin(axis=1)
    shuffled = np.array([hash_share(f"labels/{seed}/{windows.name}/{patient}") for patient in patients])
    line = np.lexsort((shuffled, label, rarest))
    count = max(1, round(share * patients.size))
    places = ((np.arange(count) + hash_share(f"labels/{seed}")) * patients.size / count).astype(int)
    taken = np.zeros(patients.size, bool)
    taken[line[places]] = True
    return rows[taken[owner]]
