"""AdamW with its parameter groups and learning rate schedule, and the running average of the weights."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ecgnat.model import ModelConfig, NetworkConfig
from training.errors import TrainingError

Model = TypeVar("Model", bound=nn.Module)


def schedule(peak: float, share: float, warm_up: float) -> float:
    """Learning rate after a part of the budget in [0, 1]: linear warm-up to `peak`, then half a cosine down to 0."""
    if share < warm_up:
        return peak * share / warm_up
    rest = (share - warm_up) / (1.0 - warm_up)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))


def layer_of(name: str, config: ModelConfig) -> int:
    """Depth of a parameter of `EcgNat` in the network, by its name: 0 for the stem, then one layer for each block."""
    part, *rest = name.split(".")
    if part in {"stem", "leads"}:
        return 0
    if part == "convolutions":
        return 1 + int(rest[0])
    if part in {"downs", "residuals", "stages"}:
        stage = int(rest[0])
        below = 1 + sum(config.depths[: stage + 1]) + sum(config.residuals[:stage])
        if part == "stages":
            below += config.residuals[stage]
        return below + (0 if part == "downs" else int(rest[1]))
    return 1 + config.layers


def make_optimizer(
    named: list[tuple[str, nn.Parameter]],
    weight_decay: float,
    layers: NetworkConfig | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.AdamW:
    """Make AdamW; vectors (norms, biases) and the attention's position bias have no weight decay.

    Parameters
    ----------
    named : parameters by name
    weight_decay : of the others
    layers : the network whose layers the parameters belong to
    layer_decay : learning rate of each layer, relative to the next one (Clark et al. 2020, arXiv:2003.10555)

    Raises
    ------
    TrainingError
        When a network other than ECG-NAT has a layer decay.
    """
    if layer_decay != 1.0 and not isinstance(layers, ModelConfig):
        raise TrainingError("only the layers of ECG-NAT can have different learning rates: leave out --layer-decay")
    top = 1 + layers.layers if isinstance(layers, ModelConfig) else 0
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        # Decay would pull norms and biases towards 0, which is no simpler function.
        plain = parameter.ndim < 2 or name.endswith("attention.bias")
        below = top - layer_of(name, layers) if isinstance(layers, ModelConfig) and layer_decay != 1.0 else 0
        groups.setdefault((below, plain), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[key], "weight_decay": 0.0 if key[1] else weight_decay, "scale": layer_decay ** key[0]}
            for key in sorted(groups)
        ],
        betas=(0.9, 0.98),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, times the scale of its layer."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


@torch.no_grad()
def blend(start: Model, end: Model, share: float) -> Model:
    """Return a model whose weights and buffers are `end`'s by this share and `start`'s by the rest.

    A fine-tuned network that is blended with its start forgets less (Wortsman et al. 2022, arXiv:2109.01903).
    """
    between = copy.deepcopy(end)
    first = start.state_dict()
    for name, value in between.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.lerp(first[name], value, share))
    return between


class Average(Generic[Model]):
    """Running average of a model's weights and buffers.

    Parameters
    ----------
    model : the model that is trained; the average starts with its weights
    decay : part of the average that a step keeps, after the first steps
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self._decay = decay

    def update(self, model: Model, step: int) -> None:
        """Move the average towards the model after a step."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))  # else the first weights would weigh for too long
        mine, theirs = (list(each.state_dict().values()) for each in (self.model, model))
        floats = [number for number, value in enumerate(mine) if value.is_floating_point()]
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        move([mine[number] for number in floats], [theirs[number] for number in floats], step)
        for number in set(range(len(mine))) - set(floats):  # counters of BatchNorm
            mine[number].copy_(theirs[number])
