"""Sets up a pretraining run from data folders: pools of windows, autoencoder, progress bar."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from ecgnat import ranks
from ecgnat.masked import MaskConfig, MaskedAutoencoder
from ecgnat.model import ModelConfig
from training.data.unlabelled import Pool, pool_of_folder, pool_of_set
from training.loop import checkpoint
from training.masked.pretraining import PretrainConfig, Pretrainer, Progress


def open_pools(data: Path | None, sets: tuple[str, ...], folders: tuple[Path, ...], console: Console) -> list[Pool]:
    """Open the sets below `data` and the plain folders, cutting their windows where that was not done before."""
    pools = []
    with console.status("reading; the first time cuts all windows, which takes minutes"):
        if data is not None:
            pools += [pool_of_set(name, data) for name in sets]
        pools += [pool_of_folder(folder) for folder in folders]
    for pool in pools:
        console.print(f"{pool.windows.name}: {pool.train.size} windows train, {pool.validation.size} are watched")
    return pools


def pretrain(
    pools: list[Pool],
    out: Path,
    config: PretrainConfig,
    network: ModelConfig,
    masking: MaskConfig,
    *,
    init: Path | None = None,
    resume: bool,
) -> None:
    """Pretrain on the pools and write the encoder to `out`.

    `init` is the folder of another pretraining run, from whose encoder this one goes on; the decoder begins anew.

    Raises
    ------
    TrainingError
        When a checkpoint cannot be used, or the loss diverges.
    """
    console = Console(quiet=ranks.rank() != 0)
    torch.manual_seed(config.seed)
    shape = replace(network, outputs=1, drop_path=0.0)  # hiding is regularisation enough
    model = MaskedAutoencoder(shape, masking).to(config.device)
    if init and not resume:
        checkpoint.load_encoder(init, model.encoder)
    trainer = Pretrainer(model, pools, config, out)
    if resume:
        trainer.resume()
    elif ranks.rank() == 0:
        checkpoint.save_command(out, sys.argv)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.1f}%"), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("pretrain", total=1.0)

        def report(progress: Progress, line: str) -> None:
            speed = progress.step * config.batch_size / max(progress.elapsed_s, 1e-9)
            text = f"step {progress.step}  loss {progress.loss:.4f}  {speed:.0f} windows/s"
            bar.update(task, completed=progress.share(config), description=text)
            if line:
                console.print(f"step {progress.step}  {progress.elapsed_s / 60:.1f} min  {line}")

        trainer.run(report)
