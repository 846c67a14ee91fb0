"""Sets up a training run from data folders: caches, splits, sampler, model, progress bar.

For now training starts from random weights.
"""

import sys
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from ecgnat.model import EcgNat, named_config
from training import cache, checkpoint, splits
from training.augment import read_noise
from training.batches import Sampler, make_source
from training.labels import NAMES
from training.trainer import Progress, TrainConfig, Trainer

_VALIDATION_STRIDE = {"mitdb": 4, "cinc2017": 3, "ptb-xl": 1}  # neighbouring windows say nearly the same


def finetune(
    data: Path, out: Path, config: TrainConfig, model: Literal["tiny", "small"], sets: tuple[str, ...], *, resume: bool
) -> None:
    """Train on the sets that are named and write the checkpoint to `out`.

    Raises
    ------
    TrainingError
        When data or checkpoint cannot be used, or the loss diverges.
    """
    console = Console()
    sources, validation = {}, []
    for name in sets:
        with console.status(f"{name}: reading; the first time cuts all windows, which takes minutes"):
            windows = cache.load(name, data)
        rows = splits.rows_of(windows, data)
        sources[name] = make_source(windows, rows["train"])
        validation.append((windows, rows["validation"][:: _VALIDATION_STRIDE[name]]))
        console.print(f"{name}: {rows['train'].size} windows train, {rows['validation'].size} validate")
    torch.manual_seed(config.seed)
    network = EcgNat(named_config(model, len(NAMES)))
    trainer = Trainer(
        network,
        (
            Sampler(sources, config.batch_size, config.seed),
            Sampler(sources, config.window_batch_size, config.seed + 1),
        ),
        read_noise(data / "nstdb"),
        config,
        out,
        validation,
    )
    if resume:
        trainer.resume()
    else:
        checkpoint.save_command(out, sys.argv)
    console.print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters")
    _run(trainer, config, console)


def _run(trainer: Trainer, config: TrainConfig, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.1f}%"), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("train", total=1.0)

        def report(progress: Progress, loss: float, line: str) -> None:
            speed = progress.windows / max(progress.elapsed_s, 1e-9)
            text = f"step {progress.step}  loss {loss:.4f}  {speed:.0f} windows/s"
            bar.update(task, completed=progress.share(config), description=text)
            if line:
                console.print(f"step {progress.step}  {progress.elapsed_s / 60:.1f} min  {speed:.0f} windows/s  {line}")

        trainer.run(report)
