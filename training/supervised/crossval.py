"""Cross-validation on MIT-BIH: a network for each fold, and its outputs on the records that it never saw.

    OUT/fold-1/ ... fold-5/     checkpoints
    OUT/all/                    with --whole: one more network, trained on every record, to be shipped
    OUT/probabilities/101.npz   outputs on a record by the network that never saw its patient
    OUT/crossval.json           the options, written first

All networks start from the same weights, which must never have seen MIT-BIH, and train on all sets. An interrupted run
continues when it is started again with the same options.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ecgnat.model import NetworkConfig
from edge.core.files import atomic_path
from training.data.folds import FOLDS, WHOLE, split_without
from training.data.labels import NAMES
from training.data.reporting import ReportLine
from training.data.windows import INPUT
from training.errors import CheckpointError, DataError
from training.evaluation.outputs import record_outputs
from training.evaluation.predictions import probabilities
from training.loop import checkpoint
from training.loop.state import STATE, read_progress
from training.supervised.finetune import FinetuneSetup, finetune
from training.supervised.trainer import FinetuneConfig

REPORT = "crossval.json"
SHARES = {"ptb-xl": 0.3, "cinc2017": 0.15, "mitdb": 0.55}  # of a batch


@dataclass(frozen=True)
class CrossvalSetup:
    """What is trained, from what, and how long."""

    data: Path
    out: Path
    init: Path  # checkpoint that never saw MIT-BIH
    config: FinetuneConfig  # of each fold
    teachers: tuple[Path, ...] = ()  # never saw MIT-BIH either, so they teach on the other sets
    whole: bool = False  # also train the network that leaves nothing out
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)


def crossval(setup: CrossvalSetup, report: ReportLine) -> dict[str, Any]:
    """Train the networks and write the outputs that are not there yet, and return the options.

    Raises
    ------
    TrainingError
        When data or checkpoint cannot be used or has seen MIT-BIH, or the loss diverges.
    """
    _check(setup)
    options = _options(setup)
    _write_options(options, setup.out / REPORT)
    network = checkpoint.load_model(setup.init)[0].config
    for name, records in (*FOLDS.items(), *([(WHOLE, ())] if setup.whole else [])):
        _train(setup, name, records, network, report)
        _write_outputs(setup, name, records, report)
    return options


def _options(setup: CrossvalSetup) -> dict[str, Any]:
    """Return all that the networks depend on."""
    return {
        "init": setup.init.name,
        "teachers": [folder.name for folder in setup.teachers],
        "folds": FOLDS,
        "labels": NAMES,
        "input": msgspec.to_builtins(INPUT),
        "shares": dict(setup.shares),
        "batch_size": setup.config.batch_size,
        "layer_decay": setup.config.layer_decay,
        "minutes": setup.config.minutes,
        "steps": setup.config.steps,
        "learning_rate": setup.config.learning_rate,
        "blend": setup.config.blend,
        "seed": setup.config.seed,
    }


def _write_options(options: dict[str, Any], path: Path) -> None:
    """Write the options of a run; CheckpointError when it was begun with others."""
    text = json.dumps(options, indent=1) + "\n"
    if path.is_file():
        try:
            begun = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as exc:
            raise CheckpointError(f"{path}: not the options of a run ({exc}); give another --out") from exc
        changed = [key for key, value in json.loads(text).items() if begun.get(key) != value]
        if changed:
            raise CheckpointError(f"{path}: was begun with another {', '.join(changed)}; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _check(setup: CrossvalSetup) -> None:
    """Raise unless every record is there and no network has seen MIT-BIH."""
    records = [record for records in FOLDS.values() for record in records]
    absent = [record for record in records if not (setup.data / "mitdb" / f"{record}.atr").is_file()]
    if absent:
        raise DataError(f"{setup.data / 'mitdb'}: no record {', '.join(absent)}")
    for folder in (setup.init, *setup.teachers):
        command = folder / checkpoint.COMMAND
        text = command.read_text(encoding="utf-8") if command.is_file() else ""
        words = text.replace("--set=", "--set ").split()
        if "mitdb" in words or "--set" not in words:  # without --set all sets were used
            raise CheckpointError(
                f"{folder}: {checkpoint.COMMAND} does not show that it was trained without MIT-BIH (--set)"
            )


def _train(
    setup: CrossvalSetup, name: str, held_out: tuple[str, ...], network: NetworkConfig, report: ReportLine
) -> None:
    """Train one network, or resume it; a finished one is left as it is."""
    folder = setup.out / name
    started = (folder / STATE).is_file()
    if started and read_progress(folder).share(setup.config) >= 1.0:
        report(f"{name}: already trained")
        return
    report(f"{name}: leaves out {' '.join(held_out) or 'nothing'}")
    finetune_setup = FinetuneSetup(
        network=network,
        sets=tuple(setup.shares),
        trained=setup.init,
        teachers=setup.teachers,
        taught_sets=tuple(one for one in setup.shares if one != "mitdb"),
        shares=setup.shares,
        split=split_without(held_out),
    )
    finetune(setup.data, folder, setup.config, finetune_setup, resume=started)


def _write_outputs(setup: CrossvalSetup, name: str, records: tuple[str, ...], report: ReportLine) -> None:
    """Write the outputs of a fold's network on the records that it never saw."""
    model = checkpoint.load_model(setup.out / name)[0].to(setup.config.device)
    for record in records:
        path = setup.out / "probabilities" / f"{record}.npz"
        # Outputs that are older than the weights are those of an earlier training.
        if not path.is_file() or path.stat().st_mtime < (setup.out / name / checkpoint.WEIGHTS).stat().st_mtime:
            report(f"{name}: {record}")
            record_outputs(partial(probabilities, model), setup.data / "mitdb" / record, INPUT).save(path)
