"""Sets up a training run from data folders: caches, splits, sampler, model, progress bar."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from ecgnat import ranks
from ecgnat.model import Network, NetworkConfig
from ecgnat.networks import make_network, network_config
from training.data import cache, splits
from training.data.augment import read_noise
from training.data.batches import SHARES, Sampler, make_source
from training.data.folds import RowsOf
from training.data.labels import NAMES
from training.data.subsets import labelled_rows
from training.errors import CheckpointError
from training.loop import checkpoint
from training.supervised.trainer import Progress, Teachers, TrainConfig, Trainer

_READING = "reading; the first time cuts all windows, which takes minutes"
_FOLDER_SHARE = 0.3  # of a batch, against the shares of the sets
_VALIDATION_STRIDE = {"mitdb": 4, "cinc2017": 3}  # neighbouring windows say nearly the same


@dataclass(frozen=True)
class Start:
    """What training starts from."""

    network: NetworkConfig = network_config("small", len(NAMES))  # noqa: RUF009 - it is frozen
    sets: tuple[str, ...] = cache.USUAL
    folders: tuple[Path, ...] = ()  # of WFDB records whose headers name diagnoses by SNOMED CT
    pretrained: Path | None = None  # folder of `ecg-train pretrain`, for its encoder
    trained: Path | None = None  # folder of `ecg-train finetune`, for all of its weights
    teachers: tuple[Path, ...] = ()  # folders of `ecg-train finetune`, whose answers are targets too
    taught: tuple[str, ...] | None = None  # sets that the teachers answer for; None is all
    labels: float = 1.0  # part of the training patients
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)  # of a batch
    rows_of: RowsOf = splits.rows_of


def finetune(data: Path | None, out: Path, config: TrainConfig, start: Start, *, resume: bool) -> None:
    """Train on the sets and folders that are named and write the checkpoint to `out`.

    Without `data`, no recorded noise is added to what the network sees.

    Raises
    ------
    TrainingError
        When data or checkpoint cannot be used, or the loss diverges.
    """
    console = Console(quiet=ranks.rank() != 0)
    sources, validation = {}, []
    shares = dict(start.shares)
    for windows, rows in _open(data, start, console):
        name = windows.name
        shares.setdefault(name, _FOLDER_SHARE)
        train = labelled_rows(windows, rows["train"], start.labels, config.seed)
        sources[name] = make_source(windows, train)
        if rows["validation"].size:
            validation.append((windows, rows["validation"][:: _VALIDATION_STRIDE.get(name, 1)]))
        console.print(f"{name}: {train.size} windows train, {rows['validation'].size} validate")
    torch.manual_seed(config.seed)
    network = make_network(start.network).to(config.device)
    if start.pretrained and not resume:
        checkpoint.load_encoder(start.pretrained, network)
    if start.trained and not resume:
        checkpoint.load_whole(start.trained, network, NAMES)
    trainer = Trainer(
        network,
        Sampler(sources, config.batch_size, config.seed, shares, config.device),
        read_noise(data / "nstdb").to(config.device) if data else None,
        config,
        out,
        validation,
        Teachers([_teacher(folder).to(config.device) for folder in start.teachers], start.taught),
    )
    if resume:
        trainer.resume()
    elif ranks.rank() == 0:
        checkpoint.save_command(out, sys.argv)
    console.print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters")
    _run(trainer, config, console)


def _open(data: Path | None, start: Start, console: Console) -> Iterator[tuple[cache.WindowSet, splits.Rows]]:
    """Open what is trained on, a set at a time, with the rows of each part."""
    for name in start.sets:
        if data is None:
            break
        with console.status(f"{name}: {_READING}"):
            windows = cache.load(name, data)
        yield windows, start.rows_of(windows, data)
    for folder in start.folders:
        with console.status(f"{folder}: {_READING}"):
            windows = cache.load_diagnosed(folder)
        yield windows, splits.rows_of(windows, folder)


def _teacher(folder: Path) -> Network:
    network, names = checkpoint.load_model(folder)
    if names != NAMES:
        raise CheckpointError(f"{folder}: its outputs are not today's label table; it cannot teach")
    return network


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
