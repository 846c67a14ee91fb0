"""A checkpoint on PTB-XL as the device would run it: a window at every hop, and the mean over a record.

The windows come from the cache, whose stretches are the records of 10 s. Each is conditioned by itself, as on the
device.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgnat.model import Network
from training.data import cache, splits
from training.data.labels import INDEX
from training.data.sets.ptb_xl import read_entries, read_groups
from training.data.windows import INPUT, LAST_WINDOW_START
from training.evaluation.predictions import predict
from training.evaluation.ptb_xl import ScoredGroup, scores_by_group

PARTS = {
    "fold 9": "judge",
    "unseen patients of folds 1-8": "validation",
}


def record_probabilities(model: Network, stretches: cache.StretchSet, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Classify whole stretches, (rows, labels): the mean over windows that are one hop of the device apart."""
    starts = range(0, LAST_WINDOW_START + 1, round(INPUT.hop_s * INPUT.sample_rate_hz))
    mean: NDArray[np.float32] = np.mean([predict(model, stretches, rows, start) for start in starts], axis=0)
    return mean


def score_groups(model: Network, data: Path, part: str) -> dict[str, ScoredGroup]:
    """Return scores and targets of every group of statements.

    Parameters
    ----------
    model : network with all outputs of `training.data.labels`
    data : folder of the data sets
    part : one of `training.data.splits.PARTS`

    Raises
    ------
    DataError
        When PTB-XL cannot be read.
    """
    stretches = cache.load("ptb-xl", data)
    rows = splits.rows_of(stretches, data)[part]
    # The cache knows records by their number; the statements of a record are in the database.
    by_id = {entry.ecg_id: entry for entry in read_entries(data / "ptb-xl")}
    entries = [by_id[str(record)] for record in stretches.record[rows]]
    means = record_probabilities(model, stretches, rows)
    return scores_by_group(means, INDEX, entries, read_groups(data / "ptb-xl"))


def accuracy(group: ScoredGroup) -> float:
    """Part of the decisions, over records and classes, that are right at a threshold of 0.5."""
    scores, target = group
    return float(((scores >= 0.5) == (target > 0)).mean())
