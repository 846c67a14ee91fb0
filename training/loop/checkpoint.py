"""Checkpoints: a folder of safetensors and JSON, never a pickle.

    config.json        the model's configuration and the names of its outputs
    model.safetensors  the weights to use: the average, or a blend of it with the weights at the start
    command.txt        the command line that made it
    state.safetensors  what resuming needs, see `training.loop.state`; beside it `log.csv` and `loss.png`

Every file is written atomically, so that a run killed while it writes leaves the checkpoint before.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecgnat.model import ModelConfig, Network, NetworkConfig
from ecgnat.networks import make_network
from ecgnat.resnet import ResNetConfig
from edge.core.files import atomic_path
from edge.lab.results_page import command_line
from training.data.labels import NAMES
from training.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
COMMAND = "command.txt"
_KINDS: dict[type[NetworkConfig], str] = {ModelConfig: "ecg-nat", ResNetConfig: "resnet"}
_WITHOUT_WEIGHTS = ("drop_path", "dropout", "backend")  # fields that do not change the shape of any weight


def save_model(folder: Path, model: Network, names: tuple[str, ...]) -> None:
    """Write the configuration, the names of the outputs and the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = _KINDS[type(model.config)]
    text = json.dumps({"network": kind, "model": dataclasses.asdict(model.config), "labels": names}, indent=1)
    with atomic_path(folder / CONFIG) as path:
        path.write_text(text)
    with atomic_path(folder / WEIGHTS) as path:
        save_file(contiguous(model.state_dict()), path)


def load_model(folder: Path) -> tuple[Network, tuple[str, ...]]:
    """Read a model and the names of its outputs, in evaluation mode, or raise CheckpointError."""
    try:
        raw = json.loads((folder / CONFIG).read_text())
        # JSON has no tuples, which the frozen configurations need.
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["model"].items()}
        configs = {kind: config for config, kind in _KINDS.items()}
        model = make_network(configs[raw.get("network", "ecg-nat")](**fields))
        model.load_state_dict(load_file(folder / WEIGHTS))
        names = tuple(raw["labels"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        raise CheckpointError(f"{folder}: no usable checkpoint there ({exc})") from exc
    return model.eval(), names


def load_classifier(folder: Path) -> Network:
    """Read a model whose outputs are those of the label table; CheckpointError for any other."""
    model, names = load_model(folder)
    if names != NAMES:
        raise CheckpointError(f"{folder}: its outputs are not those of the current label table; train again")
    return model


def copy_encoder(folder: Path, model: Network) -> None:
    """Copy the weights of a pretrained encoder into a model of the same shape, except the head.

    Raises
    ------
    CheckpointError
        When there is no usable checkpoint, or it holds a network of another shape.
    """
    pretrained, _ = load_model(folder)
    _check_shape(folder, pretrained, model, {"outputs": model.config.outputs})
    weights = {key: value for key, value in pretrained.state_dict().items() if not key.startswith("head.")}
    model.load_state_dict(weights, strict=False)


def copy_classifier(folder: Path, model: Network) -> None:
    """Copy all weights of a trained network into a model of the same shape and outputs; errors as `copy_encoder`."""
    trained = load_classifier(folder)
    _check_shape(folder, trained, model, {})
    model.load_state_dict(trained.state_dict())


def _check_shape(folder: Path, loaded: Network, model: Network, ignored: dict[str, Any]) -> None:
    ignored |= {name: getattr(model.config, name) for name in _WITHOUT_WEIGHTS if hasattr(model.config, name)}
    if type(loaded) is not type(model) or dataclasses.replace(loaded.config, **ignored) != model.config:
        raise CheckpointError(f"{folder}: holds a network of another shape than the one to be trained")


def save_command(folder: Path, arguments: list[str]) -> None:
    """Write the command line of a run, with the home folder as `~`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COMMAND).write_text(command_line(arguments) + "\n", encoding="utf-8")


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the memory layout that safetensors needs."""
    return {key: value.detach().contiguous() for key, value in tensors.items()}
