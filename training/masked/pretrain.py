"""Sets up a pretraining run from data folders: sets, autoencoder, progress bar."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from ecgnat import ranks
from ecgnat.masked import MaskConfig, MaskedAutoencoder
from ecgnat.model import ModelConfig
from training.data import cache, splits
from training.data.batches import FOLDER_SHARE, SHARES
from training.data.training_set import TrainingSet
from training.loop import checkpoint
from training.loop.config import LoopConfig
from training.loop.progress_bar import run_with_bar
from training.masked.trainer import MaskedTrainer


def open_sets(
    data: Path | None, names: Sequence[str], folders: Sequence[Path], device: str, console: Console
) -> list[TrainingSet]:
    """Open sets below `data` and other folders, cutting their stretches if there is no cache yet.

    Only the training part of a set is drawn, so that pretraining sees no patient who validates, judges or tests.
    """
    opened = []
    with console.status("reading; the first time cuts all windows, which takes minutes"):
        if data is not None:
            for name in names:
                stretches = cache.load(name, data)
                opened.append((stretches, splits.rows_of(stretches, data), SHARES[name]))
        for folder in folders:
            stretches = cache.load_unlabelled(folder)
            opened.append((stretches, splits.rows_of_unlabelled(stretches), FOLDER_SHARE))
    for stretches, rows, _ in opened:
        console.print(f"{stretches.name}: {rows['train'].size} windows train, {rows['validation'].size} validate")
    return [
        TrainingSet(stretches, rows["train"], rows["validation"], share, device=device)
        for stretches, rows, share in opened
    ]


def pretrain(
    sets: Sequence[TrainingSet],
    out: Path,
    config: LoopConfig,
    network: ModelConfig,
    masking: MaskConfig,
    *,
    init: Path | None = None,
    resume: bool,
) -> None:
    """Pretrain on the sets and write the encoder to `out`.

    `init` is the folder of another pretraining run whose encoder this run starts with; the decoder starts anew.

    Raises
    ------
    TrainingError
        When a checkpoint cannot be used, or the loss diverges.
    """
    console = Console(quiet=ranks.rank() != 0)
    torch.manual_seed(config.seed)
    shape = replace(network, outputs=1, drop_path=0.0)  # the masks are regularisation enough
    model = MaskedAutoencoder(shape, masking).to(config.device)
    if init and not resume:
        checkpoint.copy_encoder(init, model.encoder)
    trainer = MaskedTrainer(model, sets, config, out)
    if resume:
        trainer.resume()
    elif ranks.rank() == 0:
        checkpoint.save_command(out, sys.argv)
    run_with_bar(trainer, config, "pretrain", console)
