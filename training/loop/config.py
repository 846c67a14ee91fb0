"""How long and how hard to train, and how far a training has come."""

import math
from dataclasses import dataclass

from ecgnat import ranks
from training.errors import TrainingError
from training.loop.optimizing import schedule


@dataclass(frozen=True)
class LoopConfig:
    """What supervised and masked training share; exactly one of `minutes` and `steps` is the budget.

    Raises
    ------
    TrainingError
        When both budgets or none are given, or the batch cannot be divided among the processes.
    """

    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05  # part of the budget
    ema_decay: float = 0.999
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 1
    save_every_s: float = 120.0
    bfloat16: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check the fields."""
        if (self.minutes is None) == (self.steps is None):
            raise TrainingError("give either minutes or steps")
        if self.batch_size % ranks.world_size():
            raise TrainingError(f"a batch of {self.batch_size} cannot be divided among {ranks.world_size()} processes")

    def learning_rate_at(self, share: float) -> float:
        """Learning rate after this part of the budget, in [0, 1]."""
        return schedule(self.learning_rate, share, self.warm_up)


@dataclass
class Progress:
    """How far a training has come; saved with its state."""

    step: int = 0
    windows: int = 0  # drawn so far, over all processes
    elapsed_s: float = 0.0  # in training steps; validation and saving are not counted
    saved_s: float = 0.0  # `elapsed_s` at the last save
    loss: float = math.nan  # smoothed

    def share(self, config: LoopConfig) -> float:
        """Part of the budget that is spent."""
        if config.steps is not None:
            return self.step / config.steps
        return self.elapsed_s / (60.0 * (config.minutes or 0.0))

    def add_loss(self, loss: float) -> None:
        """Take the loss of one step into the smoothed loss."""
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
