"""The validation windows with the network's answers, and the names of all records that were seen."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.thresholds import Judged
from ecgnat.model import EcgNat
from edge.leads import LEADS
from training import cache, splits
from training.cache import WindowSet
from training.trainer import predict

_STRIDE = {"mitdb": 2, "cinc2017": 2, "ptb-xl": 1}  # neighbouring windows of a record say nearly the same
_SINGLE = ("I", "II")
NOISE_RECORDS = ("bw", "ma")


class Validation:
    """The validation parts of all data sets in a folder; reads the window caches or builds them.

    Raises
    ------
    DataError
        When a data set cannot be read.
    """

    def __init__(self, data: Path) -> None:
        self._sets: list[tuple[WindowSet, dict[str, NDArray[np.intp]]]] = []
        for name in cache.READERS:
            windows = cache.load(name, data)
            self._sets.append((windows, splits.rows_of(windows, data)))

    def seen_records(self) -> dict[str, dict[str, list[str]]]:
        """Names of the records of each set that trained and that chose."""
        seen = {
            windows.name: {part: sorted(set(map(str, windows.record[rows[part]]))) for part in ("train", "validation")}
            for windows, rows in self._sets
        }
        return seen | {"nstdb": {"train": list(NOISE_RECORDS)}}

    def judge(self, model: EcgNat) -> list[Judged]:
        """Classify the validation windows, PTB-XL's also with one lead alone."""
        groups = []
        for windows, rows in self._sets:
            some = rows["validation"][:: _STRIDE[windows.name]]
            target, known = windows.target[some], windows.known[some]
            groups.append(Judged(windows.name, predict(model, windows, some), target, known))
            if windows.name == "ptb-xl":
                for lead in _SINGLE:
                    alone = np.array([name == lead for name in LEADS], np.uint8)
                    scores = predict(model, windows, some, only=alone)
                    groups.append(Judged(f"{windows.name}.{lead}", scores, target, known))
        return groups

    def windows(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return `count` real windows of each set, spread over its validation part: signal and keep."""
        signals, keeps = [], []
        for windows, rows in self._sets:
            some = rows["validation"][:: max(rows["validation"].size // count, 1)][:count]
            signals.append(windows.windows(some))
            keeps.append(windows.keep[some].astype(np.float32))
        return np.concatenate(signals), np.concatenate(keeps)
