"""Runs a study arm by arm; an interrupted study continues where it stopped.

OUT/pretraining/NAME/   encoders, which arms share
OUT/arms/NAME/          checkpoints of the arms, and `result.json`
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from edge.core.files import atomic_path
from edge.core.machine import processor
from training.data.reporting import ReportLine
from training.errors import CheckpointError
from training.evaluation.checkpoints import accuracy, score_groups
from training.evaluation.metrics import label_aucs, macro
from training.loop import checkpoint
from training.loop.config import LoopConfig
from training.loop.state import STATE, read_progress
from training.masked.pretrain import open_sets, pretrain
from training.study.arms import Arm, Pretraining
from training.supervised.finetune import FinetuneSetup, finetune
from training.supervised.trainer import FinetuneConfig

RESULT = "result.json"


def run(
    arms: Iterable[Arm], data: Path, out: Path, device: str, report: ReportLine, encoder: Path | None = None
) -> list[dict[str, Any]]:
    """Train and score the arms that are not done yet; return a row for each arm.

    With an `encoder`, arms with a pretraining start from that folder and nothing is pretrained.

    Raises
    ------
    TrainingError
        When data or a checkpoint cannot be used, a result is of another arm of this name, or a loss diverges.
    """
    rows = []
    for arm in arms:
        result = out / "arms" / arm.name / RESULT
        if not result.is_file():
            start = (encoder or _pretrained(arm.pretraining, data, out, device, report)) if arm.pretraining else None
            report(f"{arm.name}: training")
            _train(arm, start, data, result.parent, device)
            row = _score(arm, data, result.parent, device) | {"machine": _machine(device)}
            if arm.pretraining and encoder:
                row["encoder"] = encoder.name
            text = json.dumps(row, indent=1) + "\n"
            with atomic_path(result) as path:
                path.write_text(text, encoding="utf-8")
        rows.append(json.loads(result.read_text(encoding="utf-8")))
        # A JSON round trip turns tuples into lists, as in the file.
        if rows[-1]["arm"] != json.loads(json.dumps(asdict(arm))):
            raise CheckpointError(f"{result}: belongs to another recipe of this name; give another --out")
        report(f"{arm.name}: " + "  ".join(f"{key} {value:.4f}" for key, value in rows[-1]["figures"].items()))
    return rows


def _machine(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def _pretrained(recipe: Pretraining, data: Path, out: Path, device: str, report: ReportLine) -> Path:
    """Return the folder of an encoder, and pretrain it first if that is not done."""
    folder = out / "pretraining" / recipe.name
    config = LoopConfig(steps=recipe.steps, batch_size=recipe.batch_size, seed=1, device=device)
    begun = (folder / STATE).is_file()
    if begun and read_progress(folder).share(config) >= 1.0:
        return folder
    report(f"{recipe.name}: pretraining, {recipe.steps} steps")
    sets = open_sets(data, recipe.sets, (), device, Console(quiet=True))
    pretrain(sets, folder, config, recipe.shape, recipe.masking, resume=begun)
    return folder


def _train(arm: Arm, encoder: Path | None, data: Path, folder: Path, device: str) -> None:
    config = FinetuneConfig(
        steps=arm.steps,
        batch_size=arm.batch_size,
        learning_rate=arm.learning_rate,
        ema_decay=0.99,  # the average of a short run
        seed=arm.seed,
        probe_share=arm.probe_share,
        contrastive_weight=arm.contrastive_weight,
        device=device,
    )
    setup = FinetuneSetup(network=arm.network, sets=("ptb-xl",), pretrained=encoder, label_share=arm.labels)
    finetune(data, folder, config, setup, resume=(folder / STATE).is_file())


def _score(arm: Arm, data: Path, folder: Path, device: str) -> dict[str, Any]:
    groups = score_groups(checkpoint.load_model(folder)[0].to(device), data, "judge")
    figures = {name: macro(label_aucs(*groups[name])) for name in ("all", "superdiagnostic", "rhythm")}
    return {
        "group": arm.group,
        "arm": asdict(arm),
        "figures": figures | {"accuracy": accuracy(groups["superdiagnostic"])},
    }
