"""Runs a study arm by arm; a study that was stopped goes on where it was.

OUT/pretraining/NAME/   encoders, which arms share
OUT/arms/NAME/          checkpoints of the arms, and `result.json`
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from edge.core.files import atomic_path
from edge.core.machine import processor
from training.errors import CheckpointError
from training.evaluation.checkpoints import accuracy, judge
from training.evaluation.metrics import label_aucs, macro
from training.loop import checkpoint
from training.loop.resuming import STATE, read_extra
from training.masked.pretrain import open_pools, pretrain
from training.masked.pretraining import PretrainConfig
from training.masked.pretraining import Progress as Pretrained
from training.study.arms import Arm, Pretraining
from training.supervised.finetune import Start, finetune
from training.supervised.trainer import TrainConfig

RESULT = "result.json"
Say = Callable[[str], None]


def run(
    arms: Iterable[Arm], data: Path, out: Path, device: str, say: Say, encoder: Path | None = None
) -> list[dict[str, Any]]:
    """Train and judge what is not done yet; return a row an arm.

    Where an `encoder` is given, what would be pretrained starts from that folder instead.

    Raises
    ------
    TrainingError
        When data or a checkpoint cannot be used, a result is of another recipe, or a loss diverges.
    """
    rows = []
    for arm in arms:
        result = out / "arms" / arm.name / RESULT
        if not result.is_file():
            start = (encoder or _pretrained(arm.pretraining, data, out, device, say)) if arm.pretraining else None
            say(f"{arm.name}: trains")
            _train(arm, start, data, result.parent, device)
            row = _judge(arm, data, result.parent, device) | {"machine": _machine(device)}
            if arm.pretraining and encoder:
                row["encoder"] = encoder.name
            text = json.dumps(row, indent=1) + "\n"
            with atomic_path(result) as path:
                path.write_text(text, encoding="utf-8")
        rows.append(json.loads(result.read_text(encoding="utf-8")))
        if rows[-1]["arm"] != json.loads(json.dumps(asdict(arm))):
            raise CheckpointError(f"{result}: is of another recipe of this name; give another --out")
        say(f"{arm.name}: " + "  ".join(f"{key} {value:.4f}" for key, value in rows[-1]["figures"].items()))
    return rows


def _machine(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def _pretrained(recipe: Pretraining, data: Path, out: Path, device: str, say: Say) -> Path:
    """Return the folder of an encoder, pretrained first where that is not done."""
    folder = out / "pretraining" / recipe.name
    config = PretrainConfig(steps=recipe.steps, batch_size=recipe.batch_size, seed=1, device=device)
    begun = (folder / STATE).is_file()
    if begun and Pretrained(**read_extra(folder)["progress"]).share(config) >= 1.0:
        return folder
    say(f"{recipe.name}: pretrains for {recipe.steps} steps")
    pools = open_pools(data, recipe.sets, (), Console(quiet=True))
    pretrain(pools, folder, config, recipe.shape, recipe.masking, resume=begun)
    return folder


def _train(arm: Arm, encoder: Path | None, data: Path, folder: Path, device: str) -> None:
    config = TrainConfig(
        steps=arm.steps,
        batch_size=arm.batch_size,
        learning_rate=arm.learning_rate,
        ema_decay=0.99,  # of a short run
        seed=arm.seed,
        probe_share=arm.probe_share,
        contrastive_weight=arm.contrastive_weight,
        device=device,
    )
    start = Start(network=arm.network, sets=("ptb-xl",), pretrained=encoder, labels=arm.labels)
    finetune(data, folder, config, start, resume=(folder / STATE).is_file())


def _judge(arm: Arm, data: Path, folder: Path, device: str) -> dict[str, Any]:
    tasks = judge(checkpoint.load_model(folder)[0].to(device), data, "judge")
    figures = {name: macro(label_aucs(*tasks[name])) for name in ("all", "superdiagnostic", "rhythm")}
    return {
        "group": arm.group,
        "arm": asdict(arm),
        "figures": figures | {"accuracy": accuracy(tasks["superdiagnostic"])},
    }
