"""The trainer without labels: hides parts of the signal and learns to draw them back.

The shared parts (schedule, optimizer, average, resuming) are those of the supervised trainer.
What it leaves is a checkpoint whose model is the encoder alone, fit for `ecg-train finetune --init`.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ecgnat import ranks
from ecgnat.masked import MaskedAutoencoder, draw_masks, settle_batch_norm
from training.data.unlabelled import Pool, WindowSampler, training_windows, validation_windows, vary
from training.errors import CheckpointError, TrainingError
from training.loop import checkpoint, pictures
from training.loop.optimizing import Average, make_optimizer, schedule, set_learning_rate
from training.loop.resuming import Generator, Resumable, append_log, cut_log, read_log

_SETTLING_WINDOWS, _SETTLING_BATCH = 512, 64


@dataclass(frozen=True)
class PretrainConfig:
    """How long and how hard to pretrain; one of `minutes` and `steps` ends it."""

    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05  # part of the budget
    ema_decay: float = 0.999
    clip: float = 1.0
    seed: int = 1
    save_every_s: float = 120.0
    bfloat16: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise TrainingError unless exactly one budget is given and the batch can be divided."""
        if (self.minutes is None) == (self.steps is None):
            raise TrainingError("give either minutes or steps")
        if self.batch_size % ranks.world_size():
            raise TrainingError(f"a batch of {self.batch_size} cannot be divided among {ranks.world_size()} processes")


@dataclass
class Progress:
    """How far pretraining has come; survives a restart."""

    step: int = 0
    elapsed_s: float = 0.0
    saved_s: float = 0.0
    loss: float = math.nan  # smoothed

    def share(self, config: PretrainConfig) -> float:
        """Part of the budget that is spent."""
        if config.steps is not None:
            return self.step / config.steps
        return self.elapsed_s / (60.0 * (config.minutes or 0.0))


class Pretrainer:
    """Pretrains one autoencoder; `run` returns when the budget is spent."""

    def __init__(self, model: MaskedAutoencoder, pools: list[Pool], config: PretrainConfig, out: Path) -> None:
        self.model, self.config, self.out, self._pools = model, config, out, pools
        self.average = Average(model, copy.deepcopy(model), config.ema_decay)
        ranks.share_batch_norm(model)
        self._sampler = WindowSampler(pools, config.batch_size, config.seed, config.device)
        self._watched = [part.to(config.device) for part in validation_windows(pools)]
        self._parameters = list(model.parameters())
        self.optimizer = make_optimizer(list(model.named_parameters()), config.weight_decay)
        self.progress = Progress()
        self._generator = torch.Generator(config.device).manual_seed(config.seed)
        generators: dict[str, Generator] = {"masks": self._generator, "sampler": self._sampler.random}
        self._state = Resumable({"model": model, "average": self.average.model}, self.optimizer, generators)

    def resume(self) -> None:
        """Take up the run in the output folder; raises CheckpointError when there is none, or it was another."""
        extra = self._state.load(self.out)
        free = {"minutes", "steps", "save_every_s", "device"}
        mine = {"masking": asdict(self.model.masking), **asdict(self.config)}
        theirs = {"masking": extra["masking"], **extra["config"]}
        if other := [key for key, value in mine.items() if key not in free and theirs.get(key) != value]:
            raise CheckpointError(f"{self.out}: was begun with another {' and '.join(other)}")
        self.progress = Progress(**extra["progress"])
        if ranks.rank() == 0:
            cut_log(self.out, self.progress.step)

    def run(self, report: Callable[[Progress, str], None]) -> None:
        """Pretrain until the budget is spent; `report` hears the progress and, after a save, a line.

        Raises
        ------
        TrainingError
            When the loss is not finite; the last checkpoint is kept.
        """
        self.model.train()
        while self.progress.share(self.config) < 1.0:
            began = time.monotonic()
            loss = self.step()
            self.progress.elapsed_s += time.monotonic() - began
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {self.progress.step}; lower the learning rate")
            running = self.progress.loss
            self.progress.loss = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            over = self.progress.share(self.config) >= 1.0
            due = self.progress.elapsed_s - self.progress.saved_s >= self.config.save_every_s
            report(self.progress, self.save() if due or over else "")

    def step(self) -> float:
        """Take one step and return its loss."""
        signal, keep = vary(*self._sampler.draw(), self._generator)
        masked = self._masks(signal, self._generator)
        signal, keep, masked = (ranks.own_part(part) for part in (signal, keep, masked))
        rate = schedule(self.config.learning_rate, self.progress.share(self.config), self.config.warm_up)
        set_learning_rate(self.optimizer, rate)
        with torch.autocast(signal.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            drawn = self.model(signal, keep, masked)
        loss = self.model.loss(drawn.float(), signal, keep, masked)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        ranks.sum_gradients(self._parameters)
        nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self.optimizer.step()
        self.average.update(self.model, self.progress.step)
        self.progress.step += 1
        return float(ranks.total(loss))

    def save(self) -> str:
        """Log, save what can be fine-tuned, what can be resumed and the pictures, and return one line."""
        self.progress.saved_s = self.progress.elapsed_s
        if ranks.rank() != 0:
            return ""
        signal, keep = self._watched
        masked = self._masks(signal, torch.Generator(self.config.device).manual_seed(0))
        with torch.no_grad(), ranks.alone():
            drawn = self.average.model(signal, keep, masked)
            validation = float(self.average.model.loss(drawn, signal, keep, masked))
        append_log(self.out, asdict(self.progress) | {"validation": validation})
        encoder = copy.deepcopy(self.average.model.encoder)
        whole = [part.to(self.config.device) for part in training_windows(self._pools, _SETTLING_WINDOWS)]
        settle_batch_norm(encoder, zip(*(torch.split(part, _SETTLING_BATCH) for part in whole), strict=True))
        checkpoint.save_model(self.out, encoder, ())
        pictures.loss_curve(self.out, read_log(self.out))
        in_mv = self.average.model.in_mv(drawn, signal)
        hidden = masked.repeat_interleave(self.model.stride, dim=2)
        pictures.reconstructions(self.out, *(part.cpu() for part in (signal, in_mv, keep, hidden)))
        extra = {"progress": asdict(self.progress), "config": asdict(self.config)}
        self._state.save(self.out, extra | {"masking": asdict(self.model.masking)})
        return f"loss {self.progress.loss:.4f}  validation {validation:.4f}"

    def _masks(self, signal: Tensor, generator: torch.Generator) -> Tensor:
        size, leads, samples = signal.shape
        return draw_masks(size, leads, samples // self.model.stride, self.model.masking, generator)
