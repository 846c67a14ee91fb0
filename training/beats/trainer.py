"""Trains the beat network on described beats.

A record and class is drawn by the square root of how many beats it has, so that neither long records nor normal beats
outweigh the rest. The branch of the features trains alone first: it is quick, and the snippets then add what it lacks.
The result is an exponential average of the weights.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.beats.augment import augment
from training.beats.averaging import follow
from training.beats.dataset import BeatSet
from training.beats.description import RecordBeats
from training.beats.network import AveragedNetworks, BeatNetwork, with_difference
from training.data.reporting import ReportLine
from training.errors import TrainingError

_POWER = 0.5  # of the number of beats of a record and class, by which it is drawn
_BATCH, _FEATURE_BATCH = 256, 512
_RATE, _FEATURE_RATE = 2e-3, 3e-3
_WEIGHT_DECAY = 0.05
_AVERAGE_DECAY = 0.998
_SMOOTHING = 0.02
_JITTER, _FEATURE_JITTER = 0.05, 0.08  # of the features, in their spreads
_STANDARD_ROWS = 20_000
_SMALLEST_SPREAD = 1e-3
_MAX_NORM = 2.0
_REPORT_STEPS = 200
_PREDICT_BATCH = 1024


@dataclass(frozen=True)
class TrainConfig:
    """How long a network trains, and from which seed."""

    steps: int = 2000
    feature_steps: int = 1500  # of the features' branch alone, before
    seed: int = 0


def fit(
    beats: BeatSet, config: TrainConfig, report: ReportLine, allowed: NDArray[np.bool_] | None = None
) -> BeatNetwork:
    """Train a network on the beats where `allowed`, (beats,), is True; TrainingError when the loss is not finite."""
    return _Training(beats, config, allowed).run(report)


class _Training:
    def __init__(self, beats: BeatSet, config: TrainConfig, allowed: NDArray[np.bool_] | None) -> None:
        torch.manual_seed(config.seed)
        self._beats = beats
        self._config = config
        self._noise = torch.Generator().manual_seed(config.seed)
        self._draw = np.random.default_rng(config.seed)
        self._network = BeatNetwork()
        usable = np.ones(len(beats.label), np.bool_) if allowed is None else allowed
        if not usable.any():
            raise TrainingError("no beat is left to train on; use fewer folds")
        counts = np.bincount(beats.group)[beats.group]
        self._cumulated = np.cumsum(usable * counts ** (_POWER - 1.0))
        self._standardise(np.flatnonzero(usable))

    def run(self, report: ReportLine) -> BeatNetwork:
        self._fit_features()
        network, config = self._network, self._config
        average = copy.deepcopy(network).eval()
        optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=config.steps, pct_start=0.08)
        total = 0.0
        network.train()
        for step in range(1, config.steps + 1):
            loss = self._loss()
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss is {loss.item()} at step {step}; try another --seed")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_NORM)
            optimizer.step()
            schedule.step()
            # A short average at first, or the random weights of the start would stay in it for long.
            follow(average, network, min(_AVERAGE_DECAY, step / (step + 9)))
            total += loss.item()
            if step % _REPORT_STEPS == 0:
                report(f"step {step} of {config.steps}, loss {total / _REPORT_STEPS:.4f}")
                total = 0.0
        return average

    def _standardise(self, rows: NDArray[np.int64]) -> None:
        some = self._beats.features[self._draw.choice(rows, min(_STANDARD_ROWS, len(rows)), replace=False)]
        spread = some.std(axis=0)
        self._network.centre.copy_(torch.from_numpy(some.mean(axis=0)))
        self._network.spread.copy_(torch.from_numpy(np.where(spread > _SMALLEST_SPREAD, spread, 1.0)))

    def _fit_features(self) -> None:
        network, steps = self._network, self._config.feature_steps
        parameters = [*network.branch.parameters(), *network.branch_head.parameters()]
        optimizer = torch.optim.AdamW(parameters, _FEATURE_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _FEATURE_RATE, total_steps=steps)
        for _ in range(steps):
            rows = self._rows(_FEATURE_BATCH)
            logits = network.logits_of_features(self._features(rows, _FEATURE_JITTER))
            loss = self._cross_entropy(logits, rows)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()

    def _loss(self) -> Tensor:
        rows = np.sort(self._rows(_BATCH))  # in order, they are read faster
        snippets, keep = augment(
            torch.from_numpy(self._beats.snippets[rows].astype(np.float32)),
            torch.from_numpy(self._beats.keep[rows].astype(np.float32)),
            self._noise,
        )
        features = self._features(rows, _JITTER)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self._network(with_difference(snippets), keep, features)
        return self._cross_entropy(logits.float(), rows)

    def _rows(self, count: int) -> NDArray[np.int64]:
        drawn = self._draw.random(count) * self._cumulated[-1]
        rows: NDArray[np.int64] = np.searchsorted(self._cumulated, drawn, side="right")
        return rows

    def _features(self, rows: NDArray[np.int64], jitter: float) -> Tensor:
        features = torch.from_numpy(self._beats.features[rows])
        return features + jitter * self._network.spread * torch.randn(features.shape, generator=self._noise)

    def _cross_entropy(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return functional.cross_entropy(logits, torch.from_numpy(self._beats.label[rows]), label_smoothing=_SMOOTHING)


@torch.no_grad()
def predict(networks: Sequence[BeatNetwork], beats: RecordBeats) -> NDArray[np.float32]:
    """Return (beats, classes) probabilities of the networks' average."""
    model = AveragedNetworks(networks).eval()
    parts = [np.zeros((0, networks[0].branch_head.out_features), np.float32)]
    for start in range(0, len(beats.label), _PREDICT_BATCH):
        part = slice(start, start + _PREDICT_BATCH)
        probabilities = model(
            with_difference(torch.from_numpy(beats.snippets[part].astype(np.float32))),
            torch.from_numpy(beats.keep[part].astype(np.float32)),
            torch.from_numpy(beats.features[part]),
        )
        parts.append(probabilities.numpy())
    return np.concatenate(parts)
