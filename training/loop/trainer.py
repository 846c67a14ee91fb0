"""The loop that supervised and masked training share: step, save, resume."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn

from ecgnat import ranks
from training.data.batches import BatchSampler
from training.errors import CheckpointError, TrainingError
from training.loop import pictures
from training.loop.config import LoopConfig, Progress
from training.loop.log import append_log, cut_log, read_log
from training.loop.optimizing import Average, Model, set_learning_rate
from training.loop.state import Generator, RunState

ReportStep = Callable[[Progress, str], None]  # after each step; the text is "" unless the step saved
_MAY_CHANGE = {"minutes", "steps", "save_every_s", "device"}  # settings that a resumed run may have differently


class Trainer(ABC, Generic[Model]):
    """Trains one model; `run` returns when the budget is spent.

    Under torchrun every process draws the same batches and trains on its own part of each. Process 0 alone writes.

    Parameters
    ----------
    model : to be trained
    sampler : of the batches
    optimizer : of all parameters
    config : how long and how hard
    out : folder of the checkpoint
    extra : further modules whose weights belong to the state, by name
    """

    def __init__(
        self,
        model: Model,
        sampler: BatchSampler,
        optimizer: torch.optim.Optimizer,
        config: LoopConfig,
        out: Path,
        extra: Mapping[str, nn.Module],
    ) -> None:
        self.model, self.sampler, self.optimizer, self.out = model, sampler, optimizer, out
        self.config = config
        self.average = Average(model, config.ema_decay)
        ranks.share_batch_norm(model)  # after the copy: the average never trains
        self.progress = Progress()
        self.generator = torch.Generator(config.device).manual_seed(config.seed)
        self._parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
        generators: dict[str, Generator] = {"augment": self.generator, "sampler": sampler.random}
        self._state = RunState({"model": model, "average": self.average.model, **extra}, optimizer, generators)

    @abstractmethod
    def loss(self) -> Tensor:
        """Draw a batch and return the loss on this process's part of it, () float."""

    @abstractmethod
    def save_model(self) -> dict[str, float]:
        """Write the weights to use, and return figures on validation windows by name."""

    def settings(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the run that it resumes, as JSON."""
        return asdict(self.config)

    def resume(self) -> None:
        """Load the state in the output folder; CheckpointError when there is none, or it is of another run."""
        extra = self._state.load(self.out)
        saved: dict[str, Any] = extra.get("settings", {})
        mine = self.settings().items()
        changed = [name for name, value in mine if name not in _MAY_CHANGE and saved.get(name) != value]
        if changed:
            raise CheckpointError(f"{self.out}: was begun with another {' and '.join(changed)}")
        self.progress = Progress(**extra["progress"])
        if ranks.rank() == 0:
            cut_log(self.out, self.progress.step)

    def run(self, report: ReportStep) -> None:
        """Train until the budget is spent.

        Raises
        ------
        TrainingError
            When the loss is not finite; the last checkpoint stays.
        """
        while self.progress.share(self.config) < 1.0:
            began = time.monotonic()
            loss = self.step()
            self.progress.elapsed_s += time.monotonic() - began
            if not math.isfinite(loss):  # before the save: the checkpoint of the last good step must stay
                raise TrainingError(f"the loss is {loss} at step {self.progress.step}; lower the learning rate")
            self.progress.add_loss(loss)
            finished = self.progress.share(self.config) >= 1.0
            due = self.progress.elapsed_s - self.progress.saved_s >= self.config.save_every_s
            report(self.progress, self.save() if due or finished else "")

    def step(self) -> float:
        """Take one step and return its loss."""
        # The rate follows the spent budget, so that runs of any length end with a rate of 0.
        set_learning_rate(self.optimizer, self.config.learning_rate_at(self.progress.share(self.config)))
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        ranks.sum_gradients(self._parameters)  # before clipping: the norm is that of the whole batch
        nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self.optimizer.step()
        self.average.update(self.model, self.progress.step)
        self.progress.step += 1
        self.progress.windows += self.config.batch_size
        return float(ranks.total(loss))

    def save(self) -> str:
        """Write checkpoint, log, picture and state, and return one line of figures."""
        self.progress.saved_s = self.progress.elapsed_s
        if ranks.rank() != 0:
            return ""
        with ranks.alone():  # the other processes do not take part in the validation
            figures = {"loss": self.progress.loss, **self.save_model()}
        append_log(self.out, asdict(self.progress) | figures)
        pictures.learning_curves(self.out, read_log(self.out))
        self._state.save(self.out, {"progress": asdict(self.progress), "settings": self.settings()})
        return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
