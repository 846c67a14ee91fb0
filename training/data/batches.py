"""Draws training batches from several window sets, rare labels more often than they occur.

Knows nothing of the model.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.augment import Batch
from training.data.cache import WindowSet
from training.data.labels import INDEX
from training.data.stores import Store
from training.data.windows import SPARE_SAMPLES

# of a batch, against each other; those of sets that were not at hand are guesses
SHARES = {"ptb-xl": 0.7, "cinc2017": 0.15, "mitdb": 0.15, "cpsc2018": 0.2, "cinc2020": 0.5, "cinc2021": 0.7}
_RARE = ("AF", "AFL", "SVT", "VT", "BIGEMINY", "TRIGEMINY", "PACED", "NOISE", "OTHER", "PAC", "LBBB", "RBBB")
_MOST = {"ptb-xl": 4.0}  # how much more often than its share a window may be drawn
_MOST_ELSEWHERE = 12.0


@dataclass(frozen=True)
class Source:
    """The training windows of one set, and how often each is drawn."""

    windows: WindowSet
    rows: NDArray[np.intp]
    cumulative: NDArray[np.float64]  # (rows,) of the drawing weights, ends at 1


def make_source(windows: WindowSet, rows: NDArray[np.intp]) -> Source:
    """Weigh windows by the rarest label they hold: the root of how much rarer it is than one in ten."""
    target = (windows.target & windows.known)[rows][:, [INDEX[name] for name in _RARE]].astype(np.float64)
    frequency = np.maximum(target.mean(axis=0), 1e-6)
    boost = np.clip(np.sqrt(0.1 / frequency), 1.0, _MOST.get(windows.name, _MOST_ELSEWHERE))
    weights = np.maximum((target * boost).max(axis=1), 1.0)
    return Source(windows, rows, np.cumsum(weights) / weights.sum())


class Sampler:
    """Endless stream of batches; the sets follow one another as in `shares`, PTB-XL first in each."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        batch_size: int,
        seed: int,
        shares: Mapping[str, float] = SHARES,
        device: torch.device | str = "cpu",
    ) -> None:
        self.random = np.random.default_rng(seed)
        self._sources = sources
        self._stores = {name: Store(source.windows, device) for name, source in sources.items()}
        total = sum(shares[name] for name in sources)
        self._counts = {name: round(batch_size * shares[name] / total) for name in shares if name in sources}

    @property
    def mixable(self) -> int:
        """Rows at the start of a batch that have all labels, and so may be mixed."""
        return self._counts.get("ptb-xl", 0)

    def rows_of(self, sets: Container[str] | None) -> Tensor:
        """Tell which rows of each batch come from these sets, None being all: (batch,) bool."""
        each = [torch.full((count,), sets is None or name in sets) for name, count in self._counts.items()]
        return torch.cat(each)

    def draw(self) -> Batch:
        """Draw one batch of windows."""
        parts = [self._part(name, count) for name, count in self._counts.items()]
        return Batch(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _part(self, name: str, count: int) -> tuple[Tensor, ...]:
        source, store = self._sources[name], self._stores[name]
        rows = source.rows[np.searchsorted(source.cumulative, self.random.random(count), side="right")]
        anywhere = self.random.integers(SPARE_SAMPLES + 1, size=count)
        return store.windows(rows, source.windows.places(rows, anywhere)), *store.labels(rows)
