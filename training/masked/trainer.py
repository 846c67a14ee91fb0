"""The trainer without labels: parts of the signal are hidden, and the network learns to reconstruct them.

Its checkpoint holds the encoder alone, for `ecg-train finetune --init`.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecgnat import ranks
from ecgnat.masked import MaskedAutoencoder, draw_masks, settle_batch_norm
from training.data.batches import BatchSampler
from training.data.training_set import TrainingSet
from training.loop import checkpoint
from training.loop.config import LoopConfig
from training.loop.optimizing import make_optimizer
from training.loop.trainer import Trainer
from training.masked.pictures import draw_reconstructions
from training.masked.windows import training_windows, validation_windows, vary

_SETTLING_WINDOWS, _SETTLING_BATCH = 512, 64


class MaskedTrainer(Trainer[MaskedAutoencoder]):
    """Pretrains one autoencoder.

    Parameters
    ----------
    model : to be trained
    sets : labels are ignored
    config : settings
    out : folder of the checkpoint
    """

    def __init__(self, model: MaskedAutoencoder, sets: Sequence[TrainingSet], config: LoopConfig, out: Path) -> None:
        optimizer = make_optimizer(list(model.named_parameters()), config.weight_decay)
        super().__init__(model, BatchSampler(sets, config.batch_size, config.seed), optimizer, config, out, {})
        self.model.train()
        self._sets = sets
        self._validation = [part.to(config.device) for part in validation_windows(sets)]

    def settings(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the run that it resumes."""
        return {"masking": asdict(self.model.masking), **super().settings()}

    def loss(self) -> Tensor:
        """Draw a batch and masks, and return the error of the reconstruction."""
        signal, keep = vary(self.sampler.draw(), self.generator)
        masked = self._masks(signal, self.generator)
        signal, keep, masked = (ranks.own_part(part) for part in (signal, keep, masked))
        with torch.autocast(signal.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            drawn = self.model(signal, keep, masked)
        return self.model.loss(drawn.float(), signal, keep, masked)

    def save_model(self) -> dict[str, float]:
        """Write the encoder and a picture of reconstructions, and return the validation loss."""
        average, (signal, keep) = self.average.model, self._validation
        # The same masks each time, so that the losses of a run can be compared.
        masked = self._masks(signal, torch.Generator(self.config.device).manual_seed(0))
        with torch.no_grad():
            drawn = average(signal, keep, masked)
            validation = float(average.loss(drawn, signal, keep, masked))
        # The masks make the running statistics of BatchNorm wrong for whole windows; the run itself keeps its own.
        encoder = copy.deepcopy(average.encoder)
        settling = [part.to(self.config.device) for part in training_windows(self._sets, _SETTLING_WINDOWS)]
        settle_batch_norm(encoder, zip(*(torch.split(part, _SETTLING_BATCH) for part in settling), strict=True))
        checkpoint.save_model(self.out, encoder, ())
        hidden = masked.repeat_interleave(self.model.stride, dim=2)
        shown = (signal, average.in_mv(drawn, signal), keep, hidden)
        draw_reconstructions(self.out, *(part.cpu() for part in shown))
        return {"validation": validation}

    def _masks(self, signal: Tensor, generator: torch.Generator) -> Tensor:
        size, leads, samples = signal.shape
        return draw_masks(size, leads, samples // self.model.stride, self.model.masking, generator)
