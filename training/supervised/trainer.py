"""The trainer: supervised, many data sets, one head; budgeted by minutes or by steps, resumable.

It trains on windows as the device classifies them, from anywhere in the labelled stretches. The weights kept are
the running average of the last step, or a blend of it with those of the start; nothing is chosen by looking at a
judged part.
"""

import copy
import math
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgnat import ranks
from ecgnat.losses import masked_bce, multi_label_contrast
from ecgnat.model import Network, ProjectionHead
from ecgnat.networks import make_network
from training.data.augment import Batch, augment
from training.data.batches import Sampler
from training.data.cache import WindowSet
from training.data.labels import NAMES, PRODUCT_LABELS
from training.errors import TrainingError
from training.evaluation.metrics import label_aucs, macro
from training.evaluation.predictions import predict
from training.loop import checkpoint, pictures
from training.loop.optimizing import Average, blend, make_optimizer, schedule, set_learning_rate
from training.loop.resuming import Generator, Resumable, append_log, cut_log, read_log


@dataclass(frozen=True)
class TrainConfig:
    """How long and how hard to train; one of `minutes` and `steps` ends it."""

    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.04  # part of the budget
    ema_decay: float = 0.999
    clip: float = 1.0
    seed: int = 1
    validate_every_s: float = 420.0
    probe_share: float = 0.0  # first part of the budget, in which the head alone learns on a frozen encoder
    layer_decay: float = 1.0  # how much slower each layer learns than the next
    contrastive_weight: float = 0.0
    temperature: float = 0.1  # of the contrastive loss
    teacher_weight: float = 0.7  # part of a target that is what the teachers say, where there are any
    blend: float = 1.0  # how far the weights that are kept go from those of the start to those that were learned
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise TrainingError unless exactly one budget is given."""
        if (self.minutes is None) == (self.steps is None):
            raise TrainingError("give either minutes or steps")

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate at a part of the budget in [0, 1]: linear warm-up, then half a cosine, in each phase."""
        if progress < self.probe_share:
            progress /= self.probe_share
        elif self.probe_share < 1.0:
            progress = (progress - self.probe_share) / (1.0 - self.probe_share)
        return schedule(self.learning_rate, progress, self.warm_up)


@dataclass(frozen=True)
class Teachers:
    """Networks whose mean answer is mixed into the targets, on the windows of some sets."""

    networks: Sequence[Network] = ()
    sets: Container[str] | None = None  # None is all


@dataclass
class Progress:
    """How far training has come; survives a restart."""

    step: int = 0
    windows: int = 0  # drawn so far
    elapsed_s: float = 0.0
    validated_s: float = 0.0
    loss: float = math.nan  # smoothed

    def share(self, config: TrainConfig) -> float:
        """Part of the budget that is spent."""
        if config.steps is not None:
            return self.step / config.steps
        return self.elapsed_s / (60.0 * (config.minutes or 0.0))


class Trainer:
    """Trains one model; `run` returns when the budget is spent."""

    def __init__(
        self,
        model: Network,
        sampler: Sampler,
        noise: Tensor | None,
        config: TrainConfig,
        out: Path,
        validation: list[tuple[WindowSet, NDArray[np.intp]]],
        teachers: Teachers = Teachers(),
    ) -> None:
        self.model, self.config, self.out = model, config, out
        self._sampler = sampler
        self._noise, self._validation, self._teachers = noise, validation, teachers.networks
        self._taught_rows = own_part(sampler.rows_of(teachers.sets)).nonzero().squeeze(1).to(config.device)
        self.average = Average(model, make_network(model.config).to(config.device), config.ema_decay)
        self.projection = ProjectionHead(model.width).to(config.device) if config.contrastive_weight else None
        ranks.share_batch_norm(model)
        modules: dict[str, nn.Module] = {"model": model, "average": self.average.model}
        named = list(model.named_parameters())
        if self.projection:
            modules["projection"] = self.projection
            named += self.projection.named_parameters("projection")
        self._start = copy.deepcopy(self.average.model) if config.blend < 1.0 else None
        if self._start:
            modules["start"] = self._start
        self._parameters = [parameter for _, parameter in named]
        self.optimizer = make_optimizer(named, config.weight_decay, model.config, config.layer_decay)
        self.progress = Progress()
        self._probing: bool | None = None
        self._generator = torch.Generator(config.device).manual_seed(config.seed)
        generators: dict[str, Generator] = {
            "augment": self._generator,
            "sampler": sampler.random,
        }
        self._state = Resumable(modules, self.optimizer, generators)

    def resume(self) -> None:
        """Take up the run in the output folder; raises CheckpointError when there is none."""
        self.progress = Progress(**self._state.load(self.out)["progress"])
        if ranks.rank() == 0:
            cut_log(self.out, self.progress.step)

    def run(self, report: Callable[[Progress, float, str], None]) -> None:
        """Train until the budget is spent; `report` hears progress, loss and, after validation, a line.

        Raises
        ------
        TrainingError
            When the loss is not finite; the last checkpoint is kept.
        """
        while self.progress.share(self.config) < 1.0:
            began = time.monotonic()
            loss = self.step()
            self.progress.elapsed_s += time.monotonic() - began
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {self.progress.step}; lower the learning rate")
            running = self.progress.loss
            self.progress.loss = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            line = ""
            if self.progress.elapsed_s - self.progress.validated_s >= self.config.validate_every_s:
                line = self.validate()
            report(self.progress, self.progress.loss, line)
        report(self.progress, self.progress.loss, self.validate())

    def step(self) -> float:
        """Take one step and return its loss."""
        share = self.progress.share(self.config)
        whole = augment(self._sampler.draw(), self._sampler.mixable, self._noise, self._generator)
        batch = Batch(*(own_part(part) for part in (whole.signal, whole.keep, whole.target, whole.known)))
        self._freeze(share < self.config.probe_share)
        set_learning_rate(self.optimizer, self.config.learning_rate_at(share))
        loss = self._loss(batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        ranks.sum_gradients(self._parameters)
        nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self.optimizer.step()
        self.average.update(self.model, self.progress.step)
        self.progress.step += 1
        self.progress.windows += whole.signal.shape[0]
        return float(ranks.total(loss))

    def _loss(self, batch: Batch) -> Tensor:
        with torch.autocast(batch.signal.device.type, torch.bfloat16):
            pooled = self.model.pooled(batch.signal, batch.keep)
            logits = self.model.head(pooled)
            projected = self.projection(pooled) if self.projection else None
        loss = masked_bce(logits.float(), self._taught(batch), batch.known)
        if projected is None:
            return loss
        contrast = multi_label_contrast(projected.float(), batch.target, batch.known, self.config.temperature)
        return loss + self.config.contrastive_weight * contrast

    @torch.no_grad()
    def _taught(self, batch: Batch) -> Tensor:
        """Mix what the teachers say of a batch into its targets, after Hinton et al. 2015 (arXiv:1503.02531)."""
        if not self._teachers:
            return batch.target
        rows = self._taught_rows
        signal, keep = batch.signal[rows], batch.keep[rows]
        with torch.autocast(signal.device.type, torch.bfloat16):
            said = [torch.sigmoid(teacher(signal, keep).float()) for teacher in self._teachers]
        mixed = torch.lerp(batch.target[rows], torch.stack(said).mean(dim=0), self.config.teacher_weight)
        return batch.target.index_copy(0, rows, mixed)

    def _freeze(self, probing: bool) -> None:
        """Let the head alone learn, on the running statistics of the encoder, or let everything learn."""
        if probing is self._probing:
            return
        self._probing = probing
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not probing or name.startswith("head."))
        self.model.train(not probing)
        self.model.head.train()

    def kept(self) -> Network:
        """Return what is kept: the running average of the weights, or a blend of it with those of the start."""
        average = self.average.model
        return blend(self._start, average, self.config.blend) if self._start else average

    def validate(self) -> str:
        """Score the weights to keep on the validation parts, log, save, and return one line."""
        self.progress.validated_s = self.progress.elapsed_s
        figures: dict[str, float] = {"loss": self.progress.loss}
        if ranks.rank() != 0:
            return ""
        kept = self.kept()
        for windows, rows in self._validation:
            scores = predict(kept, windows, rows)
            aucs = label_aucs(scores, windows.target[rows], windows.known[rows])
            figures[f"{windows.name}.product"] = macro(aucs[: len(PRODUCT_LABELS)])
            if windows.known[:, len(PRODUCT_LABELS) :].any():
                figures[f"{windows.name}.statements"] = macro(aucs[len(PRODUCT_LABELS) :])
        append_log(self.out, asdict(self.progress) | figures)
        pictures.learning_curves(self.out, read_log(self.out))
        checkpoint.save_model(self.out, kept, NAMES)
        self._state.save(self.out, {"progress": asdict(self.progress), "config": asdict(self.config)})
        return "  ".join(f"{key} {value:.4f}" for key, value in figures.items())


def own_part(of_batch: Tensor) -> Tensor:
    """Cut this rank's part out of a batch, or raise TrainingError where it cannot be divided evenly."""
    try:
        return ranks.own_part(of_batch)
    except ValueError as exc:
        raise TrainingError(str(exc)) from exc
