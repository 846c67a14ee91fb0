"""Cross-validation on MIT-BIH: a network for each fold, and what it says of the records that it never saw.

    OUT/fold-1/ ... fold-5/     checkpoints
    OUT/all/                    one more that saw every record, where it is asked for: the one to ship
    OUT/probabilities/101.npz   `training.evaluation.outputs` of a record by the network that never saw its patient
    OUT/crossval.json           with which options, written first

Every network starts from the same weights, which must never have seen MIT-BIH, and trains on all sets. A run that was
stopped goes on where it was, with the same options.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ecgnat.model import NetworkConfig
from edge.core.files import atomic_path
from training.data.folds import FOLDS, WHOLE, rows_without
from training.data.labels import NAMES
from training.data.windows import INPUT
from training.errors import CheckpointError, DataError
from training.evaluation.outputs import outputs_of
from training.evaluation.predictions import answers
from training.loop import checkpoint
from training.loop.resuming import STATE, read_extra
from training.supervised.finetune import Start, finetune
from training.supervised.trainer import Progress, TrainConfig

REPORT = "crossval.json"
SHARES = {"ptb-xl": 0.3, "cinc2017": 0.15, "mitdb": 0.55}  # of a batch
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What is trained, from what, and how long."""

    data: Path
    out: Path
    init: Path  # checkpoint that never saw MIT-BIH
    config: TrainConfig  # of each fold
    teachers: tuple[Path, ...] = ()  # that never saw MIT-BIH either; they answer for the other sets
    whole: bool = False  # also train the network that leaves nothing out
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)


def crossval(task: Task, say: Say) -> dict[str, Any]:
    """Train what is not trained yet, write what is missing, and return the report.

    Raises
    ------
    TrainingError
        When data or checkpoint cannot be used, or has seen MIT-BIH, or the loss diverges.
    """
    _check(task)
    report = _options(task)
    _write(report, task.out / REPORT)
    network = checkpoint.load_model(task.init)[0].config
    for name, records in (*FOLDS.items(), *([(WHOLE, ())] if task.whole else [])):
        _train(task, name, records, network, say)
        _answer(task, name, records, say)
    return report


def _options(task: Task) -> dict[str, Any]:
    """Return what makes the networks what they are."""
    return {
        "init": task.init.name,
        "teachers": [folder.name for folder in task.teachers],
        "folds": FOLDS,
        "labels": NAMES,
        "input": msgspec.to_builtins(INPUT),
        "shares": dict(task.shares),
        "batch_size": task.config.batch_size,
        "layer_decay": task.config.layer_decay,
        "minutes": task.config.minutes,
        "steps": task.config.steps,
        "learning_rate": task.config.learning_rate,
        "blend": task.config.blend,
        "seed": task.config.seed,
    }


def _write(report: dict[str, Any], path: Path) -> None:
    """Write the options of a run, or raise CheckpointError where it was begun with others."""
    text = json.dumps(report, indent=1) + "\n"
    if path.is_file():
        try:
            begun = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as exc:
            raise CheckpointError(f"{path}: not the options of a run ({exc}); give another --out") from exc
        other = [key for key, value in json.loads(text).items() if begun.get(key) != value]
        if other:
            raise CheckpointError(f"{path}: was begun with another {', '.join(other)}; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _check(task: Task) -> None:
    absent = [record for records in FOLDS.values() for record in records if not _record(task, record).is_file()]
    if absent:
        raise DataError(f"{task.data / 'mitdb'}: no record {', '.join(absent)}")
    for folder in (task.init, *task.teachers):
        command = folder / checkpoint.COMMAND
        text = command.read_text(encoding="utf-8") if command.is_file() else ""
        words = text.replace("--set=", "--set ").split()
        if "mitdb" in words or "--set" not in words:
            raise CheckpointError(f"{folder}: {checkpoint.COMMAND} does not say that it never saw MIT-BIH (--set)")


def _record(task: Task, record: str) -> Path:
    return task.data / "mitdb" / f"{record}.atr"


def _train(task: Task, name: str, held_out: tuple[str, ...], network: NetworkConfig, say: Say) -> None:
    """Train one network, or go on with it; a finished one is left as it is."""
    folder = task.out / name
    started = (folder / STATE).is_file()
    if started and _spent(folder, task.config):
        say(f"{name}: trained already")
        return
    say(f"{name}: {'leaves out ' + ' '.join(held_out) if held_out else 'leaves nothing out'}")
    start = Start(
        network=network,
        sets=tuple(task.shares),
        trained=task.init,
        teachers=task.teachers,
        taught=tuple(name for name in task.shares if name != "mitdb"),
        shares=task.shares,
        rows_of=rows_without(held_out),
    )
    finetune(task.data, folder, task.config, start, resume=started)


def _spent(folder: Path, config: TrainConfig) -> bool:
    """Say whether the budget of a checkpoint is spent."""
    return Progress(**read_extra(folder)["progress"]).share(config) >= 1.0


def _answer(task: Task, name: str, records: tuple[str, ...], say: Say) -> None:
    """Write what the network of a fold says of the records it never saw."""
    model = checkpoint.load_model(task.out / name)[0].to(task.config.device)
    for record in records:
        path = task.out / "probabilities" / f"{record}.npz"
        if not path.is_file() or path.stat().st_mtime < (task.out / name / checkpoint.WEIGHTS).stat().st_mtime:
            say(f"{name}: {record}")
            outputs_of(partial(answers, model), task.data / "mitdb" / record, INPUT).save(path)
