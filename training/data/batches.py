"""Draws training batches from several data sets."""

from collections.abc import Container, Sequence

import numpy as np
import torch
from torch import Tensor

from training.data.augment import Batch
from training.data.training_set import TrainingSet
from training.errors import TrainingError

# Parts of a batch, relative to each other. Those of cpsc2018, cinc2020 and cinc2021 are guesses: never trained on.
SHARES = {"ptb-xl": 0.7, "cinc2017": 0.15, "mitdb": 0.15, "cpsc2018": 0.2, "cinc2020": 0.5, "cinc2021": 0.7}
FOLDER_SHARE = 0.3  # of a folder of the user's own records
_FULLY_LABELLED = "ptb-xl"


class BatchSampler:
    """Endless stream of batches, each with the same number of windows of each set, PTB-XL first.

    Parameters
    ----------
    sets : those without a stretch that trains are left out
    batch_size : windows of a batch
    seed : of the draws

    Raises
    ------
    TrainingError
        When no set has a stretch that trains.
    """

    def __init__(self, sets: Sequence[TrainingSet], batch_size: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        used = [one for one in sets if one.train.size]
        if not used:
            raise TrainingError("there is no window to train on")
        self._sets = sorted(used, key=lambda one: one.stretches.name != _FULLY_LABELLED)
        edges = np.cumsum([one.share for one in self._sets])
        # Rounding the edges and not the parts makes the counts add up to the batch size.
        self._counts = np.diff(np.round(edges / edges[-1] * batch_size).astype(int), prepend=0)

    @property
    def mixable(self) -> int:
        """Rows at the start of a batch that have all labels and so may be mixed with each other."""
        first = self._sets[0]
        return int(self._counts[0]) if first.stretches.name == _FULLY_LABELLED else 0

    def rows_from(self, names: Container[str] | None) -> Tensor:
        """Return which rows of each batch come from the sets of these names (None: all sets), (batch,) bool."""
        wanted = [names is None or one.stretches.name in names for one in self._sets]
        return torch.from_numpy(np.repeat(wanted, self._counts))

    def draw(self) -> Batch:
        """Draw one batch of windows."""
        parts = [one.draw(count, self.random) for one, count in zip(self._sets, self._counts, strict=True)]
        return Batch(*(torch.cat(columns) for columns in zip(*(part.tensors() for part in parts), strict=True)))
