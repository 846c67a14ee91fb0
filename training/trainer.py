"""The trainer: supervised, many data sets, one head; budgeted by minutes or by steps, resumable.

First crops of 2.56 s, which are cheap, then whole windows, which is what the device classifies. The weights
kept are the running average of the last step; nothing is chosen by looking at a judged part.
"""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgnat.losses import masked_bce
from ecgnat.model import EcgNat
from training import checkpoint
from training.augment import augment
from training.batches import Sampler
from training.cache import WindowSet
from training.errors import TrainingError
from training.labels import NAMES, PRODUCT_LABELS
from training.metrics import label_aucs, macro

LOG = "log.csv"


@dataclass(frozen=True)
class TrainConfig:
    """How long and how hard to train; one of `minutes` and `steps` ends it."""

    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 128
    window_batch_size: int = 64  # of whole windows, which cost four times as much
    window_share: float = 0.35  # last part of the budget that trains on whole windows
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.04  # part of the budget
    ema_decay: float = 0.999
    clip: float = 1.0
    seed: int = 1
    validate_every_s: float = 420.0

    def __post_init__(self) -> None:
        """Raise TrainingError unless exactly one budget is given."""
        if (self.minutes is None) == (self.steps is None):
            raise TrainingError("give either minutes or steps")

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate at a part of the budget in [0, 1]: linear warm-up, then half a cosine."""
        if progress < self.warm_up:
            return self.learning_rate * progress / self.warm_up
        rest = (progress - self.warm_up) / (1.0 - self.warm_up)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))


@dataclass
class Progress:
    """How far training has come; survives a restart."""

    step: int = 0
    windows: int = 0  # drawn so far, crops and whole ones
    elapsed_s: float = 0.0
    validated_s: float = 0.0

    def share(self, config: TrainConfig) -> float:
        """Part of the budget that is spent."""
        if config.steps is not None:
            return self.step / config.steps
        return self.elapsed_s / (60.0 * (config.minutes or 0.0))


class Average:
    """Running average of a model's weights and buffers."""

    def __init__(self, model: EcgNat, decay: float) -> None:
        self.model = EcgNat(model.config).eval()
        self.model.load_state_dict(model.state_dict())
        self._decay = decay

    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model; faster in the first steps, when the average is still young."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1.0 - decay)
            else:
                mine.copy_(theirs)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; vectors (norms, biases) and the attention's position bias do not decay."""
    named = list(model.named_parameters())
    plain = [p for name, p in named if p.ndim < 2 or name.endswith("attention.bias")]
    decayed = [p for name, p in named if not (p.ndim < 2 or name.endswith("attention.bias"))]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


@torch.no_grad()
def predict(
    model: EcgNat,
    windows: WindowSet,
    rows: NDArray[np.intp],
    only: NDArray[np.uint8] | None = None,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Probabilities of whole windows, (rows, labels) float32; `only`, (12,), limits the leads that are looked at."""
    parts = []
    for first in range(0, rows.size, batch_size):
        some = rows[first : first + batch_size]
        signal = torch.from_numpy(windows.signal[some].astype(np.float32))
        keep = torch.from_numpy((windows.keep[some] if only is None else windows.keep[some] * only).astype(np.float32))
        parts.append(torch.sigmoid(model(signal, keep)).numpy())
    return np.concatenate(parts)


class Trainer:
    """Trains one model; `run` returns when the budget is spent."""

    def __init__(
        self,
        model: EcgNat,
        samplers: tuple[Sampler, Sampler],
        noise: Tensor,
        config: TrainConfig,
        out: Path,
        validation: list[tuple[WindowSet, NDArray[np.intp]]],
    ) -> None:
        self.model, self.config, self.out = model, config, out
        self._crops, self._wholes = samplers
        self._noise, self._validation = noise, validation
        self.optimizer = make_optimizer(model, config)
        self.average = Average(model, config.ema_decay)
        self.progress = Progress()
        self._generator = torch.Generator().manual_seed(config.seed)

    def resume(self) -> None:
        """Take up the run in the output folder; raises CheckpointError when there is none."""
        averaged, _ = checkpoint.load_model(self.out)
        self.average.model.load_state_dict(averaged.state_dict())
        self.progress = Progress(**checkpoint.load_state(self.out, self.model, self.optimizer)["progress"])
        for offset, source in enumerate((self._crops, self._wholes)):
            source.reseed(self.config.seed + self.progress.step + offset)  # else it would see its first batches again
        self._generator.manual_seed(self.config.seed + self.progress.step)

    def run(self, report: Callable[[Progress, float, str], None]) -> None:
        """Train until the budget is spent; `report` hears progress, loss and, after validation, a line.

        Raises
        ------
        TrainingError
            When the loss is not finite; the last checkpoint is kept.
        """
        self.model.train()
        running = float("nan")
        while self.progress.share(self.config) < 1.0:
            began = time.monotonic()
            loss = self.step()
            self.progress.elapsed_s += time.monotonic() - began
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {self.progress.step}; lower the learning rate")
            running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            line = ""
            if self.progress.elapsed_s - self.progress.validated_s >= self.config.validate_every_s:
                line = self.validate(running)
            report(self.progress, running, line)
        report(self.progress, running, self.validate(running))

    def step(self) -> float:
        """Take one step and return its loss."""
        share = self.progress.share(self.config)
        crop = share < 1.0 - self.config.window_share
        sampler = self._crops if crop else self._wholes
        batch = augment(sampler.draw(crop), sampler.mixable, self._noise, self._generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(share)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(batch.signal, batch.keep)
        loss = masked_bce(logits.float(), batch.target, batch.known)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        self.average.update(self.model, self.progress.step)
        self.progress.step += 1
        self.progress.windows += batch.signal.shape[0]
        return float(loss.detach())

    def validate(self, loss: float) -> str:
        """Score the averaged weights on the validation parts, log, save, and return one line."""
        self.progress.validated_s = self.progress.elapsed_s
        figures: dict[str, float] = {"loss": loss}
        for windows, rows in self._validation:
            scores = predict(self.average.model, windows, rows)
            aucs = label_aucs(scores, windows.target[rows], windows.known[rows])
            figures[f"{windows.name}.product"] = macro(aucs[: len(PRODUCT_LABELS)])
            if windows.known[:, len(PRODUCT_LABELS) :].any():
                figures[f"{windows.name}.statements"] = macro(aucs[len(PRODUCT_LABELS) :])
        self._log(figures)
        checkpoint.save_model(self.out, self.average.model, NAMES)
        extra = {"progress": asdict(self.progress), "config": asdict(self.config)}
        checkpoint.save_state(self.out, self.model, self.optimizer, extra)
        return "  ".join(f"{key} {value:.4f}" for key, value in figures.items())

    def _log(self, figures: dict[str, float]) -> None:
        row = asdict(self.progress) | figures
        path = self.out / LOG
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(row)
            writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in row.values()])
