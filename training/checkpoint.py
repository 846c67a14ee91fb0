"""Checkpoints: a folder of safetensors and JSON, never a pickle.

    config.json        the model's configuration and the names of its outputs
    model.safetensors  the averaged weights, which are the ones to use
    command.txt        the command line that made it
    state.safetensors  raw weights and the optimizer's moments, to resume
    state.json         step, seconds trained, and what else resuming needs

Every file is replaced whole, so that a run killed while it writes leaves the checkpoint before.
"""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ecgnat.model import EcgNat, ModelConfig
from training.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
STATE = "state.safetensors"
STATE_JSON = "state.json"
COMMAND = "command.txt"


def save_model(folder: Path, model: EcgNat, names: tuple[str, ...]) -> None:
    """Write the weights and what they mean."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model": dataclasses.asdict(model.config), "labels": names}, indent=1)
    _replace(folder / CONFIG, lambda path: path.write_text(text))
    _replace(folder / WEIGHTS, lambda path: save_file(_contiguous(model.state_dict()), path))


def load_model(folder: Path) -> tuple[EcgNat, tuple[str, ...]]:
    """Read a model and the names of its outputs, in evaluation mode, or raise CheckpointError."""
    try:
        raw = json.loads((folder / CONFIG).read_text())
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["model"].items()}
        model = EcgNat(ModelConfig(**fields))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        raise CheckpointError(f"{folder}: no usable checkpoint there ({exc})") from exc
    return model.eval(), tuple(raw["labels"])


def save_command(folder: Path, arguments: list[str]) -> None:
    """Write down a command line, with the home folder as `~`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [Path(arguments[0]).name, *arguments[1:]]
    (folder / COMMAND).write_text(shlex.join(words).replace(str(Path.home()), "~") + "\n")


def save_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, extra: dict[str, Any]) -> None:
    """Write what resuming needs."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    _replace(folder / STATE, lambda path: save_file(_contiguous(tensors), path))
    _replace(folder / STATE_JSON, lambda path: path.write_text(json.dumps(extra, indent=1)))


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore model and optimizer in place and return the rest, or raise CheckpointError."""
    try:
        tensors = load_file(folder / STATE)
        extra: dict[str, Any] = json.loads((folder / STATE_JSON).read_text())
        model.load_state_dict(
            {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise CheckpointError(f"{folder}: nothing to resume there ({exc})") from exc
    return extra


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().contiguous() for key, value in tensors.items()}


def _replace(path: Path, write: Any) -> None:  # noqa: ANN401 - any writer's return value is ignored
    scratch = path.with_name(path.name + ".part")
    write(scratch)
    scratch.replace(path)
