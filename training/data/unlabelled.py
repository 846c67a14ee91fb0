"""Windows for pretraining: which may be drawn, and batches of them, labels left behind.

Only the training part of a set is ever drawn, so that pretraining sees no patient who validates, judges or
tests. Of a plain folder, whose owner says that all of it may be used, one record in twenty validates.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data import cache, splits
from training.data.augment import Batch, drop_leads, gain
from training.data.batches import SHARES
from training.data.stores import Store
from training.data.windows import SPARE_SAMPLES
from training.errors import TrainingError

_FOLDER_SHARE = 0.3  # of a batch, against the shares of the sets
_FOLDER_VALIDATION = 0.05
_MOST_VALIDATION = 128  # windows of a set


@dataclass(frozen=True)
class Pool:
    """The windows of one set that pretraining may draw, and those that it is watched on."""

    windows: cache.WindowSet
    share: float
    train: NDArray[np.intp]
    validation: NDArray[np.intp]


def pool_of_set(name: str, data: Path) -> Pool:
    """Open one of the known sets."""
    windows = cache.load(name, data)
    rows = splits.rows_of(windows, data)
    return _pool(windows, SHARES[name], rows["train"], rows["validation"])


def pool_of_folder(folder: Path) -> Pool:
    """Open a plain folder of WFDB records."""
    windows = cache.load_folder(folder)
    share = np.array([splits.hash_share(f"folder/{record}") for record in windows.record])
    validates = share < _FOLDER_VALIDATION
    return _pool(windows, _FOLDER_SHARE, np.flatnonzero(~validates), np.flatnonzero(validates))


def _pool(windows: cache.WindowSet, share: float, train: NDArray[np.intp], validation: NDArray[np.intp]) -> Pool:
    some = validation[:: max(1, validation.size // _MOST_VALIDATION)][:_MOST_VALIDATION]
    return Pool(windows, share, train, some)


class WindowSampler:
    """Endless stream of batches of windows, (batch, 12, samples) and (batch, 12)."""

    def __init__(self, pools: list[Pool], batch_size: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.random = np.random.default_rng(seed)
        self._pools = [pool for pool in pools if pool.train.size]
        if not self._pools:
            raise TrainingError("there is no window to pretrain on")
        total = sum(pool.share for pool in self._pools)
        edges = np.cumsum([pool.share / total for pool in self._pools])
        self._counts = np.diff(np.round(edges * batch_size).astype(int), prepend=0)
        self._stores = [Store(pool.windows, device) for pool in self._pools]

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw one batch."""
        signals, keeps = [], []
        for pool, store, count in zip(self._pools, self._stores, self._counts, strict=True):
            rows = pool.train[self.random.integers(pool.train.size, size=count)]
            signals.append(store.windows(rows, self.random.integers(SPARE_SAMPLES + 1, size=count)))
            keeps.append(store.keep(rows))
        return torch.cat(signals), torch.cat(keeps)


def training_windows(pools: list[Pool], count: int) -> tuple[Tensor, Tensor]:
    """Take about `count` training windows, evenly spread over the pools: the same ones every time."""
    each = max(1, count // len(pools))
    return _taken([(pool, pool.train[:: max(1, pool.train.size // each)][:each]) for pool in pools])


def validation_windows(pools: list[Pool]) -> tuple[Tensor, Tensor]:
    """Take a window of every validation stretch; of training stretches where no pool has any."""
    pairs = [(pool, pool.validation) for pool in pools if pool.validation.size]
    return _taken(pairs or [(pool, pool.train[:_MOST_VALIDATION]) for pool in pools])


def _taken(pairs: list[tuple[Pool, NDArray[np.intp]]]) -> tuple[Tensor, Tensor]:
    signals = [pool.windows.windows(rows) for pool, rows in pairs]
    keeps = [pool.windows.keep[rows] for pool, rows in pairs]
    return torch.from_numpy(np.concatenate(signals)), torch.from_numpy(np.concatenate(keeps).astype(np.float32))


def vary(signal: Tensor, keep: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vary gain and leads as fine-tuning does; no noise, for the network would learn to draw it."""
    nothing = signal.new_zeros(signal.shape[0], 0)
    batch = drop_leads(gain(Batch(signal, keep, nothing, nothing), generator), 0.4, generator)
    return batch.signal, batch.keep
