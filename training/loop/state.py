"""The state of a run: all that it needs to resume as if it had never stopped, in one file.

    state.safetensors  the weights of every module (trained, averaged, at the start), the optimizer's moments and the
                       state of every random generator, also torch's own; progress and configuration as metadata

It is one file, written atomically, so that a run killed at any moment leaves a consistent state. With a budget in
steps, a resumed run ends with the weights of an uninterrupted one: on a CPU bit for bit on the same machine and number
of threads; a GPU adds in no fixed order. With a budget in minutes the clock decides when it ends. A run resumes on the
kind of device it began on, since the random numbers of a CPU and of a GPU differ.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edge.core.files import atomic_path
from training.errors import CheckpointError
from training.loop.checkpoint import contiguous
from training.loop.config import Progress

STATE = "state.safetensors"
Generator = torch.Generator | np.random.Generator
_TORCH, _CUDA = "random.torch", "random.cuda"  # the states of torch's own generators


class RunState:
    """The parts of a run whose state is saved.

    Parameters
    ----------
    modules : by name
    optimizer : its moments are saved, its parameter groups are not
    generators : random generators of torch and NumPy, by name
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        generators: Mapping[str, Generator],
    ) -> None:
        self._modules, self._optimizer, self._generators = modules, optimizer, generators

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write the state; `extra` is JSON."""
        # Dropout and drop path draw from torch's own generators.
        tensors: dict[str, Tensor] = {_TORCH: torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors[_CUDA] = torch.cuda.get_rng_state()
        numpy_states = {}
        for name, module in self._modules.items():
            tensors |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
        for name, generator in self._generators.items():
            if isinstance(generator, torch.Generator):
                tensors[f"random.of.{name}"] = generator.get_state()
            else:
                numpy_states[name] = generator.bit_generator.state
        # Safetensors hold no numbers but tensors, so the rest is JSON in the metadata.
        metadata = {"state": json.dumps({"extra": extra, "numpy": numpy_states})}
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / STATE) as path:
            save_file(contiguous(tensors), path, metadata)

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore every part in place and return `extra`, or raise CheckpointError."""
        try:
            with safe_open(folder / STATE, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
                state = json.loads(file.metadata()["state"])
            for name, module in self._modules.items():
                module.load_state_dict(_below(tensors, f"module.{name}."))
            self._load_moments(_below(tensors, "optimizer."))
            for name, generator in self._generators.items():
                if isinstance(generator, torch.Generator):
                    _restore(generator, tensors[f"random.of.{name}"])
                else:
                    generator.bit_generator.state = state["numpy"][name]
            torch.set_rng_state(tensors[_TORCH])
            if torch.cuda.is_available() and _CUDA in tensors:
                torch.cuda.set_rng_state(tensors[_CUDA])
            extra: dict[str, Any] = state["extra"]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
            raise CheckpointError(f"{folder}: no usable checkpoint to resume there ({exc})") from exc
        return extra

    def _load_moments(self, tensors: dict[str, Tensor]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})


def read_progress(folder: Path) -> Progress:
    """Read only the progress of a saved state, or raise CheckpointError."""
    try:
        with safe_open(folder / STATE, framework="pt") as file:
            return Progress(**json.loads(file.metadata()["state"])["extra"]["progress"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as exc:
        raise CheckpointError(f"{folder}: no usable checkpoint there ({exc})") from exc


def _restore(generator: torch.Generator, state: Tensor) -> None:
    if state.numel() != generator.get_state().numel():
        raise ValueError("it was begun on another --device")
    generator.set_state(state)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
