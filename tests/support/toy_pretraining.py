"""A pretraining run that takes a second: pulse trains, a tiny network, a few steps.

As a script: toy_pretraining.py OUT STEPS; it also runs under torchrun, and prints the loss of each step.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from ecgnat import ranks
from ecgnat.masked import MaskConfig, MaskedAutoencoder
from ecgnat.model import ModelConfig
from training.data.cache import StretchSet
from training.data.training_set import TrainingSet
from training.data.windows import ANYWHERE
from training.loop import pictures
from training.loop.config import LoopConfig
from training.masked.trainer import MaskedTrainer

TOY = ModelConfig(
    outputs=1, dims=(8, 16, 16, 16), depths=(1, 1, 1, 1), head_dim=16, kernels=(5, 5, 5), drop_path=0.0, dropout=0.0
)


def pulses(count=48):
    """Make stretches of narrow beats, each at its own rate: (count, 12, 1000) float16, mV."""
    random = np.random.default_rng(0)
    sample = np.arange(1000) + random.integers(100, size=(count, 1, 1))
    beat = (sample % random.integers(60, 100, size=(count, 1, 1)) - 30) / 4.0
    wave = np.exp(-np.minimum(beat**2, 20.0)) * np.linspace(0.5, 1.5, 12)[:, None]
    return (wave + random.normal(0, 0.01, wave.shape)).astype(np.float16)


def toy_stretches(count=48):
    """Make stretches of those beats, without labels."""
    names, nothing = np.arange(count).astype(str), np.zeros((count, 0), np.uint8)
    keep, anywhere = np.ones((count, 12), np.uint8), np.full(count, ANYWHERE, np.int16)
    return StretchSet("toy", pulses(count), keep, nothing, nothing, anywhere, names, names, np.zeros(count))


def toy_set(count=48, device="cpu"):
    """Make a training set of those stretches; every eighth validates."""
    rows = np.arange(count)
    return TrainingSet(toy_stretches(count), rows[rows % 8 > 0], rows[rows % 8 == 0], 1.0, device=device)


def trainer(out, **changes):
    """Make a trainer on that set."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MaskedAutoencoder(TOY, MaskConfig(decoder_dim=16))
    config = {"steps": 12, "batch_size": 16, "learning_rate": 1e-2, "save_every_s": 0.0}
    return MaskedTrainer(model, [toy_set()], LoopConfig(**{**config, "bfloat16": False, **changes}), out)


def main():
    """Run as a script, without pictures, which take longer than the steps."""
    pictures.save_figure = lambda *_: None
    ranks.start()
    run = trainer(Path(sys.argv[1]), steps=int(sys.argv[2]))
    while run.progress.step < run.config.steps:
        loss = run.step()
        if ranks.rank() == 0:
            sys.stdout.write(f"{run.progress.step} {loss!r}\n")
            sys.stdout.flush()
        run.save()


if __name__ == "__main__":
    main()
