"""The supervised trainer: many data sets, one head, and a loss that skips unknown labels.

It trains on windows from anywhere in the labelled stretches. The weights to use are the running average after the last
step, or a blend of it with the weights at the start. No step is selected by its figures on a part that judges.
"""

import copy
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ecgnat import ranks
from ecgnat.losses import masked_bce, multi_label_contrast
from ecgnat.model import Network, ProjectionHead
from training.data.augment import Batch, augment
from training.data.batches import BatchSampler
from training.data.labels import NAMES, PRODUCT_LABELS
from training.data.training_set import TrainingSet
from training.evaluation.metrics import label_aucs, macro
from training.evaluation.predictions import predict
from training.loop import checkpoint
from training.loop.config import LoopConfig
from training.loop.optimizing import blend, make_optimizer, schedule
from training.loop.trainer import Trainer

_VALIDATION_STRIDE = {"mitdb": 4, "cinc2017": 3}  # neighbouring windows of a record are almost the same


@dataclass(frozen=True)
class FinetuneConfig(LoopConfig):
    """Settings of supervised training."""

    warm_up: float = 0.04
    save_every_s: float = 420.0
    probe_share: float = 0.0  # first part of the budget, which trains the head alone on a frozen encoder
    layer_decay: float = 1.0  # learning rate of each layer, relative to the next one
    contrastive_weight: float = 0.0
    temperature: float = 0.1  # of the contrastive loss
    teacher_weight: float = 0.7  # of the teachers' mean output in the targets, if there are teachers
    blend: float = 1.0  # of the trained weights in the weights to use; the rest are the weights at the start

    def learning_rate_at(self, share: float) -> float:
        """Learning rate after this part of the budget; the probe and what follows each have their own schedule."""
        if share < self.probe_share:
            share /= self.probe_share
        elif self.probe_share < 1.0:
            share = (share - self.probe_share) / (1.0 - self.probe_share)
        return schedule(self.learning_rate, share, self.warm_up)


@dataclass(frozen=True)
class Teachers:
    """Networks whose mean output is mixed into the targets of some sets (Hinton et al. 2015, arXiv:1503.02531)."""

    networks: Sequence[Network] = ()
    sets: Container[str] | None = None  # None: all sets


class SupervisedTrainer(Trainer[Network]):
    """Trains one network on labelled windows.

    Parameters
    ----------
    model : to be trained
    sets : with labels
    noise : recorded noise to add, (pieces, samples), or None
    config : settings
    out : folder of the checkpoint
    teachers : networks to learn from
    """

    config: FinetuneConfig

    def __init__(
        self,
        model: Network,
        sets: Sequence[TrainingSet],
        noise: Tensor | None,
        config: FinetuneConfig,
        out: Path,
        teachers: Teachers = Teachers(),
    ) -> None:
        self._sets, self._noise, self._teachers = sets, noise, teachers.networks
        self.projection = ProjectionHead(model.width).to(config.device) if config.contrastive_weight else None
        self._start = copy.deepcopy(model).eval() if config.blend < 1.0 else None
        extra = {"projection": self.projection, "start": self._start}
        named = list(model.named_parameters())
        if self.projection:
            named += self.projection.named_parameters("projection")
        optimizer = make_optimizer(named, config.weight_decay, model.config, config.layer_decay)
        sampler = BatchSampler(sets, config.batch_size, config.seed)
        modules: dict[str, nn.Module] = {name: module for name, module in extra.items() if module is not None}
        super().__init__(model, sampler, optimizer, config, out, modules)
        taught = ranks.own_part(sampler.rows_from(teachers.sets))
        self._taught_rows = taught.nonzero().squeeze(1).to(config.device)
        self._probing: bool | None = None

    def loss(self) -> Tensor:
        """Draw a batch and return its loss."""
        self._freeze_encoder(self.progress.share(self.config) < self.config.probe_share)
        whole = augment(self.sampler.draw(), self.sampler.mixable, self._noise, self.generator)
        batch = Batch(*(ranks.own_part(part) for part in whole.tensors()))
        with torch.autocast(batch.signal.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            pooled = self.model.pooled(batch.signal, batch.keep)
            logits = self.model.head(pooled)
            projected = self.projection(pooled) if self.projection else None
        loss = masked_bce(logits.float(), self._targets(batch), batch.known)
        if projected is None:
            return loss
        contrast = multi_label_contrast(projected.float(), batch.target, batch.known, self.config.temperature)
        return loss + self.config.contrastive_weight * contrast

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return the targets of a batch, with the teachers' outputs mixed into those of their sets."""
        if not self._teachers:
            return batch.target
        rows = self._taught_rows
        signal, keep = batch.signal[rows], batch.keep[rows]
        with torch.autocast(signal.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            outputs = [torch.sigmoid(teacher(signal, keep).float()) for teacher in self._teachers]
        # Unknown labels are mixed too, but the loss skips them.
        mixed = torch.lerp(batch.target[rows], torch.stack(outputs).mean(dim=0), self.config.teacher_weight)
        return batch.target.index_copy(0, rows, mixed)

    def _freeze_encoder(self, probing: bool) -> None:
        """Train the head alone on the encoder's running statistics, or train everything."""
        if probing is self._probing:
            return
        self._probing = probing
        # Parameters without a gradient get none from the optimizer either: AdamW skips them.
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not probing or name.startswith("head."))
        self.model.train(not probing)
        self.model.head.train()  # its dropout is used in both phases

    def weights_to_use(self) -> Network:
        """Return the running average, or its blend with the weights at the start."""
        average = self.average.model
        return blend(self._start, average, self.config.blend) if self._start else average

    def save_model(self) -> dict[str, float]:
        """Write the weights to use, and return their macro AUCs on the validation windows of each set."""
        model, figures = self.weights_to_use(), {}
        checkpoint.save_model(self.out, model, NAMES)
        for one in self._sets:
            stretches, rows = one.stretches, one.validation[:: _VALIDATION_STRIDE.get(one.stretches.name, 1)]
            if not rows.size:
                continue
            aucs = label_aucs(predict(model, stretches, rows), stretches.target[rows], stretches.known[rows])
            figures[f"{stretches.name}.product"] = macro(aucs[: len(PRODUCT_LABELS)])
            if stretches.known[:, len(PRODUCT_LABELS) :].any():
                figures[f"{stretches.name}.statements"] = macro(aucs[len(PRODUCT_LABELS) :])
        return figures
