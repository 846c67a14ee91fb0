"""A checkpoint on PTB-XL as the device would judge it: every window of the device's hop, the mean over a record.

The windows come from the cache, whose stretches are the records' 10 s; each is conditioned by itself, as on the device.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgnat.model import Network
from training.data import cache, splits
from training.data.labels import INDEX
from training.data.sets.ptb_xl import read_entries, read_groups
from training.data.windows import INPUT, SPARE_SAMPLES
from training.evaluation.predictions import predict
from training.evaluation.ptb_xl import Task, tasks

PARTS = {
    "fold 9": "judge",
    "unseen patients of folds 1-8": "validation",
}


def record_probabilities(model: Network, windows: cache.WindowSet, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Judge whole stretches, (rows, labels): the mean over the windows that the device would look at."""
    places = range(0, SPARE_SAMPLES + 1, round(INPUT.hop_s * INPUT.sample_rate_hz))
    mean: NDArray[np.float32] = np.mean([predict(model, windows, rows, place) for place in places], axis=0)
    return mean


def judge(model: Network, data: Path, part: str) -> dict[str, Task]:
    """Score every group of statements: scores and targets, (records, classes) each.

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
    windows = cache.load("ptb-xl", data)
    rows = splits.rows_of(windows, data)[part]
    by_id = {entry.ecg_id: entry for entry in read_entries(data / "ptb-xl")}
    entries = [by_id[str(record)] for record in windows.record[rows]]
    return tasks(record_probabilities(model, windows, rows), INDEX, entries, read_groups(data / "ptb-xl"))


def accuracy(task: Task) -> float:
    """Part of the yes and no over records and classes that a threshold of 0.5 gets right."""
    scores, target = task
    return float(((scores >= 0.5) == (target > 0)).mean())
