"""Few labels: a seeded part of the training patients, each with all of their windows.

Patients are drawn and not windows, because two windows of one patient are almost the same example. The draw is
stratified: patients are sorted by the rarest label that they have, and every n-th one is taken, so that each label
keeps its share. At least one patient of each set is taken, even if a small set then gives more than its share.
"""

import numpy as np
from numpy.typing import NDArray

from training.data.cache import StretchSet
from training.data.splits import hash_share


def labelled_rows(stretches: StretchSet, rows: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """Return the rows of about `share` of the patients that `rows` hold.

    Parameters
    ----------
    rows : stretches that may be taken
    share : in (0, 1]; 1 gives all rows
    seed : another seed gives other patients
    """
    if share >= 1.0:
        return rows
    patients, owner = np.unique(stretches.patient[rows], return_inverse=True)
    has = np.zeros((patients.size, stretches.target.shape[1]), bool)  # any window of the patient has the label
    np.logical_or.at(has, owner, (stretches.target & stretches.known)[rows] > 0)
    frequency = has.sum(axis=0)
    rarest = np.where(has, frequency, patients.size + 1).min(axis=1)
    label = np.where(has, frequency, patients.size + 1).argmin(axis=1)
    # Patients of the same rarest label are in a random order that the seed fixes on every machine.
    shuffled = np.array([hash_share(f"labels/{seed}/{stretches.name}/{patient}") for patient in patients])
    order = np.lexsort((shuffled, label, rarest))
    count = max(1, round(share * patients.size))
    # Every n-th patient of the order, from a random start: each label gets its share.
    picks = ((np.arange(count) + hash_share(f"labels/{seed}")) * patients.size / count).astype(int)
    taken = np.zeros(patients.size, bool)
    taken[order[picks]] = True
    return rows[taken[owner]]
