"""Sets up a supervised run from data folders: caches, splits, network, teachers, progress bar."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from ecgnat import ranks
from ecgnat.model import NetworkConfig
from ecgnat.networks import make_network, network_config
from training.data import cache, splits
from training.data.augment import read_noise
from training.data.batches import FOLDER_SHARE, SHARES
from training.data.labels import NAMES
from training.data.sets import DEFAULT_SETS
from training.data.subsets import labelled_rows
from training.data.training_set import TrainingSet, rarity_weights
from training.loop import checkpoint
from training.loop.progress_bar import run_with_bar
from training.supervised.trainer import FinetuneConfig, SupervisedTrainer, Teachers

_READING = "reading; the first time cuts all windows, which takes minutes"


@dataclass(frozen=True)
class FinetuneSetup:
    """What a supervised run trains, from which weights, and on what."""

    network: NetworkConfig = network_config("small", len(NAMES))  # noqa: RUF009 - it is frozen
    sets: tuple[str, ...] = DEFAULT_SETS
    folders: tuple[Path, ...] = ()  # of WFDB records whose headers name diagnoses by SNOMED CT
    pretrained: Path | None = None  # folder of `ecg-train pretrain`, to start with its encoder
    trained: Path | None = None  # folder of `ecg-train finetune`, to start with all of its weights
    teachers: tuple[Path, ...] = ()  # folders of `ecg-train finetune`
    taught_sets: tuple[str, ...] | None = None  # sets whose targets the teachers' outputs are mixed into; None: all
    label_share: float = 1.0  # part of the training patients
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)  # of a batch
    split: splits.Split = splits.rows_of


def finetune(data: Path | None, out: Path, config: FinetuneConfig, setup: FinetuneSetup, *, resume: bool) -> None:
    """Train on the sets and folders of the setup and write the checkpoint to `out`.

    Without `data` no recorded noise is added to the windows.

    Raises
    ------
    TrainingError
        When data or checkpoint cannot be used, or the loss diverges.
    """
    console = Console(quiet=ranks.rank() != 0)
    sets = list(_open_sets(data, config, setup, console))
    torch.manual_seed(config.seed)  # of the random weights and of dropout
    network = make_network(setup.network).to(config.device)
    # A resumed run gets its weights from its state.
    if setup.pretrained and not resume:
        checkpoint.copy_encoder(setup.pretrained, network)
    if setup.trained and not resume:
        checkpoint.copy_classifier(setup.trained, network)
    teachers = [checkpoint.load_classifier(folder).to(config.device) for folder in setup.teachers]
    noise = read_noise(data / "nstdb").to(config.device) if data else None
    trainer = SupervisedTrainer(network, sets, noise, config, out, Teachers(teachers, setup.taught_sets))
    if resume:
        trainer.resume()
    elif ranks.rank() == 0:
        checkpoint.save_command(out, sys.argv)
    console.print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters")
    run_with_bar(trainer, config, "train", console)


def _open_sets(
    data: Path | None, config: FinetuneConfig, setup: FinetuneSetup, console: Console
) -> Iterator[TrainingSet]:
    for stretches, rows in _open_stretches(data, setup, console):
        train = labelled_rows(stretches, rows["train"], setup.label_share, config.seed)
        console.print(f"{stretches.name}: {train.size} windows train, {rows['validation'].size} validate")
        share = setup.shares.get(stretches.name, FOLDER_SHARE)
        weights = rarity_weights(stretches, train)
        yield TrainingSet(stretches, train, rows["validation"], share, weights, config.device)


def _open_stretches(
    data: Path | None, setup: FinetuneSetup, console: Console
) -> Iterator[tuple[cache.StretchSet, splits.Rows]]:
    if data is not None:
        for name in setup.sets:
            with console.status(f"{name}: {_READING}"):
                stretches = cache.load(name, data)
            yield stretches, setup.split(stretches, data)
    for folder in setup.folders:
        with console.status(f"{folder}: {_READING}"):
            stretches = cache.load_diagnosed(folder)
        yield stretches, splits.rows_of(stretches, folder)
